"""The reads of a batch: LangGraph's operations become calls of the engine, and its answers become LangGraph's items.

Invariants:
* A read sees one moment: that of the source it is given, an engine or a snapshot of one, or that of the listing it goes
  on in.
* What is returned is made for the caller alone; changing it changes nothing in the store.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from langgraph.store.base import GetOp, Item, ListNamespacesOp, MatchCondition, SearchItem

from ._vecmem import Engine, Reader, _get_item, _search_items
from .contract import Search
from .embedding import Array
from .errors import SnapshotGoneError
from .paging import PagingMemory
from .ranking import Ranking

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

Namespace = tuple[str, ...]

_OF_ONE_ANSWER = ("group_by", "per_group", "order_by", "descending")
"""Options of a search whose pages are no slices of a ranking or of the newest items."""


@dataclass(slots=True)
class Pages:
    """Where a page that goes on in the list of an earlier one finds it, and whose page it is."""

    memory: PagingMemory
    owner: object | None = None


def get(source: Reader, op: GetOp, include_expired: bool) -> Item | None:
    """The item, or ``None``."""
    if not op.namespace:
        return None
    item: Item | None = _get_item(source, op.namespace, op.key, include_expired, op.refresh_ttl)
    return item


def search(
    source: Any, op: Search, vector: Array | None, include_expired: bool, pages: Pages | None
) -> list[SearchItem]:
    """The items below the prefix that match: best first where there is a vector, then, or without one, the newest
    first.

    Items without vectors follow the scored ones, as part of the same list. A later page that goes on in no kept list is
    searched exactly: a walk of a graph may find another list for each page.
    """
    if not op.limit:
        return []
    asked: dict[str, Any] = {"filter": op.filter, "include_expired": include_expired, "refresh_ttl": op.refresh_ttl}
    asked |= {"prefix": op.prefix} if op.prefix else {"everything": True}
    asked |= op.shape
    if not op.shape.keys().isdisjoint(_OF_ONE_ANSWER):
        pages = None
    if pages is not None and (items := _page(source, op, vector, asked, pages)) is not None:
        return items
    page = {"limit": op.limit, "offset": op.offset}
    if vector is not None:
        ranked = _ranked(op)
        return _search_items(source.search(vector=vector, exact=op.offset > 0, **ranked, **page, **asked))
    return _search_items(source.list(**page, **asked))


def _ranked(op: Search) -> dict[str, Any]:
    """Which items a ranking has: those without vectors as well, or those with a least score."""
    if op.min_score is not None:
        return {"min_score": op.min_score}
    return {} if "group_by" in op.shape else {"include_unscored": True}


def list_namespaces(source: Reader, op: ListNamespacesOp, include_expired: bool) -> list[Namespace]:
    """The namespaces that match all conditions, cut to ``max_depth``, each once, in tuple order."""
    conditions = op.match_conditions or ()
    prefix = _merge(condition for condition in conditions if condition.match_type == "prefix")
    suffix = _merge(condition for condition in conditions if condition.match_type == "suffix")
    if prefix is None or suffix is None or not op.limit:
        return []
    asked: dict[str, Any] = {"prefix": prefix, "suffix": suffix[::-1], "include_expired": include_expired}
    if op.max_depth == 0:  # all that match are cut to the same, empty one
        return [()] if not op.offset and source.list_namespaces(limit=1, **asked) else []
    return source.list_namespaces(max_depth=op.max_depth, limit=op.limit, offset=op.offset, **asked)


def to_micros(time: datetime) -> int:
    """A time in microseconds since 1970 UTC; one without a zone counts as UTC."""
    return (time.replace(tzinfo=time.tzinfo or timezone.utc) - _EPOCH) // timedelta(microseconds=1)


def to_item(item: Any) -> Item:
    """LangGraph's item of the engine's."""
    created_at, updated_at = (_EPOCH + timedelta(microseconds=time) for time in (item.created_at, item.updated_at))
    return Item(value=item.value, key=item.key, namespace=item.namespace, created_at=created_at, updated_at=updated_at)


def _page(
    source: Any, op: Search, vector: Array | None, asked: dict[str, Any], pages: Pages
) -> list[SearchItem] | None:
    """A page of the list of the page before, or the first page of a list; ``None`` for a page of no known list.

    A list that a purge ends amid its pages is made anew as of now, and the page is what stands there then.
    """
    query = None if vector is None else op.query
    conditions = None if op.filter is None else repr(op.filter)
    asked_besides = (asked["include_expired"], op.refresh_ttl, op.min_score, repr(op.shape))
    question = (op.prefix, conditions, query, op.limit, *asked_besides)
    epoch = pages.memory.purge_epoch()
    kept = pages.memory.take(pages.owner, question, op.offset)
    if kept is None and op.offset:
        return None
    for listing in (kept, None):
        if listing is None:
            epoch = pages.memory.purge_epoch()
            snapshot = source.snapshot() if isinstance(source, Engine) else source
            listing = snapshot.listing(**asked) if vector is None else Ranking(snapshot, vector, asked | _ranked(op))
        try:
            page: Any = listing.page(op.offset, op.limit)
        except SnapshotGoneError:  # it goes on in a new list, and where another purge ends that one too, in none
            continue
        items: list[SearchItem] = page if vector is not None else _search_items(page)
        if len(items) == op.limit:
            pages.memory.keep(pages.owner, question, listing, op.offset + op.limit, epoch)
        return items
    return None


def _merge(conditions: Iterable[MatchCondition]) -> list[str] | None:
    """The one pattern that says the same as all ``conditions``, suffixes from their end; ``None`` if no namespace can
    match."""
    merged: list[str] = []
    for condition in conditions:
        path = list(condition.path) if condition.match_type == "prefix" else list(condition.path)[::-1]
        if len(path) > len(merged):
            path, merged = merged, path
        for place, label in enumerate(path):
            if merged[place] == "*":
                merged[place] = label
            elif label not in ("*", merged[place]):
                return None
    return merged
