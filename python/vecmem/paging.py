"""The memory of lists: whoever asks for the next page goes on in the list that the page before came from.

Deep Agents lists a namespace by offset, 100 items a page. Were each page a read of its own, a write in between would
shift the offsets, and a row would be lost or come twice; and each page would look for its place from the start. So, per
thread or task and per question, the list behind its last page is kept.

Invariants:
* A page goes on in a kept list only if it begins where the page before ended, asked by the same thread or task with the
  same question within ``SECONDS``, and that thread or task has written nothing since. Any other page is read afresh.
* A list from before a purge is gone on in no more: its next page is one of a new list, as of then. It is let go of at
  the next use of the memory, and what it keeps of the store the engine takes away from it after a grace. A purge by the
  store itself finds no list to wait for: none is kept from its beginning until the engine counts it.
* A forked child begins with an empty memory.
* At most ``LISTINGS`` lists are kept, for they keep a moment of the store, and what was deleted since, from being
  cleaned up. Those whose time is over go at the next use of the memory, whoever uses it, or at the next upkeep of the
  store; those whose thread or task has ended go with any write or upkeep, if not before.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .threads import ProcessLock

SECONDS = 10.0
LISTINGS = 64


class _Thread:
    """Stands for a thread, and is gone when the thread is."""

    __slots__ = ("__weakref__",)


_threads = threading.local()


def current_owner() -> object:
    """What a listing belongs to: the running task, or else the thread."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        task = None
    if task is not None:
        return task
    try:
        return _threads.owner
    except AttributeError:
        _threads.owner = _Thread()
        return _threads.owner


@dataclass(slots=True)
class _Kept:
    owner: weakref.ref[Any]
    listing: Any
    next_offset: int
    deadline: float
    purge_epoch: int


class PagingMemory:
    """The lists behind the last pages of one store; safe to use from many threads.

    An owner of ``None`` is the one that calls. ``purge_epoch`` is the engine's: how many purges have begun.
    """

    def __init__(self, clock: Any = time.monotonic, purge_epoch: Callable[[], int] = lambda: 0) -> None:
        self._clock = clock
        self.purge_epoch = purge_epoch
        self._lock = ProcessLock(self._empty)
        self._empty()

    def _empty(self) -> None:
        # In order of use, so of deadline and epoch as well: those whose time is over, or before a purge, stand first.
        self._kept: OrderedDict[tuple[int, Hashable], _Kept] = OrderedDict()
        # Purges of the store itself under way, and the epoch that there is when the engine has counted all of them.
        self._purges, self._counted_at = 0, 0

    def take(self, owner: object | None, question: Hashable, offset: int) -> Any | None:
        """The listing that a page of ``question`` at ``offset`` goes on in; it is no longer kept then."""
        if not self._kept:
            return None
        owner = current_owner() if owner is None else owner
        with self._lock:
            self._drop_late()
            kept = self._kept.pop((id(owner), question), None)
        if kept is None or kept.owner() is not owner or kept.next_offset != offset:
            return None
        return kept.listing

    def keep(
        self, owner: object | None, question: Hashable, listing: Any, next_offset: int, purge_epoch: int | None = None
    ) -> None:
        """Keeps the listing for the page at ``next_offset``, unless a purge has begun since its ``purge_epoch``."""
        owner = current_owner() if owner is None else owner
        with self._lock:
            now = self.purge_epoch()
            if purge_epoch not in (None, now) or (self._purges and now < self._counted_at):
                return
            kept = _Kept(weakref.ref(owner), listing, next_offset, self._clock() + SECONDS, now)
            self._kept[id(owner), question] = kept
            self._kept.move_to_end((id(owner), question))
            self._drop_late()

    def forget(self, owner: object | None) -> None:
        """``owner`` writes: its next page shows that."""
        if not self._kept:
            return
        owner = current_owner() if owner is None else owner
        with self._lock:
            self._clean()
            for place in [place for place in self._kept if place[0] == id(owner)]:
                del self._kept[place]

    def expire(self) -> None:
        """Lets go of lists whose time is over, whose thread or task has ended, or that are older than a purge."""
        if self._kept:
            with self._lock:
                self._clean()

    def clear(self) -> None:
        """Lets go of all lists."""
        with self._lock:
            self._kept.clear()

    @contextmanager
    def purging(self) -> Iterator[None]:
        """Lets go of all lists for a purge that is done inside, and keeps none that it would wait for."""
        with self._lock:
            self._kept.clear()
            self._counted_at = max(self._counted_at if self._purges else 0, self.purge_epoch()) + 1
            self._purges += 1
        try:
            yield
        finally:
            with self._lock:
                self._purges = max(0, self._purges - 1)

    def __len__(self) -> int:
        return len(self._kept)

    def _clean(self) -> None:
        self._drop_late()
        for place in [place for place, kept in self._kept.items() if kept.owner() is None]:
            del self._kept[place]

    def _drop_late(self) -> None:
        now, epoch = self._clock(), self.purge_epoch()
        while self._kept:
            first = next(iter(self._kept.values()))
            if first.deadline > now and first.purge_epoch == epoch and len(self._kept) <= LISTINGS:
                return
            self._kept.popitem(last=False)
