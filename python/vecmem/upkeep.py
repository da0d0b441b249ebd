"""What a store offers beyond LangGraph's contract that concerns it as a whole: deleting and purging, counts, checks,
disk space, the clock.

Invariants:
* A call that ends or outdates lists lets go of those that the store itself keeps, so that nothing waits for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import contract
from .errors import InvalidInputError
from .plan import Core


class Upkeep:
    """A store's calls about itself; see ``Store``."""

    _core: Core

    def _include_expired(self) -> bool:
        raise NotImplementedError

    def delete_namespace(self, prefix: Sequence[str]) -> None:
        """Deletes every item of the namespace ``prefix`` and of all below it, at once, however many there are."""
        found = _some_labels("delete_namespace", prefix)
        try:
            self._core.engine.delete_namespace(found, below=True)
        finally:
            self._core.pages.forget(None)

    def purge(self, prefix: Sequence[str], *, keep_living: bool = False, grace: float = 5.0) -> dict[str, Any]:
        """Deletes every item of the namespace ``prefix`` and of all below it, and leaves no byte of them in any file of
        the store, nor of what was deleted, replaced or has expired there before; with ``keep_living``, only the latter.

        Lists that others page through begin anew after ``grace`` seconds. Returns the receipt: what was removed up to
        where, which files were unlinked, and what is still held open. Blocks of the device are not overwritten.
        """
        found = _some_labels("purge", prefix)
        # The purge need not wait for what the store itself keeps.
        with self._core.purging():
            return dict(self._core.engine.purge(found, below=True, keep_living=keep_living, grace=grace))

    def count(self, prefix: Sequence[str] = ()) -> int:
        """How many items there are below ``prefix``, those of the namespace itself included; by default in the whole
        store."""
        found = contract.labels(prefix)
        scope = {"prefix": found} if found else {"everything": True}
        return self._core.engine.count(include_expired=self._include_expired(), **scope)

    def stats(self) -> dict[str, Any]:
        """What the store holds and does, for people and monitoring."""
        self._core.pages.expire()
        return self._core.engine.stats()

    def check(self, repair: bool = False, accept_loss: bool = False) -> dict[str, Any]:
        """Verifies every file of the store, and rebuilds what can be rebuilt if ``repair`` is true. What helps against
        damage is listed under ``"advice"``.

        ``accept_loss`` ends damage that nothing mends: items that cannot be read are given up, and listed under
        ``"loss"``. Restoring the damaged file from a copy loses nothing and comes before that.
        """
        return dict(self._core.engine.check(repair=repair, accept_loss=accept_loss))

    def sync(self) -> None:
        """Returns when everything written so far survives a power loss, whatever the durability."""
        self._core.pages.expire()
        self._core.engine.sync()

    def flush(self) -> None:
        """Writes what is in memory to segments, so that an open replays no log, and implies ``sync()``."""
        self._core.pages.expire()
        self._core.engine.flush()

    def compact(self) -> dict[str, Any]:
        """Gives back the space of what is deleted, replaced or expired, now; says which expired items are left, and
        why."""
        self._core.pages.expire()
        return dict(self._core.engine.compact())

    def accept_clock(self) -> None:
        """Says that the wall clock is right, though it is far ahead of the last write, so that sweeps follow it."""
        self._core.engine.accept_clock()


def _some_labels(call: str, prefix: Sequence[str]) -> tuple[str, ...]:
    found = contract.labels(prefix)
    if not found:
        raise InvalidInputError(f"{call} needs at least one label: an empty prefix would be the whole store")
    return found
