"""A store, or one of its snapshots, as a collection of items that is read: counts, versions, ``len``, ``in``,
iteration.

Invariant: each call sees one moment, that of the snapshot or the newest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langgraph.store.base import Item

from . import contract
from .batches import Batches
from .reads import to_item


class CollectionReads(Batches):
    """The reads beyond LangGraph's contract that a store and a snapshot share."""

    def count(self, prefix: Sequence[str] = ()) -> int:
        """How many items there are below ``prefix``, those of the namespace itself included; by default in the whole
        store."""
        found = contract.labels(prefix)
        scope: dict[str, Any] = {"prefix": found} if found else {"everything": True}
        return self._core.source.count(include_expired=self._include_expired(), **scope)

    async def acount(self, prefix: Sequence[str] = ()) -> int:
        """``count``, without blocking the event loop."""
        return await self._off_loop((), lambda: self.count(prefix))

    def version(self, namespace: Sequence[str], key: str) -> int | None:
        """The version of an item, for ``if_version``; ``None`` if there is no item, or an expired one.

        Every write of an item changes its version. Read the version before the value, or both from one ``snapshot``:
        then a write that came in between fails the condition.

        >>> import vecmem
        >>> store = vecmem.Store()
        >>> store.put(("jobs",), "a", {"tries": 1})
        >>> version = store.version(("jobs",), "a")
        >>> tries = store.get(("jobs",), "a").value["tries"]
        >>> store.put(("jobs",), "a", {"tries": tries + 1}, if_version=version)
        """
        found, key = contract.address((namespace, key))
        item = self._core.source.get(found, key) if found else None
        return None if item is None else item.version

    async def aversion(self, namespace: Sequence[str], key: str) -> int | None:
        """``version``, without blocking the event loop."""
        return await self._off_loop((), lambda: self.version(namespace, key))

    def __len__(self) -> int:
        """How many items there are, as ``count()``."""
        return self.count()

    def __bool__(self) -> bool:
        """True: an empty store is one."""
        return True

    def __contains__(self, address: object) -> bool:
        """Whether there is an item under an address: ``(namespace, key) in store``."""
        namespace, key = contract.address(address)
        return self._core.source.get(namespace, key, include_expired=self._include_expired()) is not None

    def __iter__(self) -> Iterator[Item]:
        """All items in (namespace, key) order, as of one moment."""
        return map(to_item, self._core.source.iterate(everything=True, include_expired=self._include_expired()))
