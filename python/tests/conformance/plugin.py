"""A pytest plugin that puts another store class where a published suite expects LangGraph's own.

The suites run unedited: before their modules are imported, ``InMemoryStore``, and in the suites of a database its two
store classes, are replaced. Told by environment variables (``suites.run`` sets them):

``CONFORMANCE_STORE``: the class, as ``module:Class``. It must take ``Class()``, ``Class(index=...)`` and, if it has
    time to live, ``Class(index=..., ttl=...)``. ``native`` replaces nothing: the suite tests the store it was written
    for.
``CONFORMANCE_SUITE``: ``checkpoint``, ``sqlite`` or ``postgres``.
``CONFORMANCE_ADAPTER``: a module, by default that of the class, whose functions of these names are used where it has
    them: ``open_store(path, index, ttl)`` and ``close_store(store, path)``: instead of calling the class and
    ``close()``; the suites name a path, or none for a store in memory; ``expire_now(store, namespace, key)``,
    ``set_updated_at(store, namespace, key, seconds_ago)``, ``row_exists(store, namespace, key)``, ``expires_at(store,
    namespace, key)``: what some tests do to rows with statements of SQL. Without them these tests are skipped.
``CONFORMANCE_SQLITE_TTL_DEFAULT``: ``1`` adds ``refresh_on_read: False`` to configurations of the sqlite suite that do
    not say. SqliteStore takes that for the default, and ``test_ttl_override_default`` relies on it; ``BaseStore``
    documents ``True``.
``CONFORMANCE_LEFT_OUT``: tests that are not run, as ``file::test``.
``CONFORMANCE_PROGRESS``: a file of JSON lines, (test, what became of it). Tests that it names already are not run: so a
    run goes on behind a test that hung and took the process with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import BaseStore
from langgraph.store.base.batch import AsyncBatchedBaseStore

STORE = os.environ["CONFORMANCE_STORE"]
SUITE = os.environ["CONFORMANCE_SUITE"]
PROGRESS = Path(os.environ["CONFORMANCE_PROGRESS"]) if "CONFORMANCE_PROGRESS" in os.environ else None
SQLITE_TTL_DEFAULT = os.environ.get("CONFORMANCE_SQLITE_TTL_DEFAULT") == "1"

# The statements that the suites send to tables, by how they begin, and the hook that does the same.
STATEMENTS = {
    "UPDATE store SET expires_at": "expire_now",
    "UPDATE store SET updated_at": "set_updated_at",
    "SELECT COUNT(*)": "row_exists",
    "SELECT expires_at": "expires_at",
    "DROP TABLE": None,
}


class Candidate:
    """The class under test and what its adapter offers."""

    def __init__(self, spec: str) -> None:
        module, _, name = spec.partition(":")
        self.store_class = getattr(importlib.import_module(module), name)
        self.adapter = importlib.import_module(os.environ.get("CONFORMANCE_ADAPTER") or module)

    def hook(self, name: str) -> Any:
        return getattr(self.adapter, name, None)

    @contextlib.contextmanager
    def opened(self, conn_string: str, index: dict[str, Any] | None, ttl: dict[str, Any] | None) -> Iterator[BaseStore]:
        path = None if conn_string == ":memory:" or "://" in conn_string else Path(conn_string)
        if index is not None and "text_fields" in index:  # as SqliteStore spells it
            index = {**index, "fields": index["text_fields"]}
        if ttl is not None and SUITE == "sqlite" and SQLITE_TTL_DEFAULT:
            ttl = {"refresh_on_read": False, **ttl}
        store = self.hook("open_store")(path, index, ttl) if self.hook("open_store") else self._new(index, ttl)
        try:
            yield store
        finally:
            if close_store := self.hook("close_store"):
                close_store(store, path)
            else:
                getattr(store, "close", lambda: None)()

    def _new(self, index: Any, ttl: Any) -> BaseStore:
        return self.store_class(index=index, **({"ttl": ttl} if self.store_class.supports_ttl else {}))


class RawRows:
    """A cursor that understands the statements of the suites."""

    def __init__(self, candidate: Candidate, store: BaseStore) -> None:
        self._candidate, self._store = candidate, store
        self._row: dict[str, Any] | None = None

    def execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> None:
        statement = " ".join(statement.split())
        name = next(hook for start, hook in STATEMENTS.items() if statement.startswith(start))
        if name is None:
            return
        hook = self._candidate.hook(name)
        if hook is None:
            pytest.skip(f"{STORE} has no hook {name}()")
        *others, namespace, key = parameters
        found = hook(self._store, tuple(namespace.split(".")), key, *others)
        self._row = {"n": int(bool(found)), "expires_at": found}

    def fetchone(self) -> dict[str, Any] | None:
        return self._row


class AsyncRawRows(RawRows):
    """The same for the asynchronous suites."""

    async def execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> None:  # type: ignore[override]
        super().execute(statement, parameters)

    async def fetchone(self) -> dict[str, Any] | None:  # type: ignore[override]
        return super().fetchone()


class _Database:
    """What the fixtures expect of any store of a database."""

    MIGRATIONS: list[str] = []


def sync_class(candidate: Candidate) -> type:
    """What stands for ``SqliteStore`` and ``PostgresStore``: it opens stores of the candidate's class."""

    class Opened(_Database, candidate.store_class):
        """The candidate, with what the fixtures call and it lacks."""

        if not hasattr(candidate.store_class, "setup"):

            def setup(self) -> None: ...

        if not hasattr(candidate.store_class, "sweep_ttl"):

            def sweep_ttl(self) -> int:
                return 0

            def start_ttl_sweeper(self, *_: Any) -> None: ...

            def stop_ttl_sweeper(self, *_: Any) -> bool:
                return True

        @contextlib.contextmanager
        def _cursor(self, **_: Any) -> Any:
            yield RawRows(candidate, self)

    candidate.store_class = Opened

    class Sync(_Database):
        @classmethod
        @contextlib.contextmanager
        def from_conn_string(cls, conn_string: str, *, index: Any = None, ttl: Any = None, **_: Any) -> Any:
            with candidate.opened(conn_string, index, ttl) as store:
                yield store

    return Sync


def async_class(candidate: Candidate) -> type:
    """What stands for ``AsyncSqliteStore`` and ``AsyncPostgresStore``: LangGraph's own batching in front of the
    candidate's ``abatch``."""

    class Async(_Database, AsyncBatchedBaseStore):
        def __init__(self, store: Any) -> None:
            super().__init__()
            self.store = store
            self.supports_ttl = store.supports_ttl
            self.ttl_config = store.ttl_config

        @property
        def index_config(self) -> Any:
            return self.store.index_config

        async def abatch(self, ops: Any) -> Any:
            return await self.store.abatch(ops)

        async def setup(self) -> None:
            self.store.setup()

        async def sweep_ttl(self) -> int:
            return await asyncio.to_thread(self.store.sweep_ttl)

        async def start_ttl_sweeper(self, *arguments: Any) -> None:
            self.store.start_ttl_sweeper(*arguments)

        async def stop_ttl_sweeper(self, *arguments: Any) -> bool:
            return await asyncio.to_thread(self.store.stop_ttl_sweeper, *arguments)

        @contextlib.asynccontextmanager
        async def _cursor(self, **_: Any) -> Any:
            yield AsyncRawRows(candidate, self.store)

        @classmethod
        @contextlib.asynccontextmanager
        async def from_conn_string(cls, conn_string: str, *, index: Any = None, ttl: Any = None, **_: Any) -> Any:
            with candidate.opened(conn_string, index, ttl) as store:
                yield cls(store)

    return Async


class NoServer:
    """Stands for the connection with which the postgres fixtures make databases."""

    @classmethod
    def connect(cls, *_: Any, **__: Any) -> NoServer:
        return cls()

    def __enter__(self) -> NoServer:
        return self

    def __exit__(self, *_: object) -> None: ...

    def execute(self, *_: Any) -> None: ...


class NoAsyncServer:
    """The same, awaited."""

    @classmethod
    async def connect(cls, *_: Any, **__: Any) -> NoAsyncServer:
        return cls()

    async def __aenter__(self) -> NoAsyncServer:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def execute(self, *_: Any) -> None: ...


def install(candidate: Candidate) -> None:
    """Replaces the classes that the suite imports."""
    memory = importlib.import_module("langgraph.store.memory")
    if SUITE == "checkpoint":
        memory.InMemoryStore = candidate.store_class
        return
    sync, asynchronous = sync_class(candidate), async_class(candidate)
    memory.InMemoryStore = candidate.store_class
    if SUITE == "sqlite":
        sqlite, sqlite_aio = (importlib.import_module(f"langgraph.store.sqlite{part}") for part in ("", ".aio"))
        sqlite.SqliteStore, sqlite.AsyncSqliteStore, sqlite_aio.AsyncSqliteStore = sync, asynchronous, asynchronous
    else:
        postgres, psycopg = importlib.import_module("langgraph.store.postgres"), importlib.import_module("psycopg")
        postgres.PostgresStore, postgres.AsyncPostgresStore = sync, asynchronous
        psycopg.Connection.connect, psycopg.AsyncConnection.connect = NoServer.connect, NoAsyncServer.connect


if STORE != "native":
    CANDIDATE = Candidate(STORE)
    install(CANDIDATE)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests of one backend's own."""
    left_out = set(os.environ.get("CONFORMANCE_LEFT_OUT", "").split()) if STORE != "native" else set()
    dropped = [item for item in items if item.nodeid.partition("[")[0] in left_out]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]
    if PROGRESS is not None and PROGRESS.exists():
        begun = {json.loads(line)[0] for line in PROGRESS.read_text().splitlines()}
        items[:] = [item for item in items if item.nodeid not in begun]


def pytest_runtest_logstart(nodeid: str) -> None:
    """What has begun and comes to nothing has hung."""
    _note(nodeid, "hung")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Writes down what became of a test; of its phases, the worst counts."""
    if report.when == "call" or not report.passed:
        _note(report.nodeid, report.outcome)


def _note(test: str, outcome: str) -> None:
    if PROGRESS is not None:
        with PROGRESS.open("a") as file:
            file.write(json.dumps([test, outcome]) + "\n")
