"""The threads on which a store does its part of asynchronous calls.

Invariants:
* They are the store's own, so that nothing that fills the event loop's pool keeps a read waiting, or the other way
  round.
* A forked child gets new ones; the parent's do not exist there.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import os
import threading
from collections.abc import Callable
from typing import TypeVar

THREADS = 32
"""At most; they start as they are needed. More than cores, since writes that wait for the disk together share one sync.
"""

T = TypeVar("T")


class Threads:
    """A pool that starts when it is first used, and again after ``close`` or a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def submit(self, step: Callable[[], T]) -> concurrent.futures.Future[T]:
        """Runs ``step`` in a copy of the caller's context variables."""
        if self._process != os.getpid():
            self.__init__()  # type: ignore[misc]
        with self._lock:
            if self._pool is None:
                self._pool = concurrent.futures.ThreadPoolExecutor(THREADS, thread_name_prefix="vecmem")
            return self._pool.submit(contextvars.copy_context().run, step)

    def close(self) -> None:
        """Lets the threads end with what they are doing."""
        if self._process == os.getpid():
            with self._lock:
                pool, self._pool = self._pool, None
            if pool is not None:
                pool.shutdown(wait=False)
