"""Searches with a least score, for a store and its snapshots.

Invariant: without ``min_score`` a search is ``BaseStore``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.store.base import SearchItem, SearchOp

from . import contract
from .batches import Batches
from .errors import InvalidInputError
from .hints import HintedStore


class ScoredSearches(HintedStore, Batches):
    """``search`` and ``asearch`` with ``min_score``."""

    def search(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: Mapping[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
        min_score: float | None = None,
    ) -> list[SearchItem]:
        """The items below a prefix, most similar to ``query`` first, or, without one, the newest first.

        ``min_score``: only items with at least this score, so none without a vector. It needs a ``query`` and a store
        with an ``index``. A higher score is better whatever the ``distance_type``; that of ``"l2"`` is never above 0.

        >>> import vecmem
        >>> def embed(texts):
        ...     return [[float("cat" in text), float("tea" in text)] for text in texts]
        >>> store = vecmem.Store(index={"dims": 2, "embed": embed})
        >>> store.put(("notes",), "a", {"text": "a cat"})
        >>> store.put(("notes",), "b", {"text": "green tea"})
        >>> [item.key for item in store.search(("notes",), query="cat", min_score=0.5)]
        ['a']
        """
        asked: Any = {"query": query, "filter": filter, "limit": limit, "offset": offset, "refresh_ttl": refresh_ttl}
        if min_score is None:
            return super().search(namespace_prefix, **asked)
        return self.batch([self._scored(min_score, namespace_prefix, asked)])[0]  # type: ignore[return-value]

    async def asearch(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: Mapping[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
        min_score: float | None = None,
    ) -> list[SearchItem]:
        """``search``, without blocking the event loop."""
        asked: Any = {"query": query, "filter": filter, "limit": limit, "offset": offset, "refresh_ttl": refresh_ttl}
        if min_score is None:
            return await super().asearch(namespace_prefix, **asked)
        return (await self.abatch([self._scored(min_score, namespace_prefix, asked)]))[0]  # type: ignore[return-value]

    def _scored(self, min_score: Any, prefix: tuple[str, ...], asked: dict[str, Any]) -> Any:
        least = contract.score("min_score", min_score)
        if self._core.embedder is None:
            raise InvalidInputError("min_score needs an index: this store embeds nothing")
        if not asked["query"]:
            raise InvalidInputError("min_score needs a query: without one nothing has a score")
        if asked["refresh_ttl"] is None:
            asked["refresh_ttl"] = (self.ttl_config or {}).get("refresh_on_read", True)
        search = contract.checked_search(SearchOp(prefix, **asked))
        return search._replace(min_score=least)
