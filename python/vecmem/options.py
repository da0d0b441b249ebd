"""The keyword arguments of the engine's calls, as types of dicts, and the types of single arguments.

Spans of time are seconds or a ``timedelta``; instants are microseconds since 1970 UTC or a ``datetime`` with a zone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from vecmem._vecmem import Filter

Labels = Sequence[str]
PathText = str | PathLike[str]
Metric = Literal["cosine", "dot", "l2"]
Durability = Literal["sync", "periodic", "manual"]
Span = float | timedelta
Instant = int | datetime
OnProgress = Callable[[str, int, int | None], object]
"""Called with the stage of a job, the steps of it that are done, and how many there are, if that is known."""


class FieldRules(TypedDict):
    """Which paths of values the field indexes leave out, and which they keep before all others."""

    exclude: list[str]
    force: list[str]


class PutOptions(TypedDict, total=False):
    """What a put may be given besides namespace, key and value."""

    vector: ArrayLike | None
    vectors: Sequence[tuple[str, ArrayLike]] | None
    ttl: Span | None
    if_absent: bool
    if_version: int | None
    created_at: Instant | None
    updated_at: Instant | None
    expires_at: Instant | None
    index_paths: Sequence[str] | None
    model: str | None
    texts: Sequence[str] | None


class UpdateOptions(TypedDict, total=False):
    """What an update may be given besides the patch: what a put may be given of the rest of an item."""

    vector: ArrayLike | None
    vectors: Sequence[tuple[str, ArrayLike]] | None
    ttl: Span | None
    if_version: int | None
    updated_at: Instant | None
    index_paths: Sequence[str] | None
    model: str | None
    texts: Sequence[str] | None


class _PutRequired(TypedDict):
    namespace: Labels
    key: str
    value: Mapping[str, Any]


class PutArguments(_PutRequired, PutOptions):
    """The arguments of ``Engine.put`` as a dict."""


class ReadOptions(TypedDict, total=False):
    """What every read may be asked for; ``deadline`` is in seconds from now."""

    select: Sequence[str] | None
    include_vectors: bool
    include_expired: bool
    refresh_ttl: bool
    partial: bool
    deadline: Span | None


class ListingOptions(ReadOptions, total=False):
    """Which items a read may be asked for: a scope other than a namespace, and a filter."""

    prefix: Labels | None
    everything: bool
    filter: Filter | Mapping[str, Any] | None


class ListOptions(ListingOptions, total=False):
    """What a list may be asked for besides: limit, offset, groups and order."""

    limit: int
    offset: int
    group_by: str | None
    per_group: int
    order_by: str | None
    descending: bool
    after: str | None
    explain: bool


class SearchOptions(ListOptions, total=False):
    """What a search may be asked for: a listing's options, and those of the ranking."""

    min_score: float | None
    include_unscored: bool
    exact: bool
    recall: float
    ef_search: int | None
    vector_field: str | None


class RestoreOptions(TypedDict, total=False):
    """Options of ``restore``."""

    bytes_per_second: int | None
    on_progress: OnProgress | None


class BackupOptions(RestoreOptions, total=False):
    """Options of ``Engine.backup``."""

    link: bool


class ScopeOptions(TypedDict, total=False):
    """Options that say which items."""

    prefix: Labels | None
    everything: bool


class IterateOptions(ScopeOptions, total=False):
    """Options of ``iterate``."""

    key_prefix: str | None
    limit: int | None
    select: Sequence[str] | None
    include_vectors: bool
    include_expired: bool
    partial: bool


class NamespaceOptions(TypedDict, total=False):
    """Options of ``list_namespaces``."""

    max_depth: int | None
    limit: int | None
    offset: int | None
    after: Labels | None
    include_expired: bool


class ScopeStatsOptions(ScopeOptions, total=False):
    """Options of ``scope_stats``."""

    partial: bool
    deadline: Span | None


class CountOptions(ScopeStatsOptions, total=False):
    """Options of ``count``."""

    filter: Filter | Mapping[str, Any] | None
    include_expired: bool


class DistinctOptions(CountOptions, total=False):
    """Options of ``distinct``."""

    limit: int


class _PartOptions(TypedDict, total=False):
    batches: bool
    after: str | None
    on_progress: OnProgress | None


class DeleteWhereOptions(ScopeOptions, _PartOptions, total=False):
    """Options of ``Engine.delete_where``."""

    limit: int | None


class KeepNewestOptions(DeleteWhereOptions, total=False):
    """Options of ``Engine.keep_newest``."""

    filter: Filter | Mapping[str, Any] | None


class RenameOptions(_PartOptions, total=False):
    """Options of ``Engine.rename``."""

    merge: bool


class QuotaScopeOptions(ScopeOptions, total=False):
    """Options of ``Engine.remove_quota``."""

    each: bool


class QuotaOptions(QuotaScopeOptions, total=False):
    """Options of ``Engine.set_quota``."""

    items: int | None
    bytes: int | None
