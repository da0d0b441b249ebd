"""``StoreSnapshot``: a LangGraph ``BaseStore`` that shows one moment of a store and is only read.

Invariants:
* All reads, synchronous or not, and all pages of a list see the moment at which the snapshot was taken.
* Every write is refused before anything of its batch runs.
* A snapshot keeps what was deleted since from being cleaned up, until it is closed or a purge ends it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from langgraph.store.base import Op, PutOp, Result

from . import contract
from ._vecmem import Snapshot
from .closing import Closing
from .collection_reads import CollectionReads
from .errors import ReadOnlyError
from .scores import ScoredSearches

if TYPE_CHECKING:
    from .store import Store


class StoreSnapshot(ScoredSearches, CollectionReads, Closing):
    """One moment of a store, from ``Store.snapshot``. Close it, or use it in ``with`` or ``async with``.

    ``get``, ``search``, ``list_namespaces``, ``batch``, ``count``, ``version``, ``len``, ``in``, iteration, and the
    asynchronous forms, are those of the store. ``put`` and ``delete`` raise ``ReadOnlyError``.

    Reads refresh the times to live of the items of the store, as reads of the store do.
    """

    supports_ttl = True

    def __init__(self, store: Store, snapshot: Snapshot) -> None:
        self._store = store
        self._snapshot = snapshot
        self._core = store._core.at(snapshot)
        self._threads = store._threads
        self.index_config = store.index_config
        self.embeddings = store.embeddings

    @property
    def ttl_config(self) -> Any:  # type: ignore[override]
        """That of the store, as it is now."""
        return self._store.ttl_config

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Executes reads."""
        return self._execute(_only_reads(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """The same, without blocking the event loop."""
        return await self._aexecute(_only_reads(ops))

    def put(self, *arguments: Any, **options: Any) -> None:
        """Raises ``ReadOnlyError``."""
        _refuse()

    async def aput(self, *arguments: Any, **options: Any) -> None:
        """Raises ``ReadOnlyError``."""
        _refuse()

    def delete(self, *arguments: Any, **options: Any) -> None:
        """Raises ``ReadOnlyError``."""
        _refuse()

    async def adelete(self, *arguments: Any, **options: Any) -> None:
        """Raises ``ReadOnlyError``."""
        _refuse()

    def close(self) -> None:
        """Lets go of the moment. Later reads raise ``ClosedError``; closing again does not."""
        self._core.pages.clear()
        self._snapshot.close()

    def __repr__(self) -> str:
        return f"Store{self._snapshot!r}"


def _only_reads(ops: Iterable[Op]) -> list[Op]:
    found = contract.operations(ops)
    if any(isinstance(op, PutOp) for op in found):
        _refuse()
    return found


def _refuse() -> NoReturn:
    raise ReadOnlyError("a snapshot of a store is only read; write to the store itself")
