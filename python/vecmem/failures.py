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
        try:
            super().put(namespace, key, value, index, ttl=_minutes(ttl))
        except Exception as error:
            log_off_main_thread(1, error)
            raise

    def delete(self, namespace: tuple[str, ...], key: str) -> None:
        """Deletes an item, if it is there."""
        try:
            super().delete(namespace, key)
        except Exception as error:
            log_off_main_thread(1, error)
            raise

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
        try:
            await super().aput(namespace, key, value, index, ttl=_minutes(ttl))
        except Exception as error:
            log_off_main_thread(1, error)
            raise

    async def adelete(self, namespace: tuple[str, ...], key: str) -> None:
        """``delete``, without blocking the event loop."""
        try:
            await super().adelete(namespace, key)
        except Exception as error:
            log_off_main_thread(1, error)
            raise


def _minutes(ttl: float | timedelta | None | NotProvided) -> float | None | NotProvided:
    return ttl / timedelta(minutes=1) if isinstance(ttl, timedelta) else ttl


def writes_of(ops: Sequence[Op]) -> int:
    """How many operations write."""
    return sum(isinstance(op, PutOp) for op in ops)


def log_off_main_thread(writes: int, error: Exception) -> None:
    """Logs the error of a batch with so many writes, unless there are none, or this is the main thread, or it has been
    logged."""
    thread = threading.current_thread()
    if writes and thread is not threading.main_thread() and not getattr(error, _LOGGED, False):
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
