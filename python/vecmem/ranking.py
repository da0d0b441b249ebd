"""Pages of a search by meaning: slices of one ranking, as of one moment, with nothing lost or repeated between them.

The first page may be found by walking a graph, which is fast and may miss an item that belongs there. Later pages are
taken from the exact ranking, less what came before, so what the walk missed comes on the next page.

Invariants:
* Pages are asked in order, each where the one before ended; together they are the exact ranking, each item once.
* Addresses are remembered only until the pages are the exact ranking's beginning, mostly for one page.
"""

from __future__ import annotations

from typing import Any

from langgraph.store.base import SearchItem

from ._vecmem import _search_items
from .embedding import Array

Address = tuple[tuple[str, ...], str]


class Ranking:
    """The items of a scope, most similar first, then those without vectors where they are asked for; the counterpart of
    the engine's listing."""

    __slots__ = ("_asked", "_snapshot", "_unlike")

    def __init__(self, snapshot: Any, vector: Array, asked: dict[str, Any]) -> None:
        self._snapshot = snapshot
        self._asked = {"vector": vector, **asked}
        # What was returned, if that is not the exact ranking's beginning.
        self._unlike: set[Address] = set()

    def page(self, offset: int, limit: int) -> list[SearchItem]:
        """The items from ``offset`` on, which is how many were returned before, at most ``limit``."""
        if not offset:
            items = self._search(0, limit, exact=False)
            self._unlike = set(map(_address, items))
            return items
        if not self._unlike:
            return self._search(offset, limit, exact=True)
        beginning = self._search(0, offset + limit, exact=True)
        items = [item for item in beginning if _address(item) not in self._unlike][:limit]
        self._unlike.update(map(_address, items))
        if self._unlike == set(map(_address, beginning)):
            self._unlike = set()
        return items

    def _search(self, offset: int, limit: int, exact: bool) -> list[SearchItem]:
        return _search_items(self._snapshot.search(offset=offset, limit=limit, exact=exact, **self._asked))


def _address(item: SearchItem) -> Address:
    return item.namespace, item.key
