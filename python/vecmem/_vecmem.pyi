"""Types of the extension module ``vecmem._vecmem``; the package ``vecmem`` re-exports its classes.

Invariant: ``tests/test_stubs_match_the_extension.py`` compares every signature here with the one at runtime.
Durations are seconds or a timedelta, instants microseconds since 1970 UTC or an aware datetime. Docs are at run time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, final, overload

from numpy import float32, int64, uint64
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Unpack

from vecmem import reports
from vecmem.options import (
    BackupOptions,
    CountOptions,
    DeleteWhereOptions,
    DistinctOptions,
    Durability,
    IterateOptions,
    KeepNewestOptions,
    Labels,
    ListingOptions,
    ListOptions,
    Metric,
    NamespaceOptions,
    OnProgress,
    PathText,
    PutArguments,
    PutOptions,
    QuotaOptions,
    QuotaScopeOptions,
    ReadOptions,
    RenameOptions,
    RestoreOptions,
    ScopeOptions,
    ScopeStatsOptions,
    SearchOptions,
    Span,
    UpdateOptions,
)
from vecmem.reports import CheckReport, CompactReport, GraphBuild, ImportReport, PurgeReceipt, SalvageReport, Stats
from vecmem.results import SearchResult

__version__: str

_BATCH_OPERATIONS: int  # limits of the engine, for checks that come before it
_KEY_BYTES: int
_LABELS: int
_LABEL_BYTES: int
_SQUARED_NORM: float
_VECTORS_PER_ITEM: int

ListOf: TypeAlias = list  # ``list`` is a method of some classes below

class Item:
    """A stored memory, as a read returned it."""

    @property
    def namespace(self) -> tuple[str, ...]: ...
    @property
    def key(self) -> str: ...
    @property
    def value(self) -> dict[str, Any]: ...
    @property
    def value_json(self) -> str: ...
    @property
    def created_at(self) -> int: ...
    @property
    def updated_at(self) -> int: ...
    @property
    def expires_at(self) -> int | None: ...
    @property
    def ttl(self) -> float | None: ...
    @property
    def version(self) -> int: ...
    @property
    def vectors(self) -> list[tuple[str, NDArray[float32]]]: ...
    def to_dict(self) -> dict[str, Any]: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Hit(Item):
    """One result of a search: an item and how similar it is."""

    @property
    def score(self) -> float | None: ...

@final
class Columns:
    """An answer as numpy arrays: of shape (k,) for one query, (n, k) for n, padded with NaN and 0 beyond ``counts``."""

    @property
    def counts(self) -> NDArray[int64]: ...
    @property
    def next(self) -> str | None: ...
    @property
    def scores(self) -> NDArray[float32]: ...
    @property
    def created_at(self) -> NDArray[int64]: ...
    @property
    def updated_at(self) -> NDArray[int64]: ...
    @property
    def versions(self) -> NDArray[uint64]: ...
    @property
    def keys(self) -> list[Any]: ...
    @property
    def namespaces(self) -> list[Any]: ...
    @property
    def values(self) -> list[Any]: ...
    @property
    def values_json(self) -> list[Any]: ...
    @property
    def incomplete(self) -> bool: ...
    @property
    def explain(self) -> list[list[dict[str, Any]]]: ...
    @property
    def metric(self) -> Metric | None: ...
    def to_dicts(self) -> list[dict[str, Any]]: ...
    def __len__(self) -> int: ...

@final
class ItemIterator(Iterator[Item]):
    """A walk in (namespace, key) order over one moment of the store."""

    def __iter__(self) -> ItemIterator: ...
    def __next__(self) -> Item: ...

@final
class Listing:
    """The items of a scope, newest update first, in pages that are slices of one list."""

    def page(self, offset: int = 0, limit: int = 100) -> SearchResult: ...

@final
class Filter:
    """Conditions on items, checked once, for any number of reads."""

    def __new__(cls, conditions: Filter | Mapping[str, Any]) -> Filter: ...
    @property
    def conditions(self) -> dict[str, Any]: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Put:
    """A put for ``Engine.write`` and ``Engine.put_many``; it takes the arguments of ``Engine.put``."""

    def __new__(cls, namespace: Labels, key: str, value: Mapping[str, Any], **options: Unpack[PutOptions]) -> Put: ...
    @property
    def size(self) -> int: ...
    @property
    def value(self) -> dict[str, Any]: ...
    def with_vectors(
        self,
        vectors: Sequence[tuple[str, ArrayLike]],
        *,
        model: str | None = None,
        texts: Sequence[str] | None = None,
    ) -> Put: ...

@final
class Delete:
    """A delete for ``Engine.write``."""

    def __new__(cls, namespace: Labels, key: str, *, if_version: int | None = None) -> Delete: ...

class Reader:
    """The reads that ``Engine`` and ``Snapshot`` share."""

    def get(self, namespace: Labels, key: str, **options: Unpack[ReadOptions]) -> Item | None: ...
    def get_many(
        self, addresses: Iterable[tuple[Labels, str]], **options: Unpack[ReadOptions]
    ) -> ListOf[Item | None]: ...
    @overload
    def search(
        self,
        namespace: Labels | None = None,
        vector: ArrayLike | None = None,
        *,
        columns: Literal[False] = False,
        **options: Unpack[SearchOptions],
    ) -> SearchResult: ...
    @overload
    def search(
        self,
        namespace: Labels | None = None,
        vector: ArrayLike | None = None,
        *,
        columns: Literal[True],
        **options: Unpack[SearchOptions],
    ) -> Columns: ...
    @overload
    def search_many(
        self,
        vectors: ArrayLike,
        namespace: Labels | None = None,
        *,
        on_progress: Callable[[int, int], object] | None = None,
        columns: Literal[False] = False,
        **options: Unpack[SearchOptions],
    ) -> ListOf[SearchResult]: ...
    @overload
    def search_many(
        self,
        vectors: ArrayLike,
        namespace: Labels | None = None,
        *,
        on_progress: Callable[[int, int], object] | None = None,
        columns: Literal[True],
        **options: Unpack[SearchOptions],
    ) -> Columns: ...
    @overload
    def search_by_item(
        self,
        namespace: Labels,
        key: str,
        *,
        within: Labels | None = None,
        columns: Literal[False] = False,
        **options: Unpack[SearchOptions],
    ) -> SearchResult: ...
    @overload
    def search_by_item(
        self,
        namespace: Labels,
        key: str,
        *,
        within: Labels | None = None,
        columns: Literal[True],
        **options: Unpack[SearchOptions],
    ) -> Columns: ...
    @overload
    def list(
        self, namespace: Labels | None = None, *, columns: Literal[False] = False, **options: Unpack[ListOptions]
    ) -> SearchResult: ...
    @overload
    def list(
        self, namespace: Labels | None = None, *, columns: Literal[True], **options: Unpack[ListOptions]
    ) -> Columns: ...
    def listing(self, namespace: Labels | None = None, **options: Unpack[ListingOptions]) -> Listing: ...
    def iterate(self, namespace: Labels | None = None, **options: Unpack[IterateOptions]) -> ItemIterator: ...
    def list_namespaces(
        self, prefix: Labels | None = None, suffix: Labels | None = None, **options: Unpack[NamespaceOptions]
    ) -> ListOf[tuple[str, ...]]: ...
    def count(self, namespace: Labels | None = None, **options: Unpack[CountOptions]) -> int: ...
    def distinct(
        self, path: str, namespace: Labels | None = None, **options: Unpack[DistinctOptions]
    ) -> reports.DistinctValues: ...
    def scope_stats(
        self, namespace: Labels | None = None, **options: Unpack[ScopeStatsOptions]
    ) -> reports.ScopeStats: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __contains__(self, address: tuple[Labels, str], /) -> bool: ...
    def __iter__(self) -> ItemIterator: ...

@final
class Snapshot(Reader):
    """One moment of a store."""

    def close(self) -> None: ...
    def __enter__(self) -> Snapshot: ...
    def __exit__(self, *exception: object) -> None: ...

@final
class Engine(Reader):
    """An embedded, durable vector memory: one directory of items with JSON values and vectors."""

    def __new__(
        cls,
        path: PathText | None = None,
        *,
        dims: int | None = None,
        metric: Metric = "cosine",
        durability: Durability = "sync",
        create: bool = True,
        sync_every: Span = 0.1,
        sweep_every: Span | None = 60.0,
        clock_grace: Span = 3600.0,
        lock_timeout: Span = 5.0,
        incarnation: int | None = None,
        read_mode: Literal["map", "heap"] = "map",
        code_residency: Literal["page-cache", "huge-pages"] = "page-cache",
        live_check: bool = True,
    ) -> Engine: ...
    @property
    def path(self) -> Path | None: ...
    @property
    def dims(self) -> int | None: ...
    @property
    def metric(self) -> Metric | None: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def purge_epoch(self) -> int: ...
    def put(self, namespace: Labels, key: str, value: Mapping[str, Any], **options: Unpack[PutOptions]) -> int: ...
    def put_many(self, items: Iterable[Put | PutArguments]) -> ListOf[int | None]: ...
    @overload
    def write(
        self, operations: Iterable[Put | Delete | PutArguments], *, operation_id: None = None
    ) -> ListOf[int | bool | None]: ...
    @overload
    def write(
        self, operations: Iterable[Put | Delete | PutArguments], *, operation_id: str | None
    ) -> ListOf[int | bool | None] | None: ...
    def import_items(
        self,
        items: Iterable[Put | PutArguments],
        *,
        source: str | None = None,
        chunk_rows: int | None = None,
        skip_bad: bool = False,
        on_progress: Callable[[int, int, int], object] | None = None,
    ) -> ImportReport: ...
    def delete(self, namespace: Labels, key: str, *, if_version: int | None = None) -> bool: ...
    def delete_many(self, addresses: Iterable[tuple[Labels, str]]) -> ListOf[bool | None]: ...
    def update(
        self,
        namespace: Labels,
        key: str,
        patch: Mapping[str, Any],
        *,
        create: bool = False,
        **options: Unpack[UpdateOptions],
    ) -> int | None: ...
    def delete_namespace(
        self, namespace: Labels, *, below: bool = True, on_progress: OnProgress | None = None
    ) -> None: ...
    def delete_everything(self, *, on_progress: OnProgress | None = None) -> None: ...
    def purge(
        self,
        namespace: Labels,
        *,
        below: bool = True,
        keep_living: bool = False,
        grace: Span = 5.0,
        on_progress: OnProgress | None = None,
    ) -> PurgeReceipt: ...
    def delete_where(
        self, filter: Filter | Mapping[str, Any], namespace: Labels | None = None, **options: Unpack[DeleteWhereOptions]
    ) -> reports.PruneReceipt: ...
    def keep_newest(
        self, n: int, namespace: Labels | None = None, **options: Unpack[KeepNewestOptions]
    ) -> reports.PruneReceipt: ...
    def rename(
        self, namespace: Labels, to: Labels, *, below: bool = True, **options: Unpack[RenameOptions]
    ) -> reports.RenameReceipt: ...
    def snapshot(self) -> Snapshot: ...
    def stats(self) -> Stats: ...
    def check(
        self, *, repair: bool = False, accept_loss: bool = False, on_progress: OnProgress | None = None
    ) -> CheckReport: ...
    def sync(self) -> None: ...
    def flush(self, *, on_progress: OnProgress | None = None) -> None: ...
    def compact(self, *, on_progress: OnProgress | None = None) -> CompactReport: ...
    def backup(self, target: PathText, **options: Unpack[BackupOptions]) -> reports.BackupReport: ...
    def build_graph(
        self,
        namespace: Labels | None = None,
        *,
        prefix: Labels | None = None,
        everything: bool = False,
        on_progress: OnProgress | None = None,
    ) -> GraphBuild: ...
    def sweep(self, *, on_progress: OnProgress | None = None) -> int: ...
    def accept_clock(self) -> None: ...
    def known_embeddings(self, model: str, texts: Sequence[str]) -> ListOf[NDArray[float32] | None]: ...
    def setting(self, name: str) -> str | None: ...
    def set_setting(self, name: str, json: str | None) -> None: ...
    def set_quota(self, namespace: Labels | None = None, **options: Unpack[QuotaOptions]) -> None: ...
    def remove_quota(self, namespace: Labels | None = None, **options: Unpack[QuotaScopeOptions]) -> bool: ...
    def quotas(self) -> ListOf[reports.Quota]: ...
    def quota_use(self, namespace: Labels | None = None, **scope: Unpack[ScopeOptions]) -> ListOf[reports.QuotaUse]: ...
    def field_rules(self) -> reports.FieldRules: ...
    def set_field_rules(self, exclude: Sequence[str] = (), force: Sequence[str] = ()) -> None: ...
    def rebuild_fields(self, *, on_progress: OnProgress | None = None) -> int: ...
    def close(self) -> None: ...
    def __enter__(self) -> Engine: ...
    def __exit__(self, *exception: object) -> None: ...

def restore(backup: PathText, into: PathText, **options: Unpack[RestoreOptions]) -> reports.BackupReport: ...
def salvage(path: PathText, into: PathText, *, on_progress: OnProgress | None = None) -> SalvageReport: ...
def _item(
    fields: tuple[Any, ...], vectors: list[tuple[str, ArrayLike]], hit: tuple[float | None] | None, /
) -> Item: ...
def _merged(value: dict[str, Any], patch: Mapping[str, Any], /) -> dict[str, Any]: ...
def _get_item(
    reader: Reader, namespace: tuple[str, ...], key: str, include_expired: bool, refresh_ttl: bool, /
) -> Any: ...
def _search_items(hits: list[Hit], /) -> list[Any]: ...
def _vector(value: ArrayLike, /) -> NDArray[float32]: ...
def _panic(message: str) -> None: ...
def _seconds_of_get(engine: Engine, namespace: Labels, key: str, rounds: int) -> float: ...
def _seconds_of_search(engine: Engine, namespace: Labels, vector: ArrayLike, limit: int, rounds: int) -> float: ...
