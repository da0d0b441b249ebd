"""Stores of LangGraph that do not take ``Class(index=..., ttl=...)``, in classes that do."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from typing import Any

if not hasattr(sqlite3.Connection, "enable_load_extension"):
    # This Python was built without extensions for SQLite, which SqliteStore needs: pip install pysqlite3-binary
    import pysqlite3

    sys.modules["sqlite3"], sqlite3 = pysqlite3, pysqlite3

from langgraph.store.sqlite import SqliteStore


class Sqlite(SqliteStore):
    """A SqliteStore in memory; asynchronous calls run on a thread."""

    def __init__(self, *, index: Any = None, ttl: Any = None) -> None:
        if index is not None:
            index = {**index, "text_fields": index.get("fields")}
        connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        super().__init__(connection, index=index, ttl=ttl)
        self.setup()

    async def abatch(self, ops: Any) -> Any:
        return await asyncio.to_thread(self.batch, list(ops))
