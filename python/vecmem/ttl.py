"""The TTL sweeper: a thread that deletes expired items every so often.

Invariants:
* At most one sweeper runs per store. It holds no reference to the store, so it ends with it, closed or not.
* The future of a sweeper is done when it has ended; cancelling it ends the sweeper.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("vecmem")

DEFAULT_MINUTES = 5.0
"""Between sweeps, where neither the caller nor the configuration says."""


class Sweeper:
    """Runs ``sweep(owner)`` every so many minutes, on a thread of its own, while ``owner`` lives."""

    def __init__(self, owner: Any, sweep: Callable[[Any], int]) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._future: concurrent.futures.Future[None] | None = None
        self._sweep = sweep
        stop = self._stop
        self._owner = weakref.ref(owner, lambda _: stop.set())

    def start(self, minutes: float) -> concurrent.futures.Future[None]:
        """Starts the sweeper, or finds it running. Cancel the future to stop it."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive() and self._future is not None:
                return self._future
            self._stop = stop = threading.Event()
            self._owner = weakref.ref(self._require_owner(), lambda _: stop.set())
            self._future = future = concurrent.futures.Future[None]()
            future.add_done_callback(lambda _: stop.set())
            run = (stop, self._owner, self._sweep, minutes * 60, future)
            self._thread = threading.Thread(target=_run, args=run, name="vecmem-ttl-sweeper", daemon=True)
            self._thread.start()
            return future

    def stop(self, timeout: float | None = None) -> bool:
        """Stops the sweeper, waiting for at most ``timeout`` seconds; false if it still runs then."""
        with self._lock:
            thread = self._thread
            self._stop.set()
        if thread is None or not thread.is_alive() or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def _require_owner(self) -> Any:
        owner = self._owner()
        assert owner is not None, "whoever calls start() holds the owner"
        return owner


def _run(
    stop: threading.Event,
    owner: weakref.ref[Any],
    sweep: Callable[[Any], int],
    seconds: float,
    future: concurrent.futures.Future[None],
) -> None:
    while not stop.wait(seconds):
        store = owner()
        if store is None:
            break
        try:
            if swept := sweep(store):
                logger.info("swept %d expired items", swept)
        except Exception:
            logger.exception("a sweep of expired items failed; the next one is due in %.0f seconds", seconds)
        del store
    with contextlib.suppress(concurrent.futures.InvalidStateError):  # it was cancelled
        future.set_result(None)
