"""``if_absent``, ``if_version`` and ``min_score`` of a store are those of the engine, in both forms of each call."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import numpy
import pytest
from embeddings import index

from vecmem import ConditionFailedError, InvalidInputError, InvalidValueError, Store

ADA = ("users", "ada")


def test_a_put_that_is_conditional(store: Store) -> None:
    store.put(ADA, "a", {"text": "tea"}, if_absent=True)
    with pytest.raises(ConditionFailedError, match="it exists"):
        store.put(ADA, "a", {"text": "cat"}, if_absent=True)
    first = store.version(ADA, "a")
    store.put(ADA, "a", {"text": "rain"}, if_version=first, ttl=timedelta(hours=1))
    with pytest.raises(ConditionFailedError, match="its version is another one"):
        store.put(ADA, "a", {"text": "cat"}, if_version=first)
    item = store._core.engine.get(ADA, "a", include_vectors=True)
    assert item is not None and (item.value, item.ttl) == ({"text": "rain"}, 3600) and len(item.vectors) == 1
    assert item.version == store.version(ADA, "a") and store.version(ADA, "z") is None
    with pytest.raises(ConditionFailedError, match="does not exist"):
        store.put(ADA, "z", {}, if_version=first)
    for wrong in ({"if_absent": 1}, {"if_version": "1"}, {"if_version": True}):
        with pytest.raises(InvalidValueError, match="if_"):
            store.put(ADA, "a", {}, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="if_absent"):
        store.put(ADA, "a", {}, if_absent=True, if_version=first)


def test_a_condition_changes_nothing_else_of_a_write(store: Store) -> None:
    """What is refused without a condition is refused with one, and nothing is written."""
    for wrong in ((), ("langgraph", "x"), ("a.b",), ("",), "ab", (1,)):
        for condition in ({}, {"if_absent": True}):
            with pytest.raises(ValueError, match="(?i)namespace"):
                store.put(wrong, "a", {}, **condition)  # type: ignore[arg-type]
    for wrong in ((), ("a.b",), ("",)):
        with pytest.raises(ValueError, match="(?i)namespace"):
            store.delete(wrong, "a", if_version=1)
    for value in (None, [1], "text", {"a": {1}}):
        with pytest.raises(InvalidValueError):
            store.put(ADA, "a", value, if_absent=True)  # type: ignore[arg-type]
    assert len(store) == 0
    store.ttl_config = {"default_ttl": 60}
    store.put(ADA, 5, {"text": "tea"}, index=False, if_absent=True)  # type: ignore[arg-type]
    item = store._core.engine.get(ADA, "5", include_vectors=True)
    assert item is not None and item.ttl == 3600 and item.vectors == []


def test_an_expired_item_is_none(store: Store) -> None:
    store.put(ADA, "a", {"n": 1}, ttl=timedelta(microseconds=1))
    assert store.get(ADA, "a", refresh_ttl=False) is not None, "it is not swept yet"
    assert store.version(ADA, "a") is None
    store.put(ADA, "a", {"n": 2}, if_absent=True)


def test_a_refused_condition_is_logged_off_the_main_thread(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.put(ADA, "a", {})
    refused: list[Exception] = []

    def write() -> None:
        try:
            store.put(ADA, "a", {}, if_absent=True)
        except ConditionFailedError as error:
            refused.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert len(refused) == 1 and [record.name for record in caplog.records] == ["vecmem"]


def test_a_delete_that_is_conditional(store: Store) -> None:
    store.put(ADA, "a", {})
    first = store.version(ADA, "a")
    store.put(ADA, "a", {"n": 2})
    with pytest.raises(ConditionFailedError):
        store.delete(ADA, "a", if_version=first)
    assert (ADA, "a") in store
    store.delete(ADA, "a", if_version=store.version(ADA, "a"))
    assert (ADA, "a") not in store


def test_the_asynchronous_forms(store: Store) -> None:
    async def work() -> None:
        await store.aput(ADA, "a", {"text": "tea"}, if_absent=True)
        with pytest.raises(ConditionFailedError):
            await store.aput(ADA, "a", {"text": "cat"}, if_absent=True)
        version = await store.aversion(ADA, "a")
        await store.aput(ADA, "a", {"text": "rain"}, if_version=version)
        with pytest.raises(ConditionFailedError):
            await store.adelete(ADA, "a", if_version=version)
        [item] = await store.asearch(ADA, query="rain", min_score=0.9)
        assert item.value == {"text": "rain"}
        assert await store.asearch(ADA, query="rain", min_score=1.5) == []
        await store.adelete(ADA, "a", if_version=await store.aversion(ADA, "a"))
        assert await store.aget(ADA, "a") is None

    asyncio.run(work())


def test_one_of_many_puts_the_absent_item(store: Store) -> None:
    won: list[int] = []

    def put(number: int) -> None:
        try:
            store.put(ADA, "a", {"n": number}, if_absent=True)
            won.append(number)
        except ConditionFailedError:
            pass

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    item = store.get(ADA, "a")
    assert item is not None and [item.value["n"]] == won


def test_a_least_score(store: Store) -> None:
    texts = [f"{'tea ' * n}cat {n}" for n in range(30)]
    for n, text in enumerate(texts):
        store.put(ADA, str(n), {"text": text, "n": n})
    store.put(ADA, "without", {"n": 99}, index=False)
    everything = store.search(("users",), query="tea", limit=100)
    scores = sorted((item.score for item in everything if item.score is not None), reverse=True)
    assert len(everything) == 31 and len(scores) == 30
    for least in (scores[0], scores[10], numpy.float32(scores[10]), scores[29], -2, 2.0, float("-inf"), float("inf")):
        wanted = [item.key for item in everything if item.score is not None and item.score >= least]
        found = store.search(("users",), query="tea", limit=100, min_score=least)
        assert [item.key for item in found] == wanted
        pages = [store.search(("users",), query="tea", limit=4, offset=at, min_score=least) for at in range(0, 40, 4)]
        assert [item.key for page in pages for item in page] == wanted, "pages join to the whole"
    assert len(store.search(("users",), query="tea", limit=4, min_score=-2)) == 4
    assert store.search(("users",), query="tea", limit=4, offset=4, min_score=2.0) == [], "another score, another list"
    few = store.search(("users",), query="tea", filter={"n": {"$lt": 5}}, min_score=-2)
    assert sorted(item.value["n"] for item in few) == list(range(5))
    assert [item.key for item in store.search(("users",), query="tea", limit=4)] == [i.key for i in everything[:4]]


def test_a_least_score_that_has_no_meaning(store: Store, plain_store: Store) -> None:
    with pytest.raises(InvalidInputError, match="min_score needs a query"):
        store.search(ADA, min_score=0.5)
    with pytest.raises(InvalidInputError, match="min_score needs an index"):
        plain_store.search(ADA, query="tea", min_score=0.5)
    wrong: Any
    for wrong in ("0.5", True, [1], 1j):
        with pytest.raises(InvalidValueError, match="min_score must be a number"):
            store.search(ADA, query="tea", min_score=wrong)
    with pytest.raises(InvalidInputError, match="min_score must be a number that a double holds"):
        store.search(ADA, query="tea", min_score=10**400)
    for wrong in (("a.b",), "ab"):
        with pytest.raises(ValueError, match="(?i)namespace"):
            store.search(wrong, query="tea", min_score=0.5)
    with pytest.raises(InvalidInputError, match="min_score is NaN"):
        store.search(ADA, query="tea", min_score=float("nan"))


def test_a_path_of_a_put_that_can_never_match() -> None:
    with Store(index=index(fields=["text"])) as store:
        for path, named in [
            ("$.text", "write 'text'"),
            ("items[x].text", r"'\[x\]' is no position"),
            ("[0]", "a value"),
        ]:
            with pytest.raises(InvalidInputError, match=f"index has a path that can never match.*{named}"):
                store.put(ADA, "a", {"text": "tea"}, index=[path])
        assert len(store) == 0


def test_a_least_score_is_never_rounded_down(store: Store) -> None:
    """Scores are numbers of 32 bits: the least one may lie between two of them."""
    store.put(ADA, "a", {"text": "tea"})
    store.put(ADA, "b", {"text": "green tea and a cat"})
    for item in store.search(ADA, query="tea", limit=2):
        assert item.score is not None
        between = numpy.nextafter(item.score, 2.0)
        assert between != numpy.float32(between), "no number of 32 bits"
        found = store.search(ADA, query="tea", min_score=float(between))
        assert item.key not in [other.key for other in found] and item.score < between


@pytest.mark.parametrize("distance_type", ["cosine", "l2", "inner_product"])
def test_a_least_score_under_every_distance(distance_type: str) -> None:
    with Store(index=index(fields=["text"], distance_type=distance_type)) as store:
        for n in range(12):
            store.put(ADA, str(n), {"text": "tea " * n + "cat"})
        everything = store.search(ADA, query="tea cat", limit=12)
        for item in everything:
            assert item.score is not None
            wanted = [other.key for other in everything if other.score is not None and other.score >= item.score]
            found = store.search(ADA, query="tea cat", limit=12, min_score=item.score)
            assert [other.key for other in found] == wanted
