"""``count`` with a filter, ``distinct``, ``delete_where``, ``keep_newest``, ``rename`` of a store, and their async
twins."""

import asyncio

import pytest

import vecmem


def filled() -> vecmem.Store:
    store = vecmem.Store()
    for number in range(6):
        store.put(("threads", str(number % 2)), f"m{number}", {"kind": "draft" if number < 3 else "final"})
    return store


def test_a_store_is_pruned_by_rules() -> None:
    with filled() as store:
        assert store.count(("threads",), filter={"kind": "draft"}) == 3
        assert store.distinct("kind") == [("draft", 3), ("final", 3)]
        assert store.scope_stats(("threads", "1"))["items"] == 3
        assert len(store.search(("threads",), limit=2)) == 2
        assert store.delete_where(("threads", "0"), {"kind": "draft"}) == 2
        assert store.keep_newest((), 1, batches=True) == 2
        assert store.rename(("threads",), ("old",)) == 2
        assert store.list_namespaces() == [("old", "0"), ("old", "1")]
        assert [item.key for item in store.search(("old",))] == ["m5", "m4"]
        with store.snapshot() as moment:
            assert moment.count(filter={"kind": "final"}) == 2


def test_bad_rules_are_refused() -> None:
    with filled() as store:
        with pytest.raises(vecmem.InvalidInputError, match="delete_namespace"):
            store.delete_where(("threads",), {})
        with pytest.raises(vecmem.InvalidInputError):
            store.keep_newest(("threads",), 0)
        with pytest.raises(vecmem.InvalidInputError):
            store.rename((), ("a",))
        with pytest.raises(vecmem.ConditionFailedError):
            store.put(("taken",), "k", {})
            store.rename(("threads",), ("taken",))
        assert len(store) == 7


def test_the_async_twins_do_the_same() -> None:
    async def run() -> None:
        with filled() as store:
            assert await store.acount(("threads",), filter={"kind": "draft"}) == 3
            assert await store.adistinct("kind", limit=1) == [("draft", 3)]
            assert (await store.ascope_stats())["namespaces"] == 2
            assert await store.adelete_where((), {"kind": "draft"}) == 3
            assert await store.akeep_newest(("threads",), 1) == 1
            assert await store.arename(("threads", "1"), ("b",)) == 1
            assert await store.acount() == 2

    asyncio.run(run())
