"""What ``Store.from_conn_string`` returns: a store that opens on entry, in ``with`` and in ``async with`` alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar


class _Closes(Protocol):
    def close(self) -> None: ...


S = TypeVar("S", bound=_Closes)


class Connection(Generic[S]):
    """A context manager, synchronous and asynchronous, around ``open``."""

    def __init__(self, open: Callable[[], S]) -> None:
        self._open = open
        self._opened: list[S] = []

    def __enter__(self) -> S:
        store = self._open()
        self._opened.append(store)
        return store

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.pop().close()

    def __getattr__(self, name: str) -> Any:
        """Says what to write, where somebody takes this for the store."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"from_conn_string returns a context manager, and the store is what it gives: write "
            f"`with Store.from_conn_string(path) as store: store.{name}(...)`, or `store = Store(path)`"
        )

    async def __aenter__(self) -> S:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)
