"""vecmem: an embedded, durable vector memory engine.

``Engine`` is the raw engine: items of JSON and vectors in one directory, filtered similarity search in microseconds.
"""

from vecmem._vecmem import Columns, Delete, Engine, Hit, Item, Put, Scan, __version__
from vecmem.answers import Answer
from vecmem.errors import (
    BusyError,
    ClosedError,
    ConditionFailedError,
    CorruptError,
    DamagedError,
    DeadlineExceededError,
    DiskFullError,
    FencedError,
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
    ReadOnlyError,
    VecmemError,
)

__all__ = [
    "Answer",
    "BusyError",
    "ClosedError",
    "Columns",
    "ConditionFailedError",
    "CorruptError",
    "DamagedError",
    "DeadlineExceededError",
    "Delete",
    "DiskFullError",
    "Engine",
    "FencedError",
    "ForkedError",
    "Hit",
    "InvalidInputError",
    "InvalidValueError",
    "IoError",
    "Item",
    "LimitError",
    "LockedError",
    "NewerFormatError",
    "NotAStoreError",
    "OptionsDifferError",
    "PanicError",
    "Put",
    "ReadOnlyError",
    "Scan",
    "VecmemError",
    "__version__",
]
