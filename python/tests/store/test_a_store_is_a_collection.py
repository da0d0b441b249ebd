"""``update``, ``delete_many``, ``len``, ``in``, iteration and ``repr`` of a store, and the asynchronous forms."""

import asyncio
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from vecmem import ConditionFailedError, InvalidValueError, Store

ADA = ("users", "ada")


def embed(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


@pytest.fixture
def store() -> Any:
    with Store(index={"dims": 2, "embed": embed, "fields": ["text"]}) as store:
        yield store


def test_an_update_merges_and_embeds_anew(store: Store) -> None:
    store.put(ADA, "tea", {"text": "tea", "home": {"city": "London", "street": "x"}}, ttl=60)
    before = store._core.engine.get(ADA, "tea")
    merged = {"text": "green tea", "home": {"city": "London"}}
    assert store.update(ADA, "tea", {"text": "green tea", "home": {"street": None}}) == merged
    item = store._core.engine.get(ADA, "tea", include_vectors=True)
    assert before is not None and item is not None and item.value == merged
    assert list(item.vectors[0][1]) == [9.0, 1.0] and item.expires_at == before.expires_at
    assert store.update(ADA, "tea", {"a": 1}, index=False) == merged | {"a": 1}
    item = store._core.engine.get(ADA, "tea", include_vectors=True)
    assert item is not None and item.vectors == []


def test_an_update_may_be_conditional(store: Store) -> None:
    store.put(ADA, "tea", {"n": 1})
    item = store.get(ADA, "tea")
    assert item is not None and store.update(ADA, "tea", {"n": 2}, if_updated_at=item.updated_at) == {"n": 2}
    with pytest.raises(ConditionFailedError, match="was not last updated at"):
        store.update(ADA, "tea", {"n": 3}, if_updated_at=item.updated_at)
    assert store.update(ADA, "missing", {"n": 1}) is None and (ADA, "missing") not in store
    with pytest.raises(InvalidValueError, match="patch must be a mapping"):
        store.update(ADA, "tea", [1])  # type: ignore[arg-type]


def test_updates_at_the_same_time_are_all_done(store: Store) -> None:
    store.put(ADA, "tea", {})
    steps = range(20)

    def work(number: int) -> None:
        for step in steps:
            store.update(ADA, "tea", {f"{number}-{step}": 1})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    item = store.get(ADA, "tea")
    assert item is not None and len(item.value) == 60


def test_len_in_and_iteration(store: Store) -> None:
    assert store and len(store) == 0
    for key in "cab":
        store.put(ADA, key, {"text": key})
    assert len(store) == 3 and (ADA, "a") in store and (ADA, "z") not in store
    assert list(store) == [store.get(ADA, key) for key in "abc"]
    with pytest.raises(InvalidValueError, match="an address is a pair"):
        "a" in store  # type: ignore[operator]  # noqa: B015
    assert store.delete_many([(ADA, "a"), (ADA, "z"), (ADA, "b")]) == 2 and [item.key for item in store] == ["c"]


def test_a_repr_tells_path_dims_metric_and_count(tmp_path: Path, store: Store) -> None:
    index = {"dims": 2, "embed": embed, "model": "toy", "distance_type": "l2"}
    with Store(tmp_path / "s", index=index) as named:
        named.put(ADA, "a", {})
        assert repr(named) == f"Store('{tmp_path / 's'}', dims=2, metric='l2', count=1, model='toy')"
    assert repr(named) == "Store(closed)" or "closed" in repr(named)


def test_asynchronous_forms(store: Store) -> None:
    async def work() -> None:
        for key in "abc":
            await store.aput(ADA, key, {"text": key})
        assert await store.acount() == 3 and await store.acount(ADA) == 3 and await store.acount(("other",)) == 0
        assert await store.aupdate(ADA, "a", {"text": "aa"}) == {"text": "aa"}
        assert await store.adelete_many([(ADA, "b")]) == 1
        await store.aflush()
        assert (await store.acompact())["expired_left"] == 0
        await store.adelete_namespace(ADA)
        assert len(store) == 0
        assert (await store.apurge(ADA, grace=0))["items"] == 0

    asyncio.run(work())


def test_a_time_to_live_may_be_a_timedelta(store: Store) -> None:
    store.put(ADA, "a", {}, ttl=timedelta(hours=1))
    asyncio.run(store.aput(ADA, "b", {}, ttl=timedelta(days=1)))
    found = [store._core.engine.get(ADA, key) for key in "ab"]
    assert [item and item.ttl for item in found] == [3600.0, 86400.0]
    with Store(ttl={"default_ttl": timedelta(minutes=3)}) as other:  # type: ignore[typeddict-item]
        other.put(ADA, "a", {})
        item = other._core.engine.get(ADA, "a")
        assert item is not None and item.ttl == 180.0
