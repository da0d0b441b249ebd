"""What the Deep Agents tests share: a composite file system over one store, and its answers without times."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from deepagents.backends import CompositeBackend, StoreBackend
from langgraph.store.base import BaseStore, PutOp

MEMORIES = ("ada", "memories")
SCRATCH = ("ada", "scratch")


def file_system(store: BaseStore) -> CompositeBackend:
    """Paths below `/memories/` are files of one namespace, all others of another."""
    return CompositeBackend(
        default=StoreBackend(store=store, namespace=lambda _runtime: SCRATCH),
        routes={"/memories/": StoreBackend(store=store, namespace=lambda _runtime: MEMORIES)},
    )


class AsyncFileSystem:
    """The async methods of a backend, each in an event loop of its own, under the names of the sync ones."""

    def __init__(self, backend: CompositeBackend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._backend, f"a{name}")
        return lambda *arguments, **options: asyncio.run(method(*arguments, **options))


def without_times(answer: Any) -> Any:
    """An answer of a backend as plain data, without the times in it."""
    plain = asdict(answer)

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items() if k not in ("created_at", "modified_at")}
        return [strip(v) for v in value] if isinstance(value, list) else value

    return strip(plain)


def put_files(store: BaseStore, files: dict[str, str]) -> None:
    """Writes all files of the memories' namespace in one batch, as `StoreBackend` writes each."""
    now = "2026-01-01T00:00:00+00:00"
    value = {"encoding": "utf-8", "created_at": now, "modified_at": now}
    store.batch([PutOp(MEMORIES, path, {"content": content, **value}) for path, content in files.items()])


def paths(answer: Any) -> list[str]:
    """The paths of a listing, in its order."""
    assert answer.error is None
    return [entry["path"] for entry in (answer.entries if hasattr(answer, "entries") else answer.matches)]
