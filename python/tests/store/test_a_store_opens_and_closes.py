"""A store's life: paths, context managers, ``setup``, reopening with and without an index, and ends of all kinds."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import warnings
import weakref
from pathlib import Path

import pytest
from embeddings import index
from langgraph.store.base import BaseStore

import vecmem


def test_sync_and_async_context_managers(tmp_path: Path) -> None:
    with vecmem.Store.from_conn_string(str(tmp_path / "store"), index=index()) as store:
        assert type(store) is vecmem.Store and isinstance(store, BaseStore) and store.supports_ttl
        store.setup()
        store.setup()
        store.put(("a",), "k", {"text": "tea"})
    with pytest.raises(vecmem.ClosedError):
        store.get(("a",), "k")

    async def use() -> None:
        async with vecmem.Store.from_conn_string(tmp_path / "store", index=index()) as store:
            await store.setup()
            assert (await store.aget(("a",), "k")).value == {"text": "tea"}
        with pytest.raises(vecmem.ClosedError):
            await store.aget(("a",), "k")
        async with vecmem.Store(tmp_path / "store") as store:
            assert (await store.aget(("a",), "k")).value == {"text": "tea"}
        await store.aclose()

    asyncio.run(use())


def test_a_connection_string_is_a_path(tmp_path: Path) -> None:
    with vecmem.Store.from_conn_string(":memory:") as store:
        store.put(("a",), "k", {})
    assert not Path(":memory:").exists()
    with pytest.raises(vecmem.InvalidInputError, match="is a directory, so its connection string is a path"):
        vecmem.Store.from_conn_string("postgres://localhost/db")


def test_a_subclass_opens_as_itself(tmp_path: Path) -> None:
    class Mine(vecmem.Store):
        pass

    with Mine.from_conn_string(tmp_path / "store") as store:
        assert type(store) is Mine


def test_without_an_index_vectors_stay_and_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with vecmem.Store(path, index=index()) as store:
        store.put(("a",), "embedded", {"text": "tea"})
        assert store.index_config["dims"] == 4 and store.embeddings is store.index_config["embed"]
    with vecmem.Store(path) as store:
        assert store.index_config is None and store.embeddings is None
        store.put(("a",), "plain", {"text": "cat"}, index=["text"])
        store.put(("a",), "odd", {"text": "cat"}, index="anything")  # type: ignore[arg-type]
        assert [(item.key, item.score) for item in store.search(("a",), query="tea")] == [
            ("odd", None),
            ("plain", None),
            ("embedded", None),
        ]
    with vecmem.Store(path, index=index()) as store:
        found = store.search(("a",), query="tea")
        assert found[0].key == "embedded" and found[0].score is not None
        assert [item.key for item in found[1:]] == ["odd", "plain"]


def test_a_store_without_vectors_gains_an_index(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with vecmem.Store(path) as store:
        store.put(("a",), "early", {"text": "tea"})
    with vecmem.Store(path, index=index()) as store:
        store.put(("a",), "late", {"text": "tea"})
        assert [(item.key, item.score is None) for item in store.search((), query="tea")] == [
            ("late", False),
            ("early", True),
        ]
    with pytest.raises(vecmem.OptionsDifferError):
        vecmem.Store(path, index={**index(), "dims": 7})


def test_two_stores_on_one_directory_are_one(tmp_path: Path) -> None:
    with vecmem.Store(tmp_path / "store") as one, vecmem.Store(tmp_path / "store") as other:
        one.put(("a",), "k", {"n": 1})
        assert other.get(("a",), "k").value == {"n": 1}
        one.close()
        other.put(("a",), "k", {"n": 2})
        assert other.get(("a",), "k").value == {"n": 2}


def test_a_forgotten_store_makes_no_noise(tmp_path: Path) -> None:
    unraisable: list[object] = []
    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for path in (None, tmp_path / "store"):
                store = vecmem.Store(path, index=index(), ttl={"default_ttl": 5})
                store.put(("a",), "k", {"text": "tea"})
                asyncio.run(store.aget(("a",), "k"))
                gone = weakref.ref(store)
                del store
                gc.collect()
                assert gone() is None
    finally:
        sys.unraisablehook = hook
    assert not unraisable and not [warning for warning in caught if issubclass(warning.category, ResourceWarning)]
    with vecmem.Store(tmp_path / "store") as store:
        assert store.get(("a",), "k").value == {"text": "tea"}


def test_closing_lets_go_of_everything(tmp_path: Path) -> None:
    store = vecmem.Store(tmp_path / "store", ttl={"sweep_interval_minutes": 5})
    for number in range(20):
        store.put(("a",), f"{number}", {})
    store.search(("a",), limit=5)
    future = store.start_ttl_sweeper()
    asyncio.run(store.aget(("a",), "1"))
    store.close()
    store.close()
    assert future.done() and len(store._core.pages) == 0
    for call in (
        lambda: store.get(("a",), "1"),
        lambda: store.put(("a",), "1", {}),
        lambda: store.search(("a",), limit=5, offset=5),
        lambda: asyncio.run(store.aput(("a",), "1", {})),
        store.sweep_ttl,
        store.stats,
    ):
        with pytest.raises(vecmem.ClosedError):
            call()
    with vecmem.Store(tmp_path / "store") as again:
        assert again.count() == 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_is_told_and_harms_nothing(tmp_path: Path) -> None:
    program = """
import asyncio, os, sys, vecmem
store = vecmem.Store(sys.argv[1])
store.put(("a",), "k", {"n": 1})
for _ in range(20):  # so that a thread of the store is idle when it forks
    asyncio.run(store.aget(("a",), "k"))
child = os.fork()
if child == 0:
    try:
        for call in (lambda: store.get(("a",), "k"), lambda: asyncio.run(store.aput(("a",), "k", {"n": 2}))):
            try:
                call()
            except vecmem.ForkedError as error:
                assert "fork" in str(error)
            else:
                sys.exit("the child was not told")
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0, "the child failed"
store.put(("a",), "k", {"n": 3})
assert asyncio.run(store.aget(("a",), "k")).value == {"n": 3}
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    with vecmem.Store(tmp_path / "store") as store:
        assert store.get(("a",), "k").value == {"n": 3}


def test_langgraph_is_named_where_it_is_missing() -> None:
    program = """
import sys
sys.modules["langgraph"] = None
import vecmem
vecmem.Engine().close()
assert vecmem.escape_label(1) == "~i1"
try:
    vecmem.Store
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert 'vecmem.Store needs LangGraph: pip install "vecmem[langgraph]"' in done.stdout, done.stderr
