"""An event loop of the package's own: where synchronous calls run an embedding function that is a coroutine function.

Invariants:
* There is one loop, on one daemon thread, for the life of the process, since clients of models keep connections that
  belong to a loop. A forked child starts one of its own.
* Whoever runs a coroutine there waits for it, in its own context variables, whether or not a loop runs in its thread.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_loops: dict[int, asyncio.AbstractEventLoop] = {}
"""The loop of a process, by its id; those of a parent do not run in a child."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of ``coroutine``; interrupting the wait cancels it."""
    loop = _loop()
    if asyncio._get_running_loop() is loop:
        coroutine.close()
        raise RuntimeError("an embedding function called the store synchronously; use the store's async methods there")
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _loop() -> asyncio.AbstractEventLoop:
    loop = _loops.get(os.getpid())
    if loop is None:
        started = asyncio.new_event_loop()
        loop = _loops.setdefault(os.getpid(), started)  # atomic: of two threads that come here, one wins
        if loop is started:
            threading.Thread(target=loop.run_forever, name="vecmem-embed", daemon=True).start()
        else:
            started.close()
    return loop
