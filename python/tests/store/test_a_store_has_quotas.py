"""Quotas of a LangGraph store, with and without an event loop."""

import asyncio

import pytest

import vecmem


def test_a_tenant_holds_as_much_as_its_quota() -> None:
    store = vecmem.Store()
    store.set_quota(("users",), each=True, items=1)
    store.put(("users", "ada"), "a", {"n": 1})
    store.put(("users", "bob"), "b", {"n": 1})
    with pytest.raises(vecmem.QuotaExceededError):
        store.put(("users", "ada"), "b", {"n": 1})
    assert store.get(("users", "ada"), "b") is None
    assert store.quotas() == [{"scope": "users/*/", "items": 1, "bytes": None}]
    assert store.quota_use(("users", "ada", "notes"))[0]["items"] == 1
    assert store.quota_use() == []
    assert store.remove_quota(("users",), each=True)
    store.put(("users", "ada"), "b", {"n": 1})


def test_the_async_calls_do_the_same() -> None:
    async def run() -> None:
        store = vecmem.Store()
        await store.aset_quota((), items=1)
        await store.aput(("a",), "a", {"n": 1})
        with pytest.raises(vecmem.QuotaExceededError):
            await store.aput(("b",), "b", {"n": 1})
        assert (await store.aquota_use())[0]["items"] == 1
        assert await store.aremove_quota(())
        await store.aput(("b",), "b", {"n": 1})

    asyncio.run(run())
