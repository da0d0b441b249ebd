"""What ``plugin`` wants of an adapter, for ``vecmem.Store``: rows as some tests change and read them with statements of
SQL.

A row is changed by writing the item again with explicit times, which is what a copy of another store does.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import plugin

Namespace = tuple[str, ...]

A_MOMENT = 1e-6
"""Seconds; a time to live that is over when the write returns."""


def open_store(path: Path | None, index: Any, ttl: Any) -> Any:
    """Opens the class under test. The suites name a file, which vecmem's directory stands beside."""
    if path is None:
        return plugin.CANDIDATE.store_class(index=index, ttl=ttl)
    return plugin.CANDIDATE.store_class(_directory(path), index=index, ttl=ttl)


def close_store(store: Any, path: Path | None) -> None:
    """Closes it, and removes what the suite, which removes its file, knows nothing of."""
    store.close()
    if path is not None:
        shutil.rmtree(_directory(path))


def expire_now(store: Any, namespace: Namespace, key: str) -> None:
    """The item has expired; it has not been swept."""
    _write(store, namespace, key, ttl=A_MOMENT)


def set_updated_at(store: Any, namespace: Namespace, key: str, seconds_ago: float) -> None:
    """The item was last updated so long ago; one that has expired stays so."""
    engine = store._core.engine
    ttl = {} if engine.get(namespace, key) is not None else {"ttl": A_MOMENT}
    _write(store, namespace, key, updated_at=round((time.time() - seconds_ago) * 1e6), **ttl)


def row_exists(store: Any, namespace: Namespace, key: str) -> bool:
    """Whether the item is there, expired or not."""
    return store._core.engine.get(namespace, key, include_expired=True) is not None


def expires_at(store: Any, namespace: Namespace, key: str) -> int:
    """When the item expires. A refresh is written soon after the read that wants it, at the latest by a flush."""
    store.flush()
    return store._core.engine.get(namespace, key, include_expired=True).expires_at


def _write(store: Any, namespace: Namespace, key: str, **changes: Any) -> None:
    engine = store._core.engine
    item = engine.get(namespace, key, include_expired=True, include_vectors=True)
    as_it_is = {"created_at": item.created_at, "updated_at": item.updated_at, "vectors": item.vectors, "ttl": item.ttl}
    options = {name: value for name, value in (as_it_is | changes).items() if value is not None}
    engine.put(namespace, key, item.value, **options)


def _directory(path: Path) -> Path:
    return path.with_name(path.name + ".vecmem")
