"""Time to live: fractions of minutes, refreshed by reads, hidden if so configured, removed by sweeps and by nothing
else."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from embeddings import index
from langgraph.store.base import PutOp

import vecmem

SOON = 0.05 / 60
"""Minutes."""


def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[vecmem.Store]:
    with vecmem.Store(tmp_path / "store", index=index(fields=["text"]), ttl={"default_ttl": SOON}) as opened:
        yield opened


def expire(store: vecmem.Store) -> None:
    """Waits until everything with a default time to live has expired."""
    until(lambda: store._core.engine.count(everything=True) == store._core.engine.count(prefix=("stays",)))


def test_expired_items_stay_until_a_sweep(store: vecmem.Store) -> None:
    store.put(("goes",), "k", {"text": "x"})
    store.put(("stays",), "never", {"text": "x"}, ttl=None)
    store.put(("stays",), "later", {"text": "x"}, ttl=60)
    store.batch([PutOp(("stays",), "no default in batches", {"text": "x"})])
    expire(store)
    assert store.get(("goes",), "k", refresh_ttl=False) is not None
    assert len(store.search((), limit=10)) == len(store.search((), query="x")) == store.count() == 4
    assert store.list_namespaces() == [("goes",), ("stays",)]
    assert store.sweep_ttl() == 1 and store.sweep_ttl() == 0
    assert store.get(("goes",), "k") is None
    assert len(store.search((), query="x")) == store.count() == 3
    assert store.list_namespaces() == [("stays",)]


def test_expired_items_can_be_hidden_at_any_time(store: vecmem.Store) -> None:
    store.put(("goes",), "k", {"text": "x"})
    for number in range(3):
        store.put(("stays",), f"{number}", {"text": "x"}, ttl=60)
    expire(store)
    store.ttl_config["omit_expired"] = True
    assert store.get(("goes",), "k", refresh_ttl=True) is None
    assert [item.key for item in store.search((), limit=2)] == ["2", "1"]
    assert len(store.search((), query="x")) == store.count() == 3
    assert store.list_namespaces() == [("stays",)]
    store.ttl_config["omit_expired"] = False
    assert store.count() == 4, "a read that refreshes does not revive"
    assert store.sweep_ttl() == 1


@pytest.mark.parametrize("how", ["get", "search", "ranked", "asearch", "default"])
def test_reads_refresh(store: vecmem.Store, how: str) -> None:
    ttl = 10.0
    store.put(("a",), "k", {"text": "x"}, ttl=ttl)

    def expires_at() -> int:
        store.flush()
        return store._core.engine.get(("a",), "k").expires_at

    before = expires_at()
    reads: dict[str, Callable[[], Any]] = {
        "get": lambda: store.get(("a",), "k", refresh_ttl=True),
        "search": lambda: store.search(("a",), refresh_ttl=True),
        "ranked": lambda: store.search(("a",), query="x", refresh_ttl=True),
        "asearch": lambda: asyncio.run(store.asearch(("a",), refresh_ttl=True)),
        "default": lambda: store.get(("a",), "k"),
    }
    store.get(("a",), "k", refresh_ttl=False)
    store.ttl_config["refresh_on_read"] = False
    store.search(("a",))
    assert expires_at() == before
    del store.ttl_config["refresh_on_read"]
    # A refresh that gains less than a hundredth of the time to live is not worth a write.
    updated_at = store._core.engine.get(("a",), "k").updated_at
    store._core.engine.put(("a",), "k", {"text": "x"}, ttl=ttl * 60, vector=[1.0] * 4, updated_at=updated_at)
    until(lambda: (reads[how](), expires_at())[1] > before + 1)
    assert store.get(("a",), "k").updated_at is not None


def test_only_returned_items_are_refreshed(plain_store: vecmem.Store) -> None:
    for key in ("first", "second"):
        plain_store.put(("a",), key, {}, ttl=0.5)
    plain_store.flush()
    expiry = {item.key: item.expires_at for item in plain_store._core.engine.list(("a",))}
    plain_store.search(("a",), limit=1)
    plain_store.flush()
    later = {item.key: item.expires_at for item in plain_store._core.engine.list(("a",))}
    assert later["second"] > expiry["second"] and later["first"] == expiry["first"]


def test_the_sweeper_sweeps_and_stops(store: vecmem.Store) -> None:
    future = store.start_ttl_sweeper(SOON)
    assert store.start_ttl_sweeper(SOON) is future
    store.put(("goes",), "k", {"text": "x"})
    until(lambda: store.count() == 0)
    assert store.stop_ttl_sweeper(timeout=20) and future.done() and store.stop_ttl_sweeper()
    store.put(("goes",), "k", {"text": "x"})
    expire(store)
    assert store.count() == 1
    again = store.start_ttl_sweeper(SOON)
    until(lambda: store.count() == 0)
    assert again.cancel()
    until(lambda: not sweepers())


def sweepers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "vecmem-ttl-sweeper"]


def test_the_sweeper_in_async_code(store: vecmem.Store) -> None:
    async def use() -> None:
        task = await store.astart_ttl_sweeper(SOON)
        await store.aput(("goes",), "k", {"text": "x"})
        while await store.aget(("goes",), "k", refresh_ttl=False) is not None:
            await asyncio.sleep(0.005)
        assert await store.astop_ttl_sweeper(20)
        await task
        await store.aput(("goes",), "k", {"text": "x"})
        expire(store)
        assert await store.asweep_ttl() == 1
        cancelled = await store.astart_ttl_sweeper(SOON)
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        until(lambda: not sweepers())

    asyncio.run(asyncio.wait_for(use(), 60))


def test_without_a_configuration_nothing_starts(plain_store: vecmem.Store) -> None:
    assert plain_store.ttl_config is None
    assert plain_store.start_ttl_sweeper().done() and not sweepers()
    assert isinstance(plain_store.start_ttl_sweeper(), concurrent.futures.Future)


def test_the_sweeper_ends_with_a_forgotten_store(tmp_path: Path) -> None:
    store = vecmem.Store(tmp_path / "store", ttl={"sweep_interval_minutes": 1000})
    store.start_ttl_sweeper()
    assert sweepers()
    gone = weakref.ref(store)
    del store
    gc.collect()
    assert gone() is None
    until(lambda: not sweepers())


def test_a_failing_sweep_is_logged_and_not_the_last(store: vecmem.Store, caplog: pytest.LogCaptureFixture) -> None:
    class Fails(vecmem.Store):
        fails = True

        def sweep_ttl(self) -> int:
            if self.fails:
                raise OSError("no disk today")
            return super().sweep_ttl()

    with Fails(ttl={"default_ttl": SOON}) as failing:
        failing.start_ttl_sweeper(SOON)
        failing.put(("a",), "k", {})
        until(lambda: "no disk today" in caplog.text)
        failing.fails = False
        until(lambda: failing.count() == 0)
