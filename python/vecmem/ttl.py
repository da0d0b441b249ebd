"""The TTL sweeper: a thread that deletes expired items every so often.

Invariants:
* At most one sweeper works per store: one that is started while another one ends waits for that. It holds no reference
  to the store, so it ends with it, closed or not.
* The future of a sweeper is done when it has ended, however it ends; cancelling it ends the sweeper.
* Between two sweeps lies a valid interval. One that is configured is read before each wait; where it is invalid, that
  is logged, and the last valid one stays.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .threads import ProcessLock

logger = logging.getLogger("vecmem")

DEFAULT_MINUTES = 5.0
"""Between sweeps, where neither the caller nor the configuration says."""

SHORTEST_SECONDS = 0.01
"""Between sweeps, whatever was asked for: a sweep without a pause would only take time from others."""

T = TypeVar("T")


@dataclass(slots=True)
class _Run(Generic[T]):
    """One sweeper, from its start to its end."""

    owner: weakref.ref[T]
    sweep: Callable[[T], int]
    configured: Callable[[T], float | None]
    minutes: float | None
    """Between sweeps; ``None``: as configured."""
    before: threading.Thread | None
    stop: threading.Event
    future: concurrent.futures.Future[None] = field(default_factory=concurrent.futures.Future)

    def __call__(self) -> None:
        """The thread's work."""
        try:
            if self.before is not None:
                self.before.join()
                self.before = None
            minutes = DEFAULT_MINUTES if self.minutes is None else self.minutes
            while True:
                minutes = self._interval(minutes)
                if self.stop.wait(min(max(minutes * 60, SHORTEST_SECONDS), threading.TIMEOUT_MAX)):
                    return
                self._sweep_once()
        finally:
            self.stop.set()
            with contextlib.suppress(concurrent.futures.InvalidStateError):  # it was cancelled
                self.future.set_result(None)

    def _interval(self, last: float) -> float:
        owner = self.owner()
        if owner is None or self.minutes is not None:
            return last
        try:
            configured = self.configured(owner)
            return DEFAULT_MINUTES if configured is None else configured
        except Exception as error:  # the configuration is anybody's to change
            logger.error("the interval of sweeps stays at %g minutes: %s", last, error)
            return last

    def _sweep_once(self) -> None:
        owner = self.owner()
        if owner is None:
            return
        try:
            if swept := self.sweep(owner):
                logger.info("swept %d expired items", swept)
        except Exception:
            logger.exception("a sweep of expired items failed; it will be tried again")


class Sweeper(Generic[T]):
    """Runs ``sweep(owner)`` every so many minutes, on a thread of its own, while ``owner`` lives."""

    def __init__(self, owner: T, sweep: Callable[[T], int], configured: Callable[[T], float | None]) -> None:
        """``configured(owner)`` is the interval in minutes where ``start`` is not told one; ``None``: the default."""
        self._owner = weakref.ref(owner)
        self._sweep = sweep
        self._configured = configured
        self._lock = ProcessLock(self._empty)
        self._empty()

    def _empty(self) -> None:
        self._run: _Run[T] | None = None
        self._thread: threading.Thread | None = None

    def start(self, minutes: float | None = None) -> concurrent.futures.Future[None]:
        """Starts the sweeper, or finds it running. Cancel the future to stop it."""
        owner = self._owner()
        assert owner is not None, "whoever calls start() holds the owner"
        with self._lock:
            if self._run is not None and not self._run.stop.is_set():
                return self._run.future
            stop = threading.Event()
            watched = weakref.ref(owner, lambda _: stop.set())
            run = _Run(watched, self._sweep, self._configured, minutes, self._thread, stop)
            run.future.add_done_callback(lambda _: stop.set())
            thread = threading.Thread(target=run, name="vecmem-ttl-sweeper", daemon=True)
            thread.start()
            self._run, self._thread = run, thread
            return run.future

    def stop(self, timeout: float | None = None) -> bool:
        """Stops the sweeper, waiting for at most ``timeout`` seconds; false if it still runs then."""
        with self._lock:
            run, thread = self._run, self._thread
        if run is None or thread is None:
            return True
        run.stop.set()
        if thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()
