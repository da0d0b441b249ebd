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


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), "5", True])
def test_an_interval_is_checked(store: vecmem.Store, wrong: Any) -> None:
    with pytest.raises(vecmem.InvalidInputError, match="sweep_interval_minutes must be"):
        store.start_ttl_sweeper(wrong)
    assert not sweepers()


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "5", object()])
def test_a_wrong_interval_in_the_configuration_is_logged_and_the_last_one_stays(
    caplog: pytest.LogCaptureFixture, wrong: Any
) -> None:
    class Counts(vecmem.Store):
        sweeps = 0

        def sweep_ttl(self) -> int:
            self.sweeps += 1
            return super().sweep_ttl()

    with Counts(ttl={"sweep_interval_minutes": SOON}) as store:
        began, future = time.monotonic(), store.start_ttl_sweeper()
        until(lambda: store.sweeps)
        store.ttl_config["sweep_interval_minutes"] = wrong
        until(lambda: "ttl_config['sweep_interval_minutes'] must be" in caplog.text)
        swept = store.sweeps
        until(lambda: store.sweeps > swept + 3)
        assert store.sweeps <= (time.monotonic() - began) / (SOON * 60) + 1, "each after the last good interval"
        store.ttl_config["sweep_interval_minutes"] = 1000.0
        assert store.stop_ttl_sweeper(20) and future.done()


def test_intervals_longer_or_shorter_than_a_wait_can_be(store: vecmem.Store) -> None:
    future = store.start_ttl_sweeper(1e9)
    store.put(("goes",), "k", {"text": "x"})
    expire(store)
    assert not future.done() and store.count() == 1
    assert store.stop_ttl_sweeper(20) and future.done()
    sweeps = []
    again = vecmem.ttl.Sweeper(store, lambda _: len(sweeps.append(1) or ""), lambda _: None)
    began = time.monotonic()
    again.start(1e-300)
    until(lambda: len(sweeps) > 5)
    assert again.stop(20) and len(sweeps) <= (time.monotonic() - began) / vecmem.ttl.SHORTEST_SECONDS


def test_a_sweeper_that_is_ending_gives_way_to_a_new_one() -> None:
    sweeping, go_on = threading.Event(), threading.Event()
    at_once: list[int] = []

    class Slow(vecmem.Store):
        inside = 0

        def sweep_ttl(self) -> int:
            self.inside += 1
            at_once.append(self.inside)
            sweeping.set()
            assert go_on.wait(60)
            self.inside -= 1
            return super().sweep_ttl()

    with Slow(ttl={"default_ttl": SOON}) as store:
        first = store.start_ttl_sweeper(SOON)
        assert sweeping.wait(60)
        assert not store.stop_ttl_sweeper(0.01), "it still sweeps"
        second = store.start_ttl_sweeper(SOON)
        assert second is not first and not second.done()
        assert second.cancel()
        third = store.start_ttl_sweeper(SOON)
        assert third is not second and store.start_ttl_sweeper(SOON) is third
        go_on.set()
        store.put(("a",), "k", {})
        until(lambda: store.count() == 0)
        assert first.done() and not third.done() and set(at_once) == {1}
        assert store.stop_ttl_sweeper(20) and third.done() and not sweepers()


def test_a_cancelled_task_gives_way_to_a_new_one(store: vecmem.Store) -> None:
    async def use() -> None:
        for _ in range(3):
            task = await store.astart_ttl_sweeper(SOON)
            task.cancel()
        task = await store.astart_ttl_sweeper(SOON)
        await store.aput(("goes",), "k", {"text": "x"})
        while await store.aget(("goes",), "k", refresh_ttl=False) is not None:
            await asyncio.sleep(0.005)
        assert not task.done()
        assert await store.astop_ttl_sweeper(20)
        await task

    asyncio.run(asyncio.wait_for(use(), 60))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_future_is_done_whatever_ends_the_sweeper() -> None:
    class Exits(vecmem.Store):
        def sweep_ttl(self) -> int:
            raise SystemExit

    with Exits(ttl={"default_ttl": SOON}) as store:
        assert store.start_ttl_sweeper(SOON).result(20) is None
        assert store.start_ttl_sweeper(SOON).result(20) is None
