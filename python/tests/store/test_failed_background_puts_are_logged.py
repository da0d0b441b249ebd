"""A failed write whose error nobody may look at is in the log: off the main thread, or behind a cancelled call."""

from __future__ import annotations

import asyncio
import collections
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from embeddings import DIMS
from langgraph.store.base import PutOp

import vecmem


def test_on_another_thread(store: vecmem.Store, caplog: pytest.LogCaptureFixture) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="reflection") as threads:
        failed = threads.submit(store.put, ("a",), "k", {"text": {1, 2}})
        assert isinstance(failed.exception(), vecmem.InvalidValueError)
        threads.submit(store.search, ("a",), limit=-1).exception()
    [record] = caplog.records
    assert record.name == "vecmem" and record.levelno == logging.ERROR
    assert "a batch with 1 writes failed on thread reflection" in record.getMessage()
    assert record.exc_info and isinstance(record.exc_info[1], vecmem.InvalidValueError)


@pytest.mark.parametrize("refused", ["by BaseStore", "by the store"])
@pytest.mark.parametrize("call", ["put", "delete", "aput", "adelete", "batch", "abatch"])
def test_every_write_once_wherever_it_is_refused(
    store: vecmem.Store, caplog: pytest.LogCaptureFixture, call: str, refused: str
) -> None:
    namespace, key = (("a.b",), "k") if refused == "by BaseStore" else (("a",), "\ud800")

    def write() -> None:
        arguments: tuple[Any, ...] = (namespace, key, {}) if "put" in call else (namespace, key)
        if "batch" in call:
            arguments = ([PutOp(namespace, key, {})],)
        outcome = getattr(store, call)(*arguments)
        if outcome is not None:
            asyncio.run(gathered(outcome))

    async def gathered(outcome: Any) -> None:
        [error] = await asyncio.gather(outcome, return_exceptions=True)
        raise error

    with ThreadPoolExecutor(1, thread_name_prefix="reflection") as threads:
        error = threads.submit(write).exception()
    assert isinstance(error, ValueError)
    [record] = [record for record in caplog.records if record.name == "vecmem"]
    assert "a batch with 1 writes failed on thread reflection" in record.getMessage()
    assert record.exc_info and record.exc_info[1] is error


def test_not_on_the_main_thread(store: vecmem.Store, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(vecmem.InvalidValueError):
        store.put(("a",), "k", {"text": {1, 2}})
    with pytest.raises(vecmem.InvalidValueError):
        asyncio.run(store.aput(("a",), "k", {"text": {1, 2}}))
    assert not caplog.records


def test_after_a_cancel(caplog: pytest.LogCaptureFixture) -> None:
    reached, go_on, logged = threading.Event(), threading.Event(), threading.Event()

    class Notice(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.set()

    class Slow(collections.UserDict):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            reached.set()
            assert go_on.wait(60)
            raise OSError("the value went away")

    async def use(store: vecmem.Store) -> None:
        put = asyncio.create_task(store.aput(("a",), "k", Slow(text="x")))
        while not reached.is_set():
            await asyncio.sleep(0.001)
        put.cancel()
        with pytest.raises(asyncio.CancelledError):
            await put

    handler = Notice()
    logging.getLogger("vecmem").addHandler(handler)
    try:
        with vecmem.Store(index={"dims": DIMS, "embed": lambda texts: [[0.0] * DIMS for _ in texts]}) as store:
            asyncio.run(use(store))
            go_on.set()
            assert logged.wait(60)
    finally:
        logging.getLogger("vecmem").removeHandler(handler)
    assert "whose caller was cancelled, failed" in caplog.text and "the value went away" in caplog.text
