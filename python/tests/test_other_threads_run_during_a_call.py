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
    "scan": lambda engine: next(engine.scan(("a",))),
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


@pytest.mark.parametrize("call", CALLS)
def test_another_thread_runs(no_forced_switch: None, call: str) -> None:
    with Engine(dims=64, durability="bulk") as engine:
        engine.put_many({"namespace": ("a",), "key": str(n), "value": {}, "vector": row} for n, row in enumerate(ROWS))
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
        for _ in range(100_000):
            CALLS[call](engine)
            if ran:
                break
        passed = bool(ran)
        thread.join()
        assert passed, "no call let another thread run"
