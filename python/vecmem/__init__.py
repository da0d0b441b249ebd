"""vecmem: an embedded, durable vector memory engine.

``Engine`` is the raw engine: items of JSON and vectors in one directory, filtered similarity search in microseconds.
``restore`` makes a store of a backup; ``salvage`` writes what can be read of a directory that does not open into a new
one; ``vecmem.reports`` has the types of the dicts that upkeep returns.
``Store`` is a LangGraph ``BaseStore`` on it, ``StoreSnapshot`` one moment of a store, and ``migrate`` copies another
store into one; these three need LangGraph.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from vecmem import reports as reports
from vecmem._vecmem import (
    Columns,
    Delete,
    Engine,
    Filter,
    Hit,
    Item,
    ItemIterator,
    Listing,
    Put,
    Snapshot,
    __version__,
    restore,
    salvage,
)
from vecmem.errors import (
    BusyError,
    ClockSkewError,
    ClosedError,
    ConditionFailedError,
    CorruptError,
    DamagedError,
    DeadlineExceededError,
    DiskFullError,
    ForkedError,
    InvalidInputError,
    InvalidValueError,
    IoError,
    LimitError,
    LockedError,
    NewerFormatError,
    NotAStoreError,
    OptionsDifferError,
    PanicError,
    PoisonedError,
    QuotaExceededError,
    ReadOnlyError,
    SnapshotGoneError,
    SystemLimitError,
    VecmemError,
)
from vecmem.labels import escape_label, unescape_label
from vecmem.results import HitGroup, SearchResult

if TYPE_CHECKING:
    from vecmem.migration import migrate as migrate
    from vecmem.store import Store as Store
    from vecmem.store_snapshot import StoreSnapshot as StoreSnapshot

__all__ = [
    "BusyError",
    "ClockSkewError",
    "ClosedError",
    "Columns",
    "ConditionFailedError",
    "CorruptError",
    "DamagedError",
    "DeadlineExceededError",
    "Delete",
    "DiskFullError",
    "Engine",
    "Filter",
    "ForkedError",
    "Hit",
    "HitGroup",
    "InvalidInputError",
    "InvalidValueError",
    "IoError",
    "Item",
    "ItemIterator",
    "LimitError",
    "Listing",
    "LockedError",
    "NewerFormatError",
    "NotAStoreError",
    "OptionsDifferError",
    "PanicError",
    "PoisonedError",
    "Put",
    "QuotaExceededError",
    "ReadOnlyError",
    "SearchResult",
    "Snapshot",
    "SnapshotGoneError",
    "SystemLimitError",
    "VecmemError",
    "__version__",
    "escape_label",
    "restore",
    "salvage",
    "unescape_label",
]

# What needs LangGraph is imported when it is first asked for. Where LangGraph is installed, it is shown by `dir` and
# part of `from vecmem import *`; elsewhere asking for it says what to install.
_NEEDS_LANGGRAPH = {
    "Store": "vecmem.store",
    "StoreSnapshot": "vecmem.store_snapshot",
    "migrate": "vecmem.migration",
}


def _has_langgraph() -> bool:
    try:
        return find_spec("langgraph.store.base") is not None
    except ImportError:  # of the package above it
        return False


if _has_langgraph():
    __all__ = sorted([*__all__, *_NEEDS_LANGGRAPH])


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_LANGGRAPH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    try:
        found = getattr(importlib.import_module(_NEEDS_LANGGRAPH[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("langgraph", "langchain_core"):
            raise ImportError(f'vecmem.{name} needs LangGraph: pip install "vecmem[langgraph]"') from error
        raise
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
