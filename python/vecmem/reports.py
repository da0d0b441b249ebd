"""What the engine reports of its work, as types of dicts."""

from __future__ import annotations

from typing import TypedDict


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


class CompactReport(TypedDict):
    """How many expired items ``Engine.compact`` removed, how many it had to leave, and why."""

    swept: int
    expired_left: int
    expired_left_why: str | None


class EndedHolder(TypedDict):
    """A snapshot, listing or iteration that a purge has ended: ``kind`` is ``"snapshot"``, ``"listing"`` or
    ``"cursor"``."""

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
    erased, and ``files_unlinked`` are removed. Their blocks on the device are not overwritten."""

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
    seconds: float


class GraphBuild(TypedDict):
    """What ``Engine.build_graph`` built."""

    graphs: int
    nodes: int
    bytes: int
    seconds: float
