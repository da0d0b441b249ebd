"""The interpreter's lock is free while the engine works: another thread runs during a call."""

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest

from vecmem import Engine

ROWS = numpy.random.default_rng(1).normal(size=(300, 64)).astype(numpy.float32)

CALLS: dict[str, Callable[[Engine], Any]] = {
    "search": lambda engine: engine.search(("a",), ROWS[0]),
    "search_many": lambda engine: engine.search_many(ROWS, ("a",), columns=True),
    "list": lambda engine: engine.list(("a",)),
    "get": lambda engine: engine.get(("a",), "1"),
    "put": lambda engine: engine.put(("a",), "1", {"a": 1}),
    "delete": lambda engine: engine.delete(("b",), "1"),
    "count": lambda engine: engine.count(("a",)),
    "snapshot": lambda engine: engine.snapshot(),
    "iterate": lambda engine: next(engine.iterate(("a",))),
    "flush": lambda engine: engine.flush(),
    "stats": lambda engine: engine.stats(),
}


@pytest.fixture
def no_forced_switch() -> Iterator[None]:
    """Python gives the lock to another thread only when the running one lets go of it by itself."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e6)
    yield
    sys.setswitchinterval(interval)


KEEPERS: dict[str, Callable[[Engine], Any]] = {
    "snapshot": lambda engine: engine.snapshot(),
    "iterate": lambda engine: engine.iterate(("a",)),
    "listing": lambda engine: engine.listing(("a",)),
}


def runs_during(step: Callable[[], Any], times: int) -> bool:
    """Whether another thread runs during one of so many calls of ``step``."""
    ready, ran = threading.Lock(), []
    ready.acquire()

    def other() -> None:
        with ready:
            ran.append(True)

    thread = threading.Thread(target=other)
    thread.start()
    ready.release()
    # The other thread waits for the interpreter's lock now, and this one lets go of it only inside the call.
    # One call may be over before the system wakes the other thread; thousands cannot.
    for _ in range(times):
        step()
        if ran:
            break
    passed = bool(ran)
    thread.join()
    return passed


@pytest.mark.parametrize("call", CALLS)
def test_another_thread_runs(no_forced_switch: None, call: str) -> None:
    with Engine(dims=64, durability="manual") as engine:
        engine.put_many({"namespace": ("a",), "key": str(n), "value": {}, "vector": row} for n, row in enumerate(ROWS))
        assert runs_during(lambda: CALLS[call](engine), 100_000), "no call let another thread run"


@pytest.mark.parametrize("kind", KEEPERS)
def test_another_thread_runs_while_something_is_let_go_of(no_forced_switch: None, kind: str) -> None:
    with Engine() as engine:
        engine.put(("a",), "k", {})
        kept = [KEEPERS[kind](engine) for _ in range(100_000)]
        assert runs_during(kept.pop, len(kept)), "no end of an object let another thread run"
