"""One batch, from operations to results: check everything, embed, read, write.

Invariants:
* Nothing is read, embedded or written before every operation has passed its check, and nothing is read or written
  before all texts are embedded.
* Texts are those of values as they are written, whatever other threads make of the mappings meanwhile.
* All reads of a batch see the moment before its writes, and all of them the same one.
* The last write of a key wins. All writes are one batch of the engine: one log record, all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from langgraph.store.base import GetOp, Op, PutOp, Result, SearchOp

from . import reads
from ._vecmem import _VECTORS_PER_ITEM, Delete, Engine, Put, Reader, Snapshot
from .contract import Search, checked, checked_get, checked_search, forget_labels, shown
from .embedding import Array, Embedder, Path, Texts, Vectors
from .errors import LimitError
from .index_checks import check_path
from .index_rules import IndexRule
from .paging import PagingMemory
from .reads import Namespace

SECONDS_A_MINUTE = 60.0

Times = tuple[int, int, int | None]
"""When an item was created, when updated, and when it expires if not by its time to live, in microseconds since 1970
UTC."""


@dataclass(slots=True)
class Core:
    """What the batches of a store, or of a snapshot of it, work with."""

    engine: Engine
    embedder: Embedder | None
    rules: tuple[IndexRule, ...]
    snapshot: Snapshot | None = None
    pages: PagingMemory = field(init=False)

    def __post_init__(self) -> None:
        engine = self.engine
        self.pages = PagingMemory(purge_epoch=lambda: engine.purge_epoch)

    @property
    def source(self) -> Reader:
        """What reads ask: the snapshot, or the engine, which shows the newest moment."""
        return self.engine if self.snapshot is None else self.snapshot

    def at(self, snapshot: Snapshot) -> Core:
        """The same for a snapshot, with a memory of pages of its own, since its lists are of another moment."""
        return replace(self, snapshot=snapshot)

    @contextmanager
    def purging(self) -> Iterator[None]:
        """Lets go of what memory keeps of items beyond a call, for a purge that is done inside and need not wait for it
        then."""
        with self.pages.purging():
            forget_labels()
            try:
                yield
            finally:
                forget_labels()


@dataclass(slots=True)
class _Write:
    """A put without its vectors, and what they are made of: (vector name, text). A delete has neither."""

    operation: Put | Delete
    texts: Sequence[tuple[str, str]] = ()


_NOTHING = Texts([], [])


def read_alone(core: Core, op: Op, include_expired: bool) -> list[Result] | None:
    """The result of a batch of one get or search, which needs no plan, and is what most batches are; ``None`` for
    another operation."""
    if isinstance(op, GetOp):
        return [reads.get(core.source, checked_get(op), include_expired)]
    if isinstance(op, (SearchOp, Search)):
        search = op if isinstance(op, Search) else checked_search(op)
        vector = core.embedder.embed_query(search.query) if core.embedder and search.query and search.limit else None
        return [reads.search(core.source, search, vector, include_expired, reads.Pages(core.pages))]
    return None


class Plan:
    """A checked batch. ``texts`` is what must be embedded before ``run``."""

    __slots__ = (
        "_addresses",
        "_condition",
        "_core",
        "_include_expired",
        "_known",
        "_owner",
        "_reads",
        "_size",
        "_writes",
        "texts",
    )

    def __init__(
        self,
        core: Core,
        ops: Sequence[Op],
        *,
        include_expired: bool,
        owner: object | None = None,
        times: Sequence[Times] | None = None,
        condition: Mapping[str, Any] | None = None,
    ) -> None:
        """``owner`` is the thread or task that asks, by default the one that makes the plan; ``times`` are those of the
        operations, for copies of other stores' items; ``condition`` is that of the writes, in the engine's
        arguments."""
        self._core = core
        self._condition = condition or {}
        self._owner = owner
        self._include_expired = include_expired
        self._size = len(ops)
        self._known: dict[str, Array] = {}
        self._reads: list[tuple[int, Any]] = []
        puts: dict[tuple[Namespace, str], tuple[PutOp, Times | None]] = {}
        for place, unchecked in enumerate(ops):
            op = checked(unchecked)
            if not isinstance(op, PutOp):
                self._reads.append((place, op))
            elif op.namespace:  # else it is a delete of what cannot be there
                puts.pop((op.namespace, op.key), None)
                puts[op.namespace, op.key] = (op, times[place] if times else None)
        self._writes = [self._write(op, its_times) for op, its_times in puts.values()]
        self._addresses = list(puts)
        self.texts = self._texts() if core.embedder else _NOTHING

    def run(self, vectors: Vectors | None = None) -> list[Result]:
        """Reads, then writes; one result per operation."""
        results: list[Result] = [None] * self._size
        documents = self._known | vectors.documents if vectors else self._known
        operations = [self._ready(write, documents) for write in self._writes]
        if self._reads:
            self._read(results, vectors.queries if vectors else {})
        if operations:
            try:
                self._core.engine.write(operations)
            finally:
                self._core.pages.forget(self._owner)
        return results

    def update(self, vectors: Vectors | None, patch: Mapping[str, Any], version: int) -> None:
        """Applies ``patch`` to the item of the plan's one put, whose value is the merged one, if it has ``version``."""
        [write] = self._writes
        [(namespace, key)] = self._addresses
        documents = self._known | vectors.documents if vectors else self._known
        options: dict[str, Any] = {}
        if self._core.embedder is not None:
            options["vectors"] = [(name, documents[text]) for name, text in write.texts]
            if self._core.embedder.model and write.texts:
                options |= {"model": self._core.embedder.model, "texts": [text for _, text in write.texts]}
        try:
            self._core.engine.update(namespace, key, patch, if_version=version, **options)
        finally:
            self._core.pages.forget(self._owner)

    def _read(self, results: list[Result], queries: dict[str, Array]) -> None:
        core, include_expired = self._core, self._include_expired
        alone = self._size == 1
        source = core.source if len(self._reads) == 1 or core.snapshot is not None else core.engine.snapshot()
        for place, op in self._reads:
            if isinstance(op, GetOp):
                results[place] = reads.get(source, op, include_expired)
            elif isinstance(op, Search):
                vector = queries.get(op.query) if op.query else None
                pages = reads.Pages(core.pages, self._owner) if alone else None
                results[place] = reads.search(source, op, vector, include_expired, pages)
            else:
                results[place] = reads.list_namespaces(source, op, include_expired)

    def _write(self, op: PutOp, times: Times | None) -> _Write:
        if op.value is None:
            return _Write(Delete(op.namespace, op.key, **self._condition))
        options: dict[str, Any] = dict(self._condition)
        if op.ttl is not None:
            options["ttl"] = op.ttl * SECONDS_A_MINUTE
        if times is not None:
            options["created_at"], options["updated_at"], expires_at = times
            if expires_at is not None:
                options["expires_at"] = expires_at
        put = Put(op.namespace, op.key, op.value, **options)
        if self._core.embedder is None or op.index is False:
            return _Write(put)
        value = put.value
        paths = self._paths(op, value, put.size)
        texts = Embedder.texts(value, paths) if paths else ()
        if len(texts) > _VECTORS_PER_ITEM:
            raise LimitError(
                f"an item may have {_VECTORS_PER_ITEM:,} vectors, and {shown(op.key)} has {len(texts):,} texts to embed"
            )
        return _Write(put, texts)

    def _paths(self, op: PutOp, value: Mapping[str, Any], size: int) -> Sequence[Path]:
        """What of a put is embedded: what its ``index`` says, else the first rule that fits, else the configured
        fields."""
        assert self._core.embedder is not None
        if op.index is not None:
            paths = Embedder.paths(op.index)
            for path, _ in paths:
                check_path("index", path)
            return paths
        for rule in self._core.rules:
            if rule.fits(op.namespace, value, size):
                return Embedder.paths(rule.paths)
        return self._core.embedder.fields

    def _texts(self) -> Texts:
        """The texts to embed, each once; those that the engine has the vectors of are looked up there."""
        core = self._core
        assert core.embedder is not None
        documents = list(dict.fromkeys(text for write in self._writes for _, text in write.texts))
        if documents and core.embedder.model:
            known = core.engine.known_embeddings(core.embedder.model, documents)
            self._known = {text: vector for text, vector in zip(documents, known, strict=True) if vector is not None}
            documents = [text for text in documents if text not in self._known]
        asked = (op.query for _, op in self._reads if isinstance(op, Search) and op.query and op.limit)
        return Texts(documents, list(dict.fromkeys(asked)))

    def _ready(self, write: _Write, documents: dict[str, Array]) -> Put | Delete:
        """The operation with its vectors."""
        if not (write.texts and isinstance(write.operation, Put)):
            return write.operation
        vectors = [(name, documents[text]) for name, text in write.texts]
        model = self._core.embedder.model if self._core.embedder else None
        texts = [text for _, text in write.texts] if model else None
        return write.operation.with_vectors(vectors, model=model, texts=texts)
