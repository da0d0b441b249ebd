"""What a store offers beyond LangGraph's contract for many items by a rule: deletes by filter or age, and renames.

Invariants:
* Each call is one step: all of it happens, or nothing. With ``batches`` it is several such steps, to the end.
* A call that takes items away lets go of the lists that the store itself keeps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from langgraph.store.base import Op

from . import contract
from .errors import InvalidInputError
from .plan import Core


class Pruning:
    """A store's deletes and moves by a rule; see ``Store``."""

    _core: Core

    _off_loop: Callable[[Sequence[Op], Callable[[], Any]], Awaitable[Any]]

    def delete_where(self, prefix: Sequence[str], filter: Mapping[str, Any], *, batches: bool = False) -> int:
        """Deletes the items at and below ``prefix`` for which ``filter`` holds, all in one step or none; returns how
        many these were. An empty prefix is the whole store. ``count(prefix, filter=...)`` tells before.

        What others write meanwhile is tested again. An empty filter is refused: ``delete_namespace`` says that.
        ``batches``: in several steps if there are more than 1,000,000.

        >>> import vecmem
        >>> store = vecmem.Store()
        >>> store.put(("notes",), "a", {"kind": "draft"})
        >>> store.put(("notes",), "b", {"kind": "final"})
        >>> store.delete_where(("notes",), {"kind": "draft"})
        1

        Raises:
            vecmem.InvalidInputError: The filter is empty or cannot be used.
            vecmem.LimitError: There are more than 1,000,000 such items, and ``batches`` is false.
        """
        found = contract.labels(prefix)
        scope: dict[str, Any] = {"prefix": found} if found else {"everything": True}
        return self._to_the_end(
            lambda after: self._core.engine.delete_where(filter, batches=batches, after=after, **scope)
        )

    async def adelete_where(self, prefix: Sequence[str], filter: Mapping[str, Any], *, batches: bool = False) -> int:
        """``delete_where``, without blocking the event loop."""
        deleted: int = await self._off_loop((), lambda: self.delete_where(prefix, filter, batches=batches))
        return deleted

    def keep_newest(
        self, prefix: Sequence[str], n: int, *, filter: Mapping[str, Any] | None = None, batches: bool = False
    ) -> int:
        """Deletes all but the ``n`` newest items of each namespace at and below ``prefix``, by the time of the last
        update; returns how many went. With ``filter``, only items for which it holds count and go. An empty prefix is
        the whole store.

        >>> import vecmem
        >>> store = vecmem.Store()
        >>> for number in range(5):
        ...     store.put(("threads", "7"), f"m{number}", {"text": "hello"})
        >>> store.keep_newest(("threads",), 3)
        2
        """
        found = contract.labels(prefix)
        scope: dict[str, Any] = {"prefix": found} if found else {"everything": True}
        return self._to_the_end(
            lambda after: self._core.engine.keep_newest(n, filter=filter, batches=batches, after=after, **scope)
        )

    async def akeep_newest(
        self, prefix: Sequence[str], n: int, *, filter: Mapping[str, Any] | None = None, batches: bool = False
    ) -> int:
        """``keep_newest``, without blocking the event loop."""
        deleted: int = await self._off_loop((), lambda: self.keep_newest(prefix, n, filter=filter, batches=batches))
        return deleted

    def rename(self, prefix: Sequence[str], to: Sequence[str], *, merge: bool = False, batches: bool = False) -> int:
        """Moves every item at and below ``prefix`` to ``to``, which takes the place of the prefix, in one step or none;
        returns how many moved. Values, vectors, times and expiry stay.

        ``merge``: although there are items at or below ``to``; those of the same namespace and key are replaced.
        ``batches``: in several steps if there are more than 50,000 items, or 64 MiB.

        >>> import vecmem
        >>> store = vecmem.Store()
        >>> store.put(("drafts", "may"), "a", {"n": 1})
        >>> store.rename(("drafts",), ("posts",))
        1
        >>> store.get(("posts", "may"), "a").value
        {'n': 1}

        Raises:
            vecmem.ConditionFailedError: There are items at or below ``to``, and ``merge`` is false.
        """
        old, new = contract.labels(prefix), contract.labels(to)
        if not old or not new:
            raise InvalidInputError("rename needs at least one label of the old prefix and of the new one")
        return self._to_the_end(
            lambda after: self._core.engine.rename(old, new, merge=merge, batches=batches, after=after)
        )

    async def arename(
        self, prefix: Sequence[str], to: Sequence[str], *, merge: bool = False, batches: bool = False
    ) -> int:
        """``rename``, without blocking the event loop."""
        moved: int = await self._off_loop((), lambda: self.rename(prefix, to, merge=merge, batches=batches))
        return moved

    def _to_the_end(self, call: Callable[[str | None], Any]) -> int:
        """Calls with what the receipt before gave, until one gives nothing; how many items that were."""
        after: str | None = None
        try:
            while True:
                receipt = call(after)
                after = receipt["next"]
                if after is None:
                    return int(receipt["total"])
        finally:
            self._core.pages.forget(None)
