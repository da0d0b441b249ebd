"""What the stores that ``migrate`` knows keep of items beyond what ``BaseStore`` tells: when they expire, and what of
them is embedded.

====================  ===================================  =================================================
store                 time to live and expiry              what is embedded
====================  ===================================  =================================================
``vecmem.Store``      the engine's items                   names of their vectors
``SqliteStore``       ``store.ttl_minutes, expires_at``    ``store_vectors.field_name``
``PostgresStore``     the same                             the same
``InMemoryStore``     has none                             ``_vectors``
any other             not known                            not known
====================  ===================================  =================================================

Invariants:
* The source is only read, and no time to live is refreshed.
* An item that is embedded as the source's configuration says is embedded as the target's says. A put that said
  otherwise (``index=False`` or a list of paths) is repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from langgraph.store.base import BaseStore

from .embedding import Embedder
from .reads import Namespace, to_micros
from .store import Store

ADDRESSES_A_QUERY = 100
"""Items that one SQL statement names."""

Address = tuple[Namespace, str]
Index = Literal[False] | list[str] | None
"""A put's ``index``."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a store keeps of an item."""

    ttl: float | None = None
    """Minutes."""
    expires_at: int | None = None
    """Microseconds since 1970 UTC."""
    fields: tuple[str, ...] = ()
    """The names of its vectors."""


class Source:
    """A store of which nothing is known but what ``BaseStore`` has."""

    tells_ttl = False
    tells_fields = False

    def __init__(self, store: Any) -> None:
        self.store = store

    def kept(self, addresses: Sequence[Address]) -> list[Kept]:
        """What the store keeps of items, in order."""
        return [Kept() for _ in addresses]

    @property
    def configured(self) -> list[str] | None:
        """The paths that the store embeds where a put does not say; ``None`` for a store that embeds nothing."""
        config = getattr(self.store, "index_config", None)
        if not config:
            return None
        fields = config.get("fields")
        return ["$"] if fields is None else list(fields)

    def index_of(self, kept: Kept, value: Mapping[str, Any]) -> tuple[Index, bool]:
        """The ``index`` of the put of an item, and whether it is known."""
        configured = self.configured
        if configured is None:
            return None, True
        if not self.tells_fields:
            return None, False
        if set(kept.fields) == set(_names(value, configured)):
            return None, True
        if not kept.fields:
            return False, True
        paths: list[str] = []
        for name in kept.fields:
            path = next(
                (path for path in (name, name.rpartition(".")[0]) if path and name in _names(value, [path])), None
            )
            if path is None:  # the vector is of an older value, which some stores leave behind
                return None, False
            if path not in paths:
                paths.append(path)
        return paths, set(_names(value, paths)) == set(kept.fields)


class _Vecmem(Source):
    tells_ttl = tells_fields = True

    def kept(self, addresses: Sequence[Address]) -> list[Kept]:
        found = self.store._core.engine.get_many(list(addresses), include_vectors=True, include_expired=True)
        return [
            Kept()
            if item is None
            else Kept(
                None if item.ttl is None else item.ttl / 60, item.expires_at, tuple(name for name, _ in item.vectors)
            )
            for item in found
        ]


class _Sql(Source):
    """The stores whose tables have LangGraph's columns."""

    tells_ttl = tells_fields = True
    mark = "%s"

    def kept(self, addresses: Sequence[Address]) -> list[Kept]:
        found: dict[tuple[str, str], Kept] = {}
        names = [(".".join(namespace), key) for namespace, key in addresses]
        for place in range(0, len(names), ADDRESSES_A_QUERY):
            self._read(names[place : place + ADDRESSES_A_QUERY], found)
        return [found.get(name, Kept()) for name in names]

    def _read(self, names: Sequence[tuple[str, str]], found: dict[tuple[str, str], Kept]) -> None:
        these = " OR ".join([f"(prefix = {self.mark} AND key = {self.mark})"] * len(names))
        parameters = [part for name in names for part in name]
        fields: dict[tuple[str, str], list[str]] = {}
        with self.store._cursor() as cursor:
            if self.configured is not None:
                cursor.execute(f"SELECT prefix, key, field_name FROM store_vectors WHERE {these}", parameters)
                for prefix, key, field in map(_columns, cursor.fetchall()):
                    fields.setdefault((prefix, key), []).append(field)
            cursor.execute(f"SELECT prefix, key, ttl_minutes, expires_at FROM store WHERE {these}", parameters)
            for prefix, key, ttl, expires_at in map(_columns, cursor.fetchall()):
                minutes = float(ttl) if ttl else None  # a column of whole minutes makes 0 of less than one
                kept = Kept(minutes, _micros(expires_at), tuple(fields.get((prefix, key), ())))
                found[prefix, key] = kept


class _Sqlite(_Sql):
    mark = "?"


class _InMemory(Source):
    tells_fields = True

    def kept(self, addresses: Sequence[Address]) -> list[Kept]:
        vectors: Mapping[Any, Mapping[str, Mapping[str, Any]]] = self.store._vectors
        return [Kept(fields=tuple(vectors.get(namespace, {}).get(key, ()))) for namespace, key in addresses]


_KNOWN = {
    ("langgraph.store.sqlite.base", "SqliteStore"): _Sqlite,
    ("langgraph.store.postgres.base", "PostgresStore"): _Sql,
    ("langgraph.store.memory", "InMemoryStore"): _InMemory,
}


def source_of(store: BaseStore) -> Source:
    """What is known of a store, by its class; a class that is made of a known one is like it."""
    if isinstance(store, Store):
        return _Vecmem(store)
    for made_of in type(store).__mro__:
        known = _KNOWN.get((made_of.__module__, made_of.__name__))
        if known is not None:
            return known(store)
    return Source(store)


def _names(value: Mapping[str, Any], paths: Sequence[str]) -> list[str]:
    return [name for name, _ in Embedder.texts(value, Embedder.paths(paths))]


def _columns(row: Any) -> tuple[Any, ...]:
    return tuple(row.values()) if isinstance(row, dict) else tuple(row)


def _micros(time: Any) -> int | None:
    """A time of a database, which may be text; one without a zone is UTC."""
    if time is None:
        return None
    return to_micros(time if isinstance(time, datetime) else datetime.fromisoformat(str(time)))
