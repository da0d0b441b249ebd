"""The exceptions of vecmem: one class for each thing a caller would do differently.

Every class is below ``VecmemError`` and, besides, the built-in that Python code already catches in such a case.
``kind`` is the engine's name of the failure; the message names the thing and says what to do.
"""

from typing import ClassVar


class VecmemError(Exception):
    """Anything that vecmem refuses or fails to do.

    Where a file is the reason (it is damaged, missing, locked by another process or of a newer version), ``file`` is
    its name in the directory of the store, and ``offset`` the place in it, in bytes, or ``None``.
    """

    kind: ClassVar[str] = "other"
    file: str | None = None
    offset: int | None = None


class InvalidInputError(VecmemError, ValueError):
    """An argument can never be accepted. Fix the call."""

    kind = "invalid_input"


class InvalidValueError(InvalidInputError, TypeError):
    """An argument, or something inside a value, has a type or content that cannot be represented. Fix the call."""

    kind = "invalid_value"


class LimitError(VecmemError, ValueError):
    """An argument is larger than a documented limit. Split it or make it smaller."""

    kind = "limit"


class ConditionFailedError(VecmemError):
    """A conditional write found another state; nothing of its batch was written. Read again and decide."""

    kind = "condition_failed"


class QuotaExceededError(VecmemError):
    """The write would make a scope hold more than its quota; nothing of its batch was written. Delete items of the
    scope, or raise the quota.

    ``scope`` has the quota, as text: a/b for a namespace, a/b/ for a prefix, * for the store. It holds ``used`` of at
    most ``limit``, and the write would add ``added``; ``unit`` is "items" or "bytes".
    """

    kind = "quota_exceeded"
    scope: str | None = None
    unit: str | None = None
    limit: int | None = None
    used: int | None = None
    added: int | None = None


class BusyError(VecmemError, TimeoutError):
    """Writers outrun the disk; nothing was written. Try again later."""

    kind = "busy"


class ClockSkewError(VecmemError, RuntimeError):
    """The wall clock is far ahead of the last write, or behind it, and may be wrong, so nothing expired is removed.
    Set the clock, wait, or call ``accept_clock``.
    """

    kind = "clock_skew"


class DiskFullError(VecmemError, OSError):
    """The disk is full; nothing was written. Reads and deletes still work. Free space and try again."""

    kind = "disk_full"


class SystemLimitError(VecmemError, OSError):
    """The system has no more open files, maps or memory to give; nothing was written. Raise the limit that it names."""

    kind = "system_limit"


class PoisonedError(VecmemError, OSError):
    """A sync or write failed, so the fate of the last writes is unknown. Open the store again to read the truth."""

    kind = "poisoned"


class LockedError(VecmemError, BlockingIOError):
    """Another process has the store open. The message names it."""

    kind = "locked"


class OptionsDifferError(VecmemError, ValueError):
    """The store is open in this process, or was created, with other options. Use the same ones.

    ``option`` is the name of the first option that differs, ``stored`` what the store has and ``given`` what was asked
    for, both as text.
    """

    kind = "options_differ"
    option: str | None = None
    stored: str | None = None
    given: str | None = None


class NotAStoreError(VecmemError, FileNotFoundError, ValueError):
    """The path holds no vecmem store."""

    kind = "not_a_store"


class NewerFormatError(VecmemError, OSError):
    """The store was written by a newer version of vecmem. Upgrade."""

    kind = "newer_format"


class CorruptError(VecmemError, OSError):
    """The store's files contradict each other or are damaged. Restore them, or ``vecmem.salvage`` what can be read."""

    kind = "corrupt"


class DamagedError(VecmemError, OSError):
    """The answer needs a damaged part of a file. Other scopes still work; ``partial=True`` skips the damage."""

    kind = "damaged"


class IoError(VecmemError, OSError):
    """The operating system refused an operation on a file."""

    kind = "io"


class ForkedError(VecmemError, RuntimeError):
    """The store was opened before a ``fork`` and this is the child. Open it again in the child."""

    kind = "forked"


class ClosedError(VecmemError, ValueError):
    """The engine has been closed."""

    kind = "closed"


class SnapshotGoneError(VecmemError, LookupError):
    """A purge has removed what the snapshot, listing or iteration could show. Take a new one."""

    kind = "snapshot_gone"


class DeadlineExceededError(VecmemError, TimeoutError):
    """The deadline passed before the answer was complete."""

    kind = "deadline_exceeded"


class ReadOnlyError(VecmemError, PermissionError):
    """The store or its directory is read-only, or a snapshot was written to."""

    kind = "read_only"


class PanicError(VecmemError, RuntimeError):
    """The engine met a bug of its own. The store stays as durable as its mode says; please report the message."""

    kind = "panic"
