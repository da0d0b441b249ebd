"""Opens stores of any class by name, so that the benches can put them side by side.

A store is named `module:Class`, or `module:Class=CONNECTION` for one that needs a server. Classes that have
`from_conn_string` are opened with it: over the connection, or else over a file at the given place. All others are
called with `path` if they take one, and without it if they do not (those hold their items in memory alone).
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langgraph.store.base import BaseStore

KNOWN = ["vecmem:Store", "langgraph.store.memory:InMemoryStore", "langgraph.store.sqlite:SqliteStore"]


@dataclass(frozen=True)
class StoreClass:
    """A class of stores, and what it is connected to (nothing for those that live in files or in memory)."""

    name: str
    cls: type[BaseStore]
    connection: str | None

    @classmethod
    def named(cls, spec: str) -> StoreClass:
        """The class of `module:Class` or `module:Class=CONNECTION`; ImportError if it is not installed."""
        path, _, connection = spec.partition("=")
        module, _, name = path.partition(":")
        if module == "langgraph.store.sqlite":
            _with_loadable_extensions()
        return cls(
            name if name != "Store" else module, getattr(importlib.import_module(module), name), connection or None
        )

    @contextlib.contextmanager
    def open(self, place: Path, index: dict[str, Any] | None = None, ttl: dict | None = None) -> Iterator[BaseStore]:
        """A store at `place`, a path of its own; closed afterwards. Opened again there, it holds what it held."""
        place.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            store = self._make(stack, place, {"index": index, "ttl": ttl})
            if hasattr(store, "setup"):
                store.setup()
            yield store
            if hasattr(store, "close"):
                store.close()

    def _make(self, stack: contextlib.ExitStack, place: Path, options: dict[str, Any]) -> BaseStore:
        takes = inspect.signature(self.cls.__init__).parameters
        if hasattr(self.cls, "from_conn_string") and "path" not in takes:
            given = {name: value for name, value in options.items() if value is not None}
            return stack.enter_context(self.cls.from_conn_string(self.connection or str(place), **given))
        given = {name: value for name, value in options.items() if name in takes and value is not None}
        return self.cls(str(place), **given) if "path" in takes else self.cls(**given)


def classes(specs: list[str]) -> list[StoreClass]:
    """The named classes; without any, the known ones that are installed here (which are not, it says on stderr)."""
    if specs:
        return [StoreClass.named(spec) for spec in specs]
    found = []
    for spec in KNOWN:
        try:
            found.append(StoreClass.named(spec))
        except ImportError as error:
            print(f"left out: {spec} ({error})", file=sys.stderr)
    return found


def _with_loadable_extensions() -> None:
    """SqliteStore loads an extension: some builds of Python cannot, and `pip install pysqlite3-binary` helps them."""
    import sqlite3

    if hasattr(sqlite3.Connection, "enable_load_extension") or "langgraph.store.sqlite" in sys.modules:
        return
    import pysqlite3

    sys.modules["sqlite3"] = pysqlite3
    sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2


def machine() -> str:
    """One line about this machine and how busy it is, to stand above figures."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    load = os.getloadavg()[0]
    return f"Python {sys.version.split()[0]}, {os.cpu_count()} cores of {model}, load {load:.1f} at the start"
