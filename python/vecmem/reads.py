"""The reads of a batch: LangGraph's operations become calls of the engine, and its answers become LangGraph's items.

Invariants:
* A read sees one moment: that of the source it is given, an engine or a snapshot of one, or that of the listing it goes
  on in.
* What is returned is made for the caller alone; changing it changes nothing in the store.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from langgraph.store.base import GetOp, Item, ListNamespacesOp, MatchCondition, SearchItem, SearchOp

from .embedding import Array
from .paging import PagingMemory

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TIMES = (datetime.min.replace(tzinfo=timezone.utc), datetime.max.replace(tzinfo=timezone.utc))

# Up to the year 2223 a float of seconds is nearer to its microsecond than to any other, and this is the fastest way.
_EXACT = 8_000_000_000_000_000
_from_timestamp = datetime.fromtimestamp

Namespace = tuple[str, ...]


@dataclass(slots=True)
class Pages:
    """Where a listing that goes on in an earlier page finds it, and whose page it is."""

    memory: PagingMemory
    owner: object | None = None


def get(source: Any, op: GetOp, include_expired: bool) -> Item | None:
    """The item, or ``None``."""
    if not op.namespace:
        return None
    found = source.get(op.namespace, op.key, include_expired=include_expired, refresh_ttl=op.refresh_ttl)
    if found is None:
        return None
    created_at, updated_at = _times(found)
    return Item(value=found.value, key=op.key, namespace=op.namespace, created_at=created_at, updated_at=updated_at)


def search(
    source: Any, op: SearchOp, vector: Array | None, include_expired: bool, pages: Pages | None
) -> list[SearchItem]:
    """The items below the prefix that match: best first where there is a vector, then, or without one, the newest
    first.

    Items without vectors follow the scored ones, as part of the same list. Later pages of a scored list are searched
    exactly: a walk of a graph may find another list for each page.
    """
    if not op.limit:
        return []
    asked: dict[str, Any] = {"filter": op.filter, "include_expired": include_expired, "refresh_ttl": op.refresh_ttl}
    asked |= {"prefix": op.namespace_prefix} if op.namespace_prefix else {"everything": True}
    if vector is not None:
        page = {"limit": op.limit, "offset": op.offset}
        hits = source.search(vector=vector, tail=True, exact=op.offset > 0, **page, **asked)
    elif pages is not None:
        hits = _page(source, op, asked, pages)
    else:
        hits = source.list(limit=op.limit, offset=op.offset, **asked)
    return [_search_item(hit) for hit in hits]


def list_namespaces(source: Any, op: ListNamespacesOp, include_expired: bool) -> list[Namespace]:
    """The namespaces that match all conditions, cut to ``max_depth``, each once, in tuple order."""
    conditions = op.match_conditions or ()
    prefix = _merge(condition for condition in conditions if condition.match_type == "prefix")
    suffix = _merge(condition for condition in conditions if condition.match_type == "suffix")
    if prefix is None or suffix is None or not op.limit:
        return []
    asked = {"prefix": prefix, "suffix": suffix[::-1], "include_expired": include_expired}
    if op.max_depth == 0:  # all that match are cut to the same, empty one
        return [()] if not op.offset and source.list_namespaces(limit=1, **asked) else []
    return source.list_namespaces(max_depth=op.max_depth, limit=op.limit, offset=op.offset, **asked)


def to_datetime(micros: int) -> datetime:
    """Microseconds since 1970 UTC as a ``datetime``; the first or last one of Python's calendar for what lies beyond
    it."""
    if 0 <= micros < _EXACT:
        return _from_timestamp(micros / 1e6, timezone.utc)
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return _TIMES[micros > 0]


def to_micros(time: datetime) -> int:
    """The inverse; a time without a zone counts as UTC."""
    return (time.replace(tzinfo=time.tzinfo or timezone.utc) - _EPOCH) // timedelta(microseconds=1)


def _page(source: Any, op: SearchOp, asked: dict[str, Any], pages: Pages) -> Iterable[Any]:
    """A page of a listing, from the list of the page before if there is one."""
    question = _question(op, asked)
    kept = None if question is None else pages.memory.take(pages.owner, question, op.offset)
    if question is None or (kept is None and op.offset):
        return source.list(limit=op.limit, offset=op.offset, **asked)
    listing = source.snapshot().listing(**asked) if kept is None else kept
    hits = listing.page(op.offset, op.limit)
    if len(hits) == op.limit:
        pages.memory.keep(pages.owner, question, listing, op.offset + op.limit)
    return hits


def _question(op: SearchOp, asked: dict[str, Any]) -> Hashable | None:
    """What two pages of one list have in common; ``None`` for a filter that has no JSON."""
    try:
        conditions = json.dumps(op.filter, sort_keys=True) if op.filter else ""
    except (TypeError, ValueError, RecursionError):
        return None
    return op.namespace_prefix, conditions, op.limit, asked["include_expired"], asked["refresh_ttl"]


def _search_item(hit: Any) -> SearchItem:
    created_at, updated_at = _times(hit)
    return SearchItem(hit.namespace, hit.key, hit.value, created_at, updated_at, hit.score)


def _times(found: Any) -> tuple[datetime, datetime]:
    created_at, updated_at = found.created_at, found.updated_at
    created = to_datetime(created_at)
    return created, created if updated_at == created_at else to_datetime(updated_at)


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
