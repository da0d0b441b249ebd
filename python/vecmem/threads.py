"""The threads on which a store does its part of asynchronous calls, and what a fork means for locks.

Invariants:
* The threads are the store's own, so that nothing that fills the event loop's pool keeps a read waiting, or the other
  way round.
* A forked child gets new ones; the parent's do not exist there. It finds locks free that they held.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import os
import threading
import weakref
from collections.abc import Callable
from typing import TypeVar

THREADS = 32
"""At most; they start as they are needed. More than cores, since writes that wait for the disk together share one sync.
"""

T = TypeVar("T")


class ProcessLock:
    """A lock that is new in a forked child, as is what it guards: ``reset`` empties that, whatever it was amidst of."""

    def __init__(self, reset: Callable[[], None]) -> None:
        self._reset = weakref.WeakMethod(reset)
        self._lock = threading.Lock()
        self._process = os.getpid()

    def __enter__(self) -> None:
        if self._process != os.getpid():
            self._lock, self._process = threading.Lock(), os.getpid()
            if (reset := self._reset()) is not None:
                reset()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Threads:
    """A pool that starts when it is first used, and again after ``close`` or a fork."""

    def __init__(self) -> None:
        self._lock = ProcessLock(self._empty)
        self._empty()

    def _empty(self) -> None:
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None

    def submit(self, step: Callable[[], T]) -> concurrent.futures.Future[T]:
        """Runs ``step`` in a copy of the caller's context variables."""
        with self._lock:
            if self._pool is None:
                self._pool = concurrent.futures.ThreadPoolExecutor(THREADS, thread_name_prefix="vecmem")
            return self._pool.submit(contextvars.copy_context().run, step)

    def close(self) -> None:
        """Lets the threads end with what they are doing."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)
