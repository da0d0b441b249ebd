"""A snapshot of a store answers as the store did, whatever is written afterwards, and refuses writes."""

import asyncio
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.store.base import BaseStore, GetOp, PutOp, SearchOp

from vecmem import ClosedError, ConditionFailedError, ReadOnlyError, SnapshotGoneError, Store, StoreSnapshot

ADA = ("users", "ada")


def fill(store: Store) -> None:
    for n in range(20):
        store.put((*ADA, str(n % 2)), str(n), {"text": f"tea {n}", "n": n})


def change(store: Store) -> None:
    store.put((*ADA, "0"), "0", {"text": "changed"})
    store.put((*ADA, "2"), "new", {"text": "tea"})
    store.delete_namespace((*ADA, "1"))


ASKS: dict[str, Callable[[Any], Any]] = {
    "get": lambda reads: reads.get((*ADA, "0"), "0"),
    "search": lambda reads: reads.search(ADA, query="tea 3", limit=20),
    "page": lambda reads: reads.search(ADA, query="tea 3", limit=5, offset=10),
    "least score": lambda reads: reads.search(ADA, query="tea 3", limit=50, min_score=0.2),
    "filter": lambda reads: reads.search(ADA, filter={"n": {"$gte": 7}}, limit=20),
    "pages": lambda reads: [reads.search(ADA, limit=7, offset=at) for at in (0, 7, 14)],
    "namespaces": lambda reads: reads.list_namespaces(prefix=ADA),
    "batch": lambda reads: reads.batch([GetOp((*ADA, "1"), "1"), SearchOp(ADA, limit=3)]),
    "count": lambda reads: reads.count(ADA),
    "version": lambda reads: reads.version((*ADA, "0"), "0"),
    "len": len,
    "in": lambda reads: ((*ADA, "1"), "1") in reads,
    "iteration": list,
}


def test_it_answers_as_the_store_did(store: Store) -> None:
    fill(store)
    before = {name: ask(store) for name, ask in ASKS.items()}
    with store.snapshot() as moment:
        assert isinstance(moment, StoreSnapshot) and isinstance(moment, BaseStore)
        change(store)
        assert {name: ask(moment) for name, ask in ASKS.items()} == before
        assert [name for name, ask in ASKS.items() if ask(store) == before[name]] == []
        assert repr(moment) == "StoreSnapshot(count=20)" and moment
    moment.close()
    for ask in ASKS.values():
        with pytest.raises(ClosedError):
            ask(moment)


def test_an_empty_one_stays_empty(plain_store: Store) -> None:
    with plain_store.snapshot() as moment:
        fill(plain_store)
        assert (len(moment), moment.search(()), moment.list_namespaces(), list(moment)) == (0, [], [], [])


def test_its_pages_are_slices_of_one_list_amid_writes(store: Store) -> None:
    fill(store)
    listed = [item.key for item in store.search(ADA, limit=20)]
    ranked = [item.key for item in store.search(ADA, query="tea", limit=20)]
    with store.snapshot() as moment:
        for query, keys in ((None, listed), ("tea", ranked)):
            found: list[str] = []
            for at in range(0, 24, 3):
                store.put((*ADA, "0"), f"more {at}", {"text": "tea"})
                found += [item.key for item in moment.search(ADA, query=query, limit=3, offset=at)]
            assert found == keys


def test_the_asynchronous_forms(store: Store) -> None:
    fill(store)

    async def work() -> None:
        before = await store.asearch(ADA, query="tea 3", limit=5)
        async with await store.asnapshot() as moment:
            await asyncio.to_thread(change, store)
            assert await moment.asearch(ADA, query="tea 3", limit=5) == before
            assert len(await moment.asearch(ADA, query="tea 3", limit=50, min_score=-1)) == 20
            item = await moment.aget((*ADA, "1"), "1")
            assert item is not None and item.value["n"] == 1
            assert await moment.acount() == 20 and len(await moment.alist_namespaces()) == 2
            assert await moment.aversion((*ADA, "1"), "1") is not None
            assert await store.aversion((*ADA, "1"), "1") is None
            gathered = await asyncio.gather(*(moment.aget((*ADA, str(n % 2)), str(n)) for n in range(20)))
            assert [item and item.value["n"] for item in gathered] == list(range(20))
        with pytest.raises(ClosedError):
            await moment.acount()

    asyncio.run(work())


def test_it_is_only_read(store: Store) -> None:
    with store.snapshot() as moment:
        for write in (
            lambda: moment.put(ADA, "a", {}),
            lambda: moment.put(ADA, "a", {}, ttl=5, if_absent=True),
            lambda: moment.delete(ADA, "a", if_version=1),
            lambda: moment.batch([GetOp(ADA, "a"), PutOp(ADA, "a", {})]),
            lambda: asyncio.run(moment.aput(ADA, "a", {}, if_version=1)),
            lambda: asyncio.run(moment.adelete(ADA, "a")),
            lambda: asyncio.run(moment.abatch([PutOp(ADA, "a", None)])),
        ):
            with pytest.raises(ReadOnlyError, match="a snapshot of a store is only read; write to the store itself"):
                write()
    assert len(store) == 0


def test_a_value_and_its_version_come_from_one_moment(store: Store) -> None:
    store.put(ADA, "a", {"n": 1})
    with store.snapshot() as moment:
        store.put(ADA, "a", {"n": 2})
        item, version = moment.get(ADA, "a"), moment.version(ADA, "a")
    assert item is not None and item.value == {"n": 1}
    with pytest.raises(ConditionFailedError):
        store.put(ADA, "a", {"n": item.value["n"] + 1}, if_version=version)


def test_no_page_follows_its_close(store: Store) -> None:
    fill(store)
    moment = store.snapshot()
    assert len(moment.search(ADA, limit=5)) == len(moment.search(ADA, query="tea", limit=5)) == 5
    moment.close()
    for query in (None, "tea"):
        with pytest.raises(ClosedError):
            moment.search(ADA, query=query, limit=5, offset=5)


def test_a_purge_ends_it(store: Store) -> None:
    fill(store)
    moment = store.snapshot()
    moment.search(ADA, limit=5)
    store.purge(ADA, grace=0)
    for ask in ASKS.values():
        with pytest.raises(SnapshotGoneError):
            ask(moment)


def test_the_close_of_the_store_ends_it(store: Store) -> None:
    fill(store)
    moment = store.snapshot()
    store.close()
    for ask in ASKS.values():
        with pytest.raises(ClosedError):
            ask(moment)
    moment.close()


def test_it_hides_what_has_expired_as_the_store_is_told_now(store: Store) -> None:
    with store.snapshot() as moment:
        assert moment.ttl_config is None
        store.ttl_config = {"omit_expired": True}
        assert moment.ttl_config == {"omit_expired": True}


def test_threads_share_it(store: Store) -> None:
    fill(store)
    answers: list[bool] = []
    with store.snapshot() as moment:
        before = {name: ask(moment) for name, ask in ASKS.items()}

        def read() -> None:
            answers.append(all(ask(moment) == before[name] for name, ask in ASKS.items()))

        threads = [threading.Thread(target=read) for _ in range(4)]
        [thread.start() for thread in threads]
        change(store)
        [thread.join() for thread in threads]
    assert answers == [True] * 4


def test_it_is_no_more_pickled_than_the_store(store: Store) -> None:
    for unpicklable in (store, store.snapshot()):
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(unpicklable)
