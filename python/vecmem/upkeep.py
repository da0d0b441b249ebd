"""What a store offers beyond LangGraph's contract that concerns it as a whole: deleting and purging, checks,
disk space, backups, the clock.

Invariants:
* A call that ends or outdates lists lets go of those that the store itself keeps, so that nothing waits for them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from os import PathLike
from typing import Any

from langgraph.store.base import Op

from . import contract
from .errors import InvalidInputError
from .options import FieldRules, OnProgress
from .plan import Core
from .reports import Stats


class Upkeep:
    """A store's calls about itself; see ``Store``."""

    _core: Core

    _off_loop: Callable[[Sequence[Op], Callable[[], Any]], Awaitable[Any]]

    def delete_namespace(self, prefix: Sequence[str]) -> None:
        """Deletes every item of the namespace ``prefix`` and of all below it, at once, however many there are."""
        found = _some_labels("delete_namespace", prefix)
        try:
            self._core.engine.delete_namespace(found, below=True)
        finally:
            self._core.pages.forget(None)

    async def adelete_namespace(self, prefix: Sequence[str]) -> None:
        """``delete_namespace``, without blocking the event loop."""
        await self._off_loop((), lambda: self.delete_namespace(prefix))

    def purge(
        self,
        prefix: Sequence[str],
        *,
        keep_living: bool = False,
        grace: float | timedelta = 5.0,
        on_progress: OnProgress | None = None,
    ) -> dict[str, Any]:
        """Deletes every item of the namespace ``prefix`` and of all below it, and leaves no byte of them in any file of
        the store, nor of what was deleted, replaced or has expired there before; with ``keep_living``, only the latter.

        Lists that others page through begin anew after ``grace``, seconds or a ``timedelta``. ``on_progress`` and
        Ctrl-C are as in ``compact``. Returns the receipt: what was removed up to where, which files were unlinked, and
        what is still held open. Blocks of the device are not overwritten. Backups and other copies of the directory
        still hold what was purged: make a new backup in a new directory, and remove the old ones.
        """
        found = _some_labels("purge", prefix)
        # The purge need not wait for what the store itself keeps.
        with self._core.purging():
            engine = self._core.engine
            return dict(engine.purge(found, below=True, keep_living=keep_living, grace=grace, on_progress=on_progress))

    async def apurge(
        self, prefix: Sequence[str], *, keep_living: bool = False, grace: float | timedelta = 5.0
    ) -> dict[str, Any]:
        """``purge``, without blocking the event loop."""
        receipt: dict[str, Any] = await self._off_loop(
            (), lambda: self.purge(prefix, keep_living=keep_living, grace=grace)
        )
        return receipt

    def stats(self) -> Stats:
        """What the store holds and does, for people and monitoring: size, memory, graphs, log, health, latency."""
        self._core.pages.expire()
        return self._core.engine.stats()

    def check(
        self, repair: bool = False, accept_loss: bool = False, *, on_progress: OnProgress | None = None
    ) -> dict[str, Any]:
        """Verifies every file of the store, and rebuilds what can be rebuilt if ``repair`` is true. What helps against
        damage is listed under ``"advice"``.

        ``accept_loss`` ends damage that nothing mends: items that cannot be read are given up, and listed under
        ``"loss"``. Restoring the damaged file from a copy loses nothing and comes before that. ``on_progress`` and
        Ctrl-C are as in ``compact``; the stage is ``"check"``.
        """
        return dict(self._core.engine.check(repair=repair, accept_loss=accept_loss, on_progress=on_progress))

    def sync(self) -> None:
        """Returns when everything written so far survives a power loss, whatever the durability."""
        self._core.pages.expire()
        self._core.engine.sync()

    def flush(self, *, on_progress: OnProgress | None = None) -> None:
        """Writes what is in memory to segments, so that an open replays no log, and implies ``sync()``.

        ``on_progress`` and Ctrl-C are as in ``compact``.
        """
        self._core.pages.expire()
        self._core.engine.flush(on_progress=on_progress)

    async def aflush(self) -> None:
        """``flush``, without blocking the event loop."""
        await self._off_loop((), self.flush)

    def compact(self, *, on_progress: OnProgress | None = None) -> dict[str, Any]:
        """Gives back the space of what is deleted, replaced or expired, now; says which expired items are left, and
        why.

        ``on_progress(stage, done, total)`` is called at least twice a second and once at the end: ``stage`` is
        ``"waiting"``, ``"sweep"``, ``"flush"``, ``"merge"`` or ``"graph"``, ``done`` and ``total`` count its steps;
        ``total`` may be ``None``. An exception of it, or Ctrl-C, ends the call within 0.2 seconds; what is done stays.
        """
        self._core.pages.expire()
        return dict(self._core.engine.compact(on_progress=on_progress))

    async def acompact(self) -> dict[str, Any]:
        """``compact``, without blocking the event loop."""
        report: dict[str, Any] = await self._off_loop((), self.compact)
        return report

    def field_rules(self) -> FieldRules:
        """The paths of values that the field indexes leave out, and those that they keep before all others, as
        ``set_field_rules`` sets them."""
        return self._core.engine.field_rules()

    def set_field_rules(self, exclude: Sequence[str] = (), force: Sequence[str] = ()) -> None:
        """Says which paths of values the field indexes never have, which saves space and time, and which they have even
        where their limits leave others out.

        The indexes answer filters; rules change what a search costs, never an answer, and concern no embedding. A path
        is the keys with dots between. A rule covers its path and everything below; ``"user.*"`` covers only what is
        below ``"user"``, ``"*"`` everything; the longest rule decides. Rules replace the present ones, are kept by the
        store, and apply to what is written from then on; ``rebuild_fields`` builds the indexes that are there again.
        """
        self._core.engine.set_field_rules(exclude, force)

    async def aset_field_rules(self, exclude: Sequence[str] = (), force: Sequence[str] = ()) -> None:
        """``set_field_rules``, without blocking the event loop."""
        await self._off_loop((), lambda: self.set_field_rules(exclude, force))

    def rebuild_fields(self, *, on_progress: OnProgress | None = None) -> int:
        """Builds those field indexes again that were built by other rules than the present ones; returns how many.

        ``on_progress`` and Ctrl-C are as in ``compact``.
        """
        return self._core.engine.rebuild_fields(on_progress=on_progress)

    async def arebuild_fields(self) -> int:
        """``rebuild_fields``, without blocking the event loop."""
        rebuilt: int = await self._off_loop((), self.rebuild_fields)
        return rebuilt

    def backup(
        self,
        target: str | PathLike[str],
        *,
        link: bool = False,
        bytes_per_second: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> dict[str, Any]:
        """Copies the store as it is now into the directory ``target``, while others go on reading and writing.
        ``vecmem.restore`` verifies the copy and makes a new store of it. Do not open the copy itself: that may write to
        it, and then it can no longer be restored.

        ``target`` is empty, not there, or an earlier backup of this store, which the new one replaces as a whole; files
        that it has already are used again. Every file is read back and compared with its checksum. ``link`` makes a
        checkpoint of hard links: quick, but damage of a shared file is damage of both. ``bytes_per_second`` is the most
        that is copied or read back. ``on_progress`` and Ctrl-C are as in ``compact``; the stage is ``"backup"``. After
        Ctrl-C the same call finishes the backup: files of an earlier finished one are used again, those of an
        unfinished one are copied again.

        A purge does not reach backups: make a new one after it, and remove the old ones. Copying the directory of an
        open store by other means, such as ``cp``, may work, but nothing is promised about it.
        """
        engine = self._core.engine
        return dict(engine.backup(target, link=link, bytes_per_second=bytes_per_second, on_progress=on_progress))

    async def abackup(
        self, target: str | PathLike[str], *, link: bool = False, bytes_per_second: int | None = None
    ) -> dict[str, Any]:
        """``backup``, without blocking the event loop."""
        report: dict[str, Any] = await self._off_loop(
            (), lambda: self.backup(target, link=link, bytes_per_second=bytes_per_second)
        )
        return report

    def accept_clock(self) -> None:
        """Says that the wall clock is right, though it is far ahead of the last write, so that sweeps follow it."""
        self._core.engine.accept_clock()


def _some_labels(call: str, prefix: Sequence[str]) -> tuple[str, ...]:
    found = contract.labels(prefix)
    if not found:
        raise InvalidInputError(f"{call} needs at least one label: an empty prefix would be the whole store")
    return found
