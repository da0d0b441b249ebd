"""``with`` and ``async with`` for what has a ``close``."""

from __future__ import annotations

import asyncio
from types import TracebackType

from typing_extensions import Self


class Closing:
    """What is closed at the end of its ``with`` or ``async with``."""

    def close(self) -> None:
        """Closes it. Closing again does nothing."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """``close``, without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
