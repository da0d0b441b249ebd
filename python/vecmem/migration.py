"""``migrate``: copies another LangGraph store into a vecmem store.

``BaseStore`` has no way to walk a store, so the source is asked like this:

* its namespaces, page by page; of these the outermost, since a search of a namespace returns what lies below it as
  well;
* the items of each, page by page by offset. Some stores order items of one time anew for each page, which loses some
  and repeats as many. So where a page repeats an item, the namespace is read again, in one search that is larger than
  it.

Invariants:
* An item that the target has, with the same ``updated_at`` or a later one, is not copied; so a migration that was
  interrupted goes on where it was when it is run again, and embeds nothing twice, and what was written to the target
  meanwhile stays.
* The source is only read, and its items' time to live is not refreshed.
* ``BaseStore`` does not say what time to live an item has, and what of it is embedded; the stores in ``sources.py`` do.
  What could not be kept is counted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langgraph.store.base import (
    NOT_PROVIDED,
    BaseStore,
    InvalidNamespaceError,
    Item,
    NotProvided,
    PutOp,
    SearchItem,
)

from . import contract
from .errors import InvalidInputError, LimitError
from .plan import Times
from .reads import Namespace, to_micros
from .sources import Source, source_of
from .store import Store
from .words import counted

SECONDS_BETWEEN_LINES = 1.0
SMALLEST_WHOLE_READ = 1_000

_REFUSALS = (InvalidInputError, LimitError, InvalidNamespaceError)
"""What a store says of an item that it cannot hold."""


@dataclass(frozen=True)
class Migration:
    """How far a migration is, or what it has done."""

    namespaces: int = 0
    """Namespaces found in the source."""
    items: int = 0
    """Items read from the source."""
    copied: int = 0
    """Items written to the target."""
    present: int = 0
    """Items left as they are in the target, since it had them, or newer ones."""
    expired: int = 0
    """Items left out, since their time has passed."""
    ttl_unknown: int = 0
    """Of the copied items: those whose time to live the source has and does not tell. They have that of ``ttl``, or the
    target's ``default_ttl``."""
    index_unknown: int = 0
    """Of the copied items: those of which the source does not tell what is embedded. The target's configuration
    decided."""
    refused: tuple[tuple[Namespace, str, str], ...] = field(default=(), repr=False)
    """(namespace, key, why) of items that no vecmem store can hold; only with ``skip_refused``."""
    seconds: float = 0.0


def migrate(
    source: BaseStore,
    target: Store,
    *,
    prefixes: Iterable[Sequence[str]] | None = None,
    batch_size: int = 256,
    ttl: float | None | NotProvided = NOT_PROVIDED,
    skip_refused: bool = False,
    progress: bool | Callable[[Migration], None] = True,
) -> Migration:
    """Copies all items of ``source``, or those below ``prefixes``, with their times; ``target`` makes the vectors.

    From a ``vecmem.Store``, ``SqliteStore``, ``PostgresStore`` or ``InMemoryStore``, copies expire when their items
    would have, and what a put said with ``index=False`` or a list of paths holds for the copy. Of other stores nobody
    can tell; the report counts their items.

    Args:
        source: Any store with synchronous methods. Nobody should write to it meanwhile.
        batch_size: Items per page, per call of the embedding model, and per atomic batch.
        ttl: Minutes that all copies live, from now on; ``None``: for ever. By default as long as the source says, or,
            where it does not tell, the target's ``default_ttl``.
        skip_refused: Go on where an item cannot be held (a value that is not JSON, for instance), and name it in the
            report. Otherwise its error ends the migration, as one of the embedding model always does; what was copied
            until then stays.
        progress: True for a bar (if ``tqdm`` is installed) or a line on the standard error; or a function that is told
        after each batch.

    Returns:
        What was done. Running it again does what is left.
    """
    batch_size = contract.count("batch_size", batch_size)
    if not batch_size:
        raise InvalidInputError("batch_size must be at least 1")
    if source is target:
        raise InvalidInputError("the source is the target; nothing to migrate")
    keeping = _Keeping(source_of(source), ttl if isinstance(ttl, NotProvided) else contract.minutes("ttl", ttl))
    wanted = None if prefixes is None else [contract.labels(prefix) for prefix in prefixes]
    began = time.monotonic()
    show = _Progress(progress)
    state = Migration()
    try:
        namespaces = _namespaces(source, wanted, batch_size)
        state = replace(state, namespaces=len(namespaces))
        for root in _outermost(namespaces):
            for page in _pages(source, root, batch_size):
                state = _copy(target, page, keeping, skip_refused, state)
                state = replace(state, seconds=time.monotonic() - began)
                show(state)
    finally:
        show.close()
    return state


@dataclass(slots=True)
class _Copies:
    """The puts of a page, their times, and what could not be kept."""

    ops: list[PutOp] = field(default_factory=list)
    times: list[Times] = field(default_factory=list)
    expired: int = 0
    ttl_unknown: int = 0
    index_unknown: int = 0


@dataclass(frozen=True, slots=True)
class _Keeping:
    """What copies keep of their items."""

    source: Source
    ttl: float | None | NotProvided

    def copies(self, target: Store, items: Sequence[SearchItem]) -> _Copies:
        """The puts that copy items."""
        copies, now = _Copies(), time.time_ns() // 1_000
        for item, kept in zip(items, self.source.kept(list(map(_address, items))), strict=True):
            if kept.expires_at is not None and kept.expires_at <= now:
                copies.expired += 1
                continue
            index, is_known = self.source.index_of(kept, item.value)
            ttl, expires_at = kept.ttl, kept.expires_at
            if not isinstance(self.ttl, NotProvided):
                ttl, expires_at = self.ttl, None
            elif not self.source.tells_ttl:
                ttl = (target.ttl_config or {}).get("default_ttl")
                copies.ttl_unknown += bool(self.source.store.supports_ttl)
            copies.index_unknown += not is_known
            copies.ops.append(PutOp(tuple(item.namespace), item.key, item.value, index, ttl))
            copies.times.append((to_micros(item.created_at), to_micros(item.updated_at), expires_at))
        return copies


def _namespaces(source: BaseStore, prefixes: list[Namespace] | None, page: int) -> list[Namespace]:
    """All namespaces below the prefixes, each once, sorted."""
    found: set[Namespace] = set()
    for prefix in [()] if prefixes is None else prefixes:
        offset = 0
        # "*" in a prefix would be any label, so what it names is looked for among what begins with the labels before
        # it.
        literal = prefix[: prefix.index("*")] if "*" in prefix else prefix
        while names := source.list_namespaces(prefix=literal or None, limit=page, offset=offset):
            found.update(name for name in map(tuple, names) if name[: len(prefix)] == prefix)
            offset += len(names)
            if len(names) < page:
                break
    return sorted(found)


def _outermost(namespaces: list[Namespace]) -> Iterator[Namespace]:
    """Those of a sorted list that lie below no other."""
    outer: Namespace | None = None
    for name in namespaces:
        if outer is None or name[: len(outer)] != outer:
            outer = name
            yield name


def _pages(source: BaseStore, root: Namespace, size: int) -> Iterator[list[SearchItem]]:
    """All items at and below ``root``, each once."""
    seen: set[tuple[Namespace, str]] = set()
    offset = 0
    while True:
        page = source.search(root, limit=size, offset=offset, refresh_ttl=False)
        if any(_address(item) in seen for item in page):  # then as many are missing from the pages
            yield from _rest(source, root, size, seen)
            return
        if page:
            seen.update(map(_address, page))
            yield page
        if len(page) < size:
            return
        offset += len(page)


def _rest(
    source: BaseStore, root: Namespace, size: int, seen: set[tuple[Namespace, str]]
) -> Iterator[list[SearchItem]]:
    """What is not in ``seen``, found by one search for everything."""
    limit = max(2 * len(seen), SMALLEST_WHOLE_READ)
    while len(items := source.search(root, limit=limit, offset=0, refresh_ttl=False)) >= limit:
        limit *= 2
    rest = [item for item in items if _address(item) not in seen]
    for place in range(0, len(rest), size):
        yield rest[place : place + size]


def _address(item: Item) -> tuple[Namespace, str]:
    return tuple(item.namespace), item.key


def _copy(target: Store, page: list[SearchItem], keeping: _Keeping, skip_refused: bool, state: Migration) -> Migration:
    """Copies what of a page the target does not have."""
    try:
        missing = _missing(target, page)
        copies = keeping.copies(target, missing)
        plan = target._plan_copies(copies.ops, copies.times)
    except _REFUSALS as error:
        if not skip_refused:
            raise
        return _copy_parts(target, page, keeping, skip_refused, state, error)
    vectors = target._embed(plan)  # what the model raises is about no item: it ends the migration
    try:
        plan.run(vectors)
    except LimitError as error:  # of the batch, or of an item
        if not skip_refused and len(page) == 1:
            raise
        return _copy_parts(target, page, keeping, skip_refused, state, error)
    return replace(
        state,
        items=state.items + len(page),
        copied=state.copied + len(copies.ops),
        present=state.present + len(page) - len(missing),
        expired=state.expired + copies.expired,
        ttl_unknown=state.ttl_unknown + copies.ttl_unknown,
        index_unknown=state.index_unknown + copies.index_unknown,
    )


def _copy_parts(
    target: Store, page: list[SearchItem], keeping: _Keeping, skip_refused: bool, state: Migration, error: Exception
) -> Migration:
    """Copies the halves of a page that was refused; the item that is left is the one that is refused."""
    if len(page) == 1:
        refused = (*state.refused, (*_address(page[0]), str(error)))
        return replace(state, items=state.items + 1, refused=refused)
    middle = len(page) // 2
    for half in (page[:middle], page[middle:]):
        state = _copy(target, half, keeping, skip_refused, state)
    return state


def _missing(target: Store, page: list[SearchItem]) -> list[SearchItem]:
    """The items that the target does not have, or has older ones of."""
    there = target._updated_at(list(map(_address, page)))
    return [item for item, time in zip(page, there, strict=True) if time is None or time < to_micros(item.updated_at)]


class _Progress:
    """Tells the caller's function, a bar, or the standard error."""

    def __init__(self, progress: bool | Callable[[Migration], None]) -> None:
        self._told = progress if callable(progress) else None
        self._bar: Any = None
        self._line_at = 0.0
        self._lines = progress is True
        if progress is True:
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self._bar, self._lines = tqdm(unit=" items", desc="migrating"), False

    def __call__(self, state: Migration) -> None:
        if self._told:
            self._told(state)
        elif self._bar is not None:
            self._bar.update(state.items - self._bar.n)
        elif self._lines and time.monotonic() - self._line_at >= SECONDS_BETWEEN_LINES:
            self._line_at = time.monotonic()
            print(f"migrating: {counted(state.items, 'item')} read, {state.copied:,} copied", file=sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
