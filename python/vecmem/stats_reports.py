"""What ``Engine.stats`` tells, as types of dicts; ``vecmem.reports`` has them too."""

from __future__ import annotations

from typing import TypedDict

from vecmem.options import FieldRules


class CallLatency(TypedDict):
    """How long calls of one kind took since the engine was opened, in microseconds. Percentiles are off by at most
    3.1 %. Of gets about one in eight is timed; ``count`` has them all."""

    count: int
    timed: int
    p50_us: float
    p99_us: float
    max_us: float


class LatencyStats(TypedDict):
    """Latency by kind of call. ``search_graph`` are searches by vector that searched a graph, ``search_flat`` all
    others by vector, ``list`` those without one. A batch is one call. Calls that failed are not among them."""

    put: CallLatency
    delete: CallLatency
    batch: CallLatency
    get: CallLatency
    get_many: CallLatency
    search_flat: CallLatency
    search_graph: CallLatency
    list: CallLatency


class SizeStats(TypedDict):
    """How much a store holds, and how much of the disk that takes."""

    items: int
    disk_bytes: int
    segment_bytes: int
    blob_bytes: int
    derived_bytes: int
    dead_rows: int
    dead_blob_bytes: int
    free_bytes: int
    reserve_bytes: int


class MemoryStats(TypedDict):
    """What a store keeps in memory, and what readers keep alive."""

    memtable_rows: int
    memtable_bytes: int
    frozen_memtables: int
    open_cursors: int
    oldest_cursor_seconds: float | None


class GainingScope(TypedDict):
    """A namespace or prefix whose searches a graph would make faster; it is due once ``earned`` reaches 1."""

    labels: list[str]
    is_prefix: bool
    rows: int
    earned: float


class MeasuredGraph(TypedDict):
    """A graph of which ``checked`` queries were repeated exactly: the mean ``recall`` that they got where they had
    ``asked`` for so much. The graph was fitted ``fits`` times to such queries; it keeps ``kept_queries`` in memory."""

    labels: list[str]
    is_prefix: bool
    rows: int
    checked: int
    recall: float | None
    asked: float | None
    fits: int
    kept_queries: int


class GraphStats(TypedDict):
    """The graphs of a store; ``builds`` are those since the open. Graphs ``of_filters`` are in memory, over the rows
    that pass a filter that searches repeat, and take ``filter_bytes``. Those ``measured`` fall short most first;
    the queries that all graphs keep take ``kept_query_bytes``."""

    count: int
    nodes: int
    bytes: int
    builds: int
    of_filters: int
    filter_bytes: int
    measured: list[MeasuredGraph]
    kept_query_bytes: int
    gaining: list[GainingScope]


class PathStats(TypedDict):
    """An indexed path: ``distinct`` values at most in one segment, and ``values``, pairs of an item and a value."""

    path: str
    distinct: int
    values: int
    bytes: int


class FieldStats(TypedDict):
    """The field indexes of a store, with those paths that take the most bytes; ``other_rules`` were not built by
    ``rules``."""

    bytes: int
    path_count: int
    paths: list[PathStats]
    rules: FieldRules
    other_rules: int


class LogStats(TypedDict):
    """The log of a store: its size, how far readers see, up to where it is not needed any more."""

    bytes: int
    visible_lsn: int
    checkpoint_lsn: int
    files_prepared: int


class HealthStats(TypedDict):
    """Whether all is well: lists that are empty, an error that is ``None``, and a clock that is ``"ok"``."""

    damage: list[str]
    background_error: str | None
    waiting: list[str]
    clock: str
    clock_ahead_seconds: float | None
    touches_dropped: int


class ShardStats(TypedDict):
    """What one shard, a contiguous range of namespaces, has in segments, deleted rows included."""

    segments: int
    rows: int
    vectors: int
    bytes: int


class InternalStats(TypedDict):
    """How the engine has laid out a store, and what it has done since the open."""

    shards: int
    shard_sizes: list[ShardStats]
    segments: int
    segment_rows: int
    segment_vectors: int
    blob_files: int
    manifest_generation: int
    flushes: int
    merges: int
    swept: int


class Stats(TypedDict):
    """What ``Engine.stats`` tells, grouped by what a person asks; what the engine keeps for itself comes last."""

    size: SizeStats
    memory: MemoryStats
    graphs: GraphStats
    fields: FieldStats
    log: LogStats
    health: HealthStats
    latency: LatencyStats
    internals: InternalStats
