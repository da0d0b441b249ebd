"""Searches with a least score, groups, an order or chosen fields, for a store and its snapshots.

Invariant: without any of these a search is ``BaseStore``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from langgraph.store.base import SearchItem, SearchOp
from typing_extensions import Unpack

from . import contract
from .batches import Batches
from .errors import InvalidInputError
from .hints import HintedStore


class Shape(TypedDict, total=False):
    """What a search of a store may be asked for besides LangGraph's arguments: fields, groups and an order."""

    select: Sequence[str] | None
    group_by: str | None
    per_group: int | None
    order_by: str | None
    descending: bool


class ScoredSearches(HintedStore, Batches):
    """``search`` and ``asearch`` with ``min_score``, ``select``, ``group_by`` and ``order_by``."""

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
        **shape: Unpack[Shape],
    ) -> list[SearchItem]:
        """The items below a prefix, most similar to ``query`` first, or, without one, the newest first.

        ``min_score``: only items with at least this score, so none without a vector. It needs a ``query`` and a store
        with an ``index``. A higher score is better whatever the ``distance_type``; that of ``"l2"`` is never above 0.
        ``select``: paths of the fields that the values have; ``[]`` reads no value, and each is ``{}``.
        ``group_by``: the path of a field, or ``"$item.namespace"``: the best ``per_group`` items, 1 by default, of each
        of the best ``limit`` groups, which ``offset`` counts too; with a ``query``, of items that have vectors.
        ``order_by``: the path of a field, or ``"$item.created_at"``, ``"$item.updated_at"``, ``"$item.key"``: in this
        order instead, ``descending`` or not; it goes with no ``query``.

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
        if min_score is None and not shape:
            return super().search(namespace_prefix, **asked)
        return self.batch([self._shaped(namespace_prefix, asked, min_score, shape)])[0]  # type: ignore[return-value]

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
        **shape: Unpack[Shape],
    ) -> list[SearchItem]:
        """``search``, without blocking the event loop."""
        asked: Any = {"query": query, "filter": filter, "limit": limit, "offset": offset, "refresh_ttl": refresh_ttl}
        if min_score is None and not shape:
            return await super().asearch(namespace_prefix, **asked)
        search = self._shaped(namespace_prefix, asked, min_score, shape)
        return (await self.abatch([search]))[0]  # type: ignore[return-value]

    def _shaped(self, prefix: tuple[str, ...], asked: dict[str, Any], min_score: Any, shape: Shape) -> Any:
        least = None
        if min_score is not None:
            least = contract.score("min_score", min_score)
            if self._core.embedder is None:
                raise InvalidInputError("min_score needs an index: this store embeds nothing")
            if not asked["query"]:
                raise InvalidInputError("min_score needs a query: without one nothing has a score")
        for name in shape:
            if name not in Shape.__annotations__:
                raise TypeError(f"search() got an unexpected keyword argument {name!r}")
        if asked["refresh_ttl"] is None:
            asked["refresh_ttl"] = (self.ttl_config or {}).get("refresh_on_read", True)
        search = contract.checked_search(SearchOp(prefix, **asked))
        given = {name: value for name, value in shape.items() if value is not None}
        return search._replace(min_score=least, shape=given)
