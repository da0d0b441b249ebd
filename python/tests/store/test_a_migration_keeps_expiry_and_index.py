"""``migrate`` keeps when items expire and what puts said about the index, where the source tells; else it counts."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from embeddings import index
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore

import vecmem
from vecmem.sources import Kept, source_of

HOME = ("users", "ada")
VALUE = {"text": "tea", "notes": ["one", "two"]}
NAMES = {"plain": {"text"}, "not at all": set(), "notes": {"notes[*].0", "notes[*].1"}, "whole": {"$"}}
"""Keys, and the names of the vectors that their copies have."""


def filled(store: BaseStore) -> BaseStore:
    store.put(HOME, "plain", VALUE)
    store.put(HOME, "not at all", VALUE, index=False)
    store.put(HOME, "notes", VALUE, index=["notes[*]"])
    if isinstance(store, SqliteStore):
        rows = [(".".join(HOME), key, name) for key in ("plain", "notes") for name in NAMES[key]]
        store.conn.executemany("INSERT INTO store_vectors VALUES (?, ?, ?)", rows)
        store.index_config = config()
    return store


def sqlite() -> SqliteStore:
    """A store with the columns of its table of vectors that tell what is embedded. The table itself needs an extension
    of SQLite, which many builds of Python cannot load."""
    store = SqliteStore(sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None))
    store.setup()
    store.conn.execute("CREATE TABLE store_vectors (prefix TEXT, key TEXT, field_name TEXT)")
    return store


def config() -> Any:
    return index(fields=["text"])


def kept(store: vecmem.Store, key: str) -> Any:
    return store._core.engine.get(HOME, key, include_vectors=True, include_expired=True)


@pytest.mark.parametrize("make", [lambda: vecmem.Store(index=config()), lambda: InMemoryStore(index=config()), sqlite])
def test_what_a_put_said_about_the_index_holds_for_the_copy(make: Any) -> None:
    source = filled(make())
    with vecmem.Store(index=config()) as target:
        done = vecmem.migrate(source, target, progress=False)
        assert (done.copied, done.index_unknown, done.ttl_unknown, done.expired) == (3, 0, 0, 0)
        for key in ("plain", "not at all", "notes"):
            assert {name for name, _ in kept(target, key).vectors} == NAMES[key], key
    with vecmem.Store(index=index(fields=["$"])) as target:  # what is embedded as configured, is so in the target
        vecmem.migrate(source, target, progress=False)
        names = [{name for name, _ in kept(target, key).vectors} for key in ("plain", "not at all", "notes")]
        assert names == [NAMES["whole"], NAMES["not at all"], NAMES["notes"]]


@pytest.mark.parametrize("make", [lambda: vecmem.Store(index=config()), sqlite])
def test_copies_expire_when_their_items_would_have(make: Any) -> None:
    source = make()
    began = time.time_ns() // 1_000
    source.put(HOME, "an hour", VALUE, ttl=60)
    source.put(HOME, "for ever", VALUE)
    source.put(HOME, "over", VALUE, ttl=0.0002)
    time.sleep(0.05)
    with vecmem.Store(index=config(), ttl={"default_ttl": 1}) as target:
        done = vecmem.migrate(source, target, progress=False)
        assert (done.copied, done.expired, done.ttl_unknown) == (2, 1, 0)
        copy = kept(target, "an hour")
        assert copy.ttl == 3_600 and abs(copy.expires_at - began - 3_600_000_000) < 60_000_000
        assert kept(target, "for ever").expires_at is None and kept(target, "for ever").ttl is None
        original = source_of(source).kept([(HOME, "an hour")])[0]
        assert original.expires_at == copy.expires_at, "the point of time, not the span"
    with vecmem.Store(index=config()) as target:
        vecmem.migrate(source, target, ttl=5, progress=False)
        assert {kept(target, key).ttl for key in ("an hour", "for ever")} == {300}


def test_what_a_source_does_not_tell_is_counted() -> None:
    class Silent(BaseStore):
        """Answers as another store does, and tells nothing else."""

        supports_ttl = True
        index_config = config()

        def __init__(self) -> None:
            self.behind = filled(InMemoryStore())

        def batch(self, ops: Any) -> Any:
            return self.behind.batch(ops)

        async def abatch(self, ops: Any) -> Any:
            return await self.behind.abatch(ops)

    with vecmem.Store(index=config(), ttl={"default_ttl": 2}) as target:
        done = vecmem.migrate(Silent(), target, progress=False)
        assert (done.copied, done.ttl_unknown, done.index_unknown) == (3, 3, 3)
        assert kept(target, "plain").ttl == 120 and len(kept(target, "not at all").vectors) == 1


def test_the_tables_of_postgres_are_read_like_those_of_sqlite() -> None:
    made = sqlite()
    filled(made)
    made.index_config = None
    made.put(HOME, "plain", VALUE, ttl=60)
    made.index_config = config()

    class Rows:
        """A cursor as psycopg has it: placeholders ``%s``, and rows that are dicts with datetimes."""

        def __init__(self, cursor: sqlite3.Cursor) -> None:
            self.cursor = cursor

        def execute(self, query: str, parameters: list[str]) -> None:
            self.cursor.execute(query.replace("%s", "?"), parameters)

        def fetchall(self) -> list[dict[str, Any]]:
            names = [column[0] for column in self.cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in self.cursor.fetchall()]
            for row in rows:
                if "expires_at" in row:
                    row["expires_at"] = datetime.fromisoformat(row["expires_at"]).astimezone(
                        timezone(timedelta(hours=2))
                    )
            return rows

    PostgresStore = type("PostgresStore", (SqliteStore,), {"__module__": "langgraph.store.postgres.base"})

    @contextlib.contextmanager
    def cursor(self: Any) -> Iterator[Rows]:
        with SqliteStore._cursor(self) as cursor:
            yield Rows(cursor)

    PostgresStore._cursor = cursor  # type: ignore[attr-defined]
    made.__class__ = PostgresStore
    assert type(source_of(made)).__name__ == "_Sql"
    [found] = source_of(made).kept([(HOME, "plain")])
    made.__class__ = SqliteStore
    assert [found] == source_of(made).kept([(HOME, "plain")])
    assert found.ttl == 60 and found.fields == ("text",) and found.expires_at is not None
    assert source_of(made).kept([(HOME, "none")]) == [Kept()]


def test_the_names_of_models_are_kept_for_exports(tmp_path: Any) -> None:
    for model in ("toy-1", "toy-2", "toy-1", None):
        vecmem.Store(tmp_path / "store", index=index(model)).close()
    with vecmem.Engine(tmp_path / "store") as engine:
        assert engine.setting("embedding_models") == '["toy-1", "toy-2"]'
