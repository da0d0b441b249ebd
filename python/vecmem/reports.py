"""What the engine reports of its work, as types of dicts."""

from __future__ import annotations

from typing import TypedDict

from vecmem.options import FieldRules as FieldRules
from vecmem.quota_reports import Quota as Quota
from vecmem.quota_reports import QuotaUse as QuotaUse
from vecmem.stats_reports import CallLatency as CallLatency
from vecmem.stats_reports import FieldStats as FieldStats
from vecmem.stats_reports import GainingScope as GainingScope
from vecmem.stats_reports import GraphStats as GraphStats
from vecmem.stats_reports import HealthStats as HealthStats
from vecmem.stats_reports import InternalStats as InternalStats
from vecmem.stats_reports import LatencyStats as LatencyStats
from vecmem.stats_reports import LogStats as LogStats
from vecmem.stats_reports import MeasuredGraph as MeasuredGraph
from vecmem.stats_reports import MemoryStats as MemoryStats
from vecmem.stats_reports import PathStats as PathStats
from vecmem.stats_reports import ShardStats as ShardStats
from vecmem.stats_reports import SizeStats as SizeStats
from vecmem.stats_reports import Stats as Stats


class ImportReport(TypedDict):
    """What ``Engine.import_items`` did; ``bad`` holds (number, message) of the first 100 items left out."""

    imported: int
    skipped: int
    resumed_after: int
    complete: bool
    bad: list[tuple[int, str]]


class LostItem(TypedDict):
    """An item that could be named and not be read, and what of it could not be read."""

    namespace: list[str]
    key: str
    why: str


class LossReport(TypedDict):
    """What was given up: files of segments that were replaced, how many of their rows live on, the items that are gone,
    how many more rows without a name are, whether ids of earlier operations are, and what could not be done."""

    segments: list[str]
    kept: int
    lost: list[LostItem]
    unnamed: int
    operation_ids: bool
    problems: list[str]


class _Checked(TypedDict):
    problems: list[str]
    repaired: list[str]
    segments: int
    rows: int
    advice: list[str]


class CheckReport(_Checked, total=False):
    """What ``Engine.check`` found; no ``problems`` means that the store is whole. ``advice`` says what helps with
    them; ``loss`` is there with ``accept_loss``."""

    loss: LossReport


class SalvageReport(TypedDict):
    """What ``salvage`` saved, what it could name and not read, how many rows it could not even name, which files or
    places in them are damaged, and what may be otherwise than it was."""

    items: int
    lost: list[LostItem]
    unnamed: int
    damage: list[str]
    notes: list[str]


class BackupReport(TypedDict):
    """What ``Engine.backup`` or ``restore`` did: the copy holds every write up to ``lsn``. A checkpoint shares its
    files with the store, so damage of one is damage of both."""

    is_checkpoint: bool
    lsn: int
    incarnation: int
    files: int
    bytes: int
    files_copied: int
    bytes_copied: int
    files_cloned: int
    bytes_cloned: int
    files_linked: int
    bytes_linked: int
    files_reused: int
    bytes_reused: int
    files_verified: int
    bytes_verified: int
    files_removed: int
    paused_seconds: float
    seconds: float


class CompactReport(TypedDict):
    """How many expired items ``Engine.compact`` removed, how many it had to leave, and why."""

    swept: int
    expired_left: int
    expired_left_why: str | None


class EndedHolder(TypedDict):
    """A snapshot, listing, iteration or running backup that a purge has ended: ``kind`` is ``"snapshot"``,
    ``"listing"``, ``"cursor"`` or ``"backup"``."""

    kind: str
    age_seconds: float
    visible_lsn: int


class StillHeld(TypedDict):
    """What keeps older state after a purge, until it ends by itself: reads under way, and files they have open."""

    running: int
    files: list[str]


class HoldersReport(TypedDict):
    """What became of snapshots, listings and scans from before a purge: how long they were waited for, how many went
    by themselves, and which were ended."""

    waited_seconds: float
    left: int
    ended: list[EndedHolder]
    still_held: StillHeld


class PurgeReceipt(TypedDict):
    """The evidence of ``Engine.purge``: everything that was deleted, replaced or swept in ``scope`` up to ``lsn`` is
    erased, and ``files_unlinked`` are removed. Their blocks on the device are not overwritten. Backups and other copies
    still hold it; ``not_reached`` says so, for people."""

    scope: str
    items: int
    lsn: int
    swept: int
    expired_left: int
    expired_left_why: str | None
    segments_rewritten: int
    bytes_written: int
    files_unlinked: list[str]
    holders: HoldersReport
    not_reached: str
    seconds: float


class PruneReceipt(TypedDict):
    """What ``delete_where`` and ``keep_newest`` did: ``deleted`` by this call, ``total`` by this call and those before
    it. ``next`` is where a later call goes on, ``None`` once everything was seen. ``remains`` says, for people, where
    the bytes of deleted items still are."""

    scope: str
    deleted: int
    total: int
    next: str | None
    remains: str
    seconds: float


RenameReceipt = TypedDict(
    "RenameReceipt",
    {"from": str, "to": str, "moved": int, "total": int, "next": str | None, "remains": str, "seconds": float},
)
"""What ``rename`` did: ``moved`` by this call, ``total`` by this call and those before it. ``next`` is what a later
call needs to go on, ``None`` once everything was moved."""


class DistinctValue(TypedDict):
    """One of the different values at a path, and how many items have it."""

    value: str | int | float | bool | None
    count: int


class DistinctValues(TypedDict):
    """The different values at a path, those that most items have first; ``found`` is how many there are, ``more``
    whether that is more than the limit."""

    values: list[DistinctValue]
    found: int
    more: bool
    incomplete: bool


class ScopeStats(TypedDict):
    """What a scope holds. ``expired`` items are hidden and wait for a sweep. ``value_bytes`` are those of values as
    they are stored; ``vector_bytes`` are without codes and graphs. ``quota`` is that of the scope itself."""

    items: int
    expired: int
    namespaces: int
    vectors: int
    key_bytes: int
    value_bytes: int
    vector_bytes: int
    graphs: int
    items_in_graphs: int
    quota: QuotaUse | None
    incomplete: bool


class GraphBuild(TypedDict):
    """What ``Engine.build_graph`` built."""

    graphs: int
    nodes: int
    bytes: int
    seconds: float
