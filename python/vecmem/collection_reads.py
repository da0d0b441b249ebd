"""A store, or one of its snapshots, as a collection of items that is read: counts, versions, ``len``, ``in``,
iteration.

Invariant: each call sees one moment, that of the snapshot or the newest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langgraph.store.base import Item

from . import contract
from .batches import Batches
from .reads import to_item
from .reports import ScopeStats


class CollectionReads(Batches):
    """The reads beyond LangGraph's contract that a store and a snapshot share."""

    def count(self, prefix: Sequence[str] = (), *, filter: Mapping[str, Any] | None = None) -> int:
        """How many items there are below ``prefix``, those of the namespace itself included; by default in the whole
        store. With ``filter``, only those for which it holds: as many as ``delete_where`` would delete, of those that
        have not expired."""
        return self._core.source.count(filter=filter, include_expired=self._include_expired(), **_scope(prefix))

    async def acount(self, prefix: Sequence[str] = (), *, filter: Mapping[str, Any] | None = None) -> int:
        """``count``, without blocking the event loop."""
        return await self._off_loop((), lambda: self.count(prefix, filter=filter))

    def distinct(
        self, path: str, prefix: Sequence[str] = (), *, filter: Mapping[str, Any] | None = None, limit: int = 1_000
    ) -> list[tuple[Any, int]]:
        """The different values at ``path``, each with the number of items that have it: at most ``limit``, those that
        most items have first. An array counts as its elements; ``path`` is written as in filters.

        >>> import vecmem
        >>> store = vecmem.Store()
        >>> store.put(("notes",), "a", {"tags": ["red", "blue"]})
        >>> store.put(("notes",), "b", {"tags": ["red"]})
        >>> store.distinct("tags")
        [('red', 2), ('blue', 1)]
        """
        expired = self._include_expired()
        found = self._core.source.distinct(path, filter=filter, limit=limit, include_expired=expired, **_scope(prefix))
        return [(value["value"], value["count"]) for value in found["values"]]

    async def adistinct(
        self, path: str, prefix: Sequence[str] = (), *, filter: Mapping[str, Any] | None = None, limit: int = 1_000
    ) -> list[tuple[Any, int]]:
        """``distinct``, without blocking the event loop."""
        found: list[tuple[Any, int]] = await self._off_loop(
            (), lambda: self.distinct(path, prefix, filter=filter, limit=limit)
        )
        return found

    def scope_stats(self, prefix: Sequence[str] = ()) -> ScopeStats:
        """What there is below ``prefix``: items, expired ones, namespaces, vectors, graphs, and bytes. No value is
        read."""
        return self._core.source.scope_stats(**_scope(prefix))

    async def ascope_stats(self, prefix: Sequence[str] = ()) -> ScopeStats:
        """``scope_stats``, without blocking the event loop."""
        found: ScopeStats = await self._off_loop((), lambda: self.scope_stats(prefix))
        return found

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


def _scope(prefix: Sequence[str]) -> dict[str, Any]:
    found = contract.labels(prefix)
    return {"prefix": found} if found else {"everything": True}
