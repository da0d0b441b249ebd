"""What a failed write leaves in the log: background code, such as LangMem's, never looks at the result of its writes.

Invariants:
* A failed write is logged where its error may never be looked at: off the main thread, or after a cancel; whether
  ``BaseStore`` refuses it, before it reaches ``batch`` or ``abatch``, or the store does.
* An error is logged once, and raised as if it had not been.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal

from langgraph.store.base import NOT_PROVIDED, NotProvided, Op, PutOp

from .hints import HintedStore

logger = logging.getLogger("vecmem")

_LOGGED = "_vecmem_logged"


class LoggedWrites(HintedStore):
    """A store whose single writes are ``BaseStore``'s, and are logged where they fail off the main thread."""

    def put(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | timedelta | None | NotProvided = NOT_PROVIDED,
    ) -> None:
        """Stores an item, or replaces it; ``ttl`` is a ``timedelta`` or a number of minutes."""
        with logged_off_main_thread():
            super().put(namespace, key, value, index, ttl=_minutes(ttl))

    def delete(self, namespace: tuple[str, ...], key: str) -> None:
        """Deletes an item, if it is there."""
        with logged_off_main_thread():
            super().delete(namespace, key)

    async def aput(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | timedelta | None | NotProvided = NOT_PROVIDED,
    ) -> None:
        """``put``, without blocking the event loop."""
        with logged_off_main_thread():
            await super().aput(namespace, key, value, index, ttl=_minutes(ttl))

    async def adelete(self, namespace: tuple[str, ...], key: str) -> None:
        """``delete``, without blocking the event loop."""
        with logged_off_main_thread():
            await super().adelete(namespace, key)


def _minutes(ttl: float | timedelta | None | NotProvided) -> float | None | NotProvided:
    return ttl / timedelta(minutes=1) if isinstance(ttl, timedelta) else ttl


def writes_of(ops: Sequence[Op]) -> int:
    """How many operations write."""
    return sum(isinstance(op, PutOp) for op in ops)


class logged_off_main_thread:
    """A context that logs the error of a batch, unless the batch writes nothing, or this is the main thread, or the
    error has been logged. ``batch`` is the operations, or the number of writes."""

    __slots__ = ("_batch",)

    def __init__(self, batch: Sequence[Op] | int = 1) -> None:
        self._batch = batch

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread = threading.current_thread()
        if not isinstance(error, Exception) or thread is threading.main_thread() or getattr(error, _LOGGED, False):
            return
        writes = self._batch if isinstance(self._batch, int) else writes_of(self._batch)
        if writes:
            logger.error(
                "a batch with %d writes failed on thread %s; none of them happened", writes, thread.name, exc_info=error
            )
            with contextlib.suppress(AttributeError):  # a class of errors that takes no attributes
                setattr(error, _LOGGED, True)


def log_after_cancel(ops: Sequence[Op], future: concurrent.futures.Future[Any]) -> None:
    """Logs the error of a batch whose caller was cancelled and will not see it."""
    if future.cancelled():
        return
    if (error := future.exception()) is not None:
        writes = writes_of(ops)
        logger.error(
            "a batch with %d writes, whose caller was cancelled, failed; none of them happened", writes, exc_info=error
        )
