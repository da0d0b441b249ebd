"""``abatch`` works on threads: the loop goes on, loops come and go, and context variables are seen."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import threading
from pathlib import Path
from typing import Any

import pytest
from embeddings import DIMS, Recorded, index, vector_of
from langchain_core.embeddings import Embeddings
from langgraph.store.base import GetOp, PutOp, SearchOp

import vecmem

SECONDS = 60


def test_the_loop_runs_while_values_are_read() -> None:
    reached, go_on = threading.Event(), threading.Event()

    class Slow(collections.UserDict):  # type: ignore[type-arg]
        """Is read only after the loop has run."""

        def __iter__(self) -> Any:
            reached.set()
            assert go_on.wait(SECONDS), "the loop was blocked"
            return super().__iter__()

    async def use() -> None:
        with vecmem.Store() as store:
            put = asyncio.create_task(store.aput(("a",), "k", Slow(x=1)))
            while not reached.is_set():
                await asyncio.sleep(0.001)
            go_on.set()
            await put
            assert (await store.aget(("a",), "k")).value == {"x": 1}

    asyncio.run(use())


def test_the_asynchronous_methods_of_the_model_are_used() -> None:
    loops: list[Any] = []

    class Asynchronous(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise AssertionError("called from async code")

        embed_query = embed_documents  # type: ignore[assignment]

        async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
            loops.append(asyncio.get_running_loop())
            await asyncio.sleep(0)
            return [vector_of(text) for text in texts]

        async def aembed_query(self, text: str) -> list[float]:
            loops.append(asyncio.get_running_loop())
            return vector_of(text)

    async def use(store: vecmem.Store) -> Any:
        await store.aput(("a",), "k", {"text": "tea"})
        found = await store.asearch((), query="tea")
        assert [item.key for item in found] == ["k"]
        return asyncio.get_running_loop()

    with vecmem.Store(index={"dims": DIMS, "embed": Asynchronous()}) as store:
        assert loops == [asyncio.run(use(store))] * 2


def test_an_async_function_serves_async_calls() -> None:
    async def embed(texts: list[str]) -> list[list[float]]:
        return [vector_of(text) for text in texts]

    async def use() -> None:
        with vecmem.Store(index={"dims": DIMS, "embed": embed}) as store:
            await store.aput(("a",), "k", {"text": "tea"})
            assert (await store.asearch((), query="tea"))[0].score is not None

    asyncio.run(use())


def test_an_async_function_serves_sync_calls_on_a_loop_of_its_own() -> None:
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user")
    seen: list[tuple[Any, str]] = []

    async def embed(texts: list[str]) -> list[list[float]]:
        await asyncio.sleep(0)
        seen.append((asyncio.get_running_loop(), user.get()))
        if texts == ["again"]:
            store.put(("a",), "inner", {"text": "inner"})
        return [vector_of(text) for text in texts]

    async def within_a_loop() -> None:
        store.put(("a",), "other", {"text": "other"})

    user.set("ada")
    with vecmem.Store(index={"dims": DIMS, "embed": embed, "fields": ["text"]}) as store:
        store.put(("a",), "k", {"text": "tea"})
        found = store.batch([SearchOp((), query="tea"), SearchOp((), query="coffee")])
        assert [item.key for item in found[0]] == ["k"] and found[0][0].score == pytest.approx(1.0)  # type: ignore[index,union-attr]
        user.set("grace")
        asyncio.run(within_a_loop())
        with pytest.raises(RuntimeError, match="use the store's async methods there"):
            store.put(("a",), "outer", {"text": "again"})
        assert sorted(item.key for item in store.search(())) == ["k", "other"]
    assert [name for _, name in seen] == ["ada"] * 3 + ["grace"] * 2
    assert len({id(loop) for loop, _ in seen}) == 1 and seen[0][0].is_running()


def test_synchronous_models_stay_off_the_loop() -> None:
    model = Recorded()

    async def use() -> None:
        with vecmem.Store(index={"dims": DIMS, "embed": model}) as store:
            await store.aput(("a",), "k", {"text": "tea"})

    asyncio.run(use())
    assert model.threads and threading.main_thread() not in model.threads


def test_one_store_serves_several_loops_and_threads(store: vecmem.Store) -> None:
    async def use(name: str) -> list[str]:
        await asyncio.gather(*(store.aput((name,), f"{number}", {"text": name}) for number in range(50)))
        found = await asyncio.gather(*(store.aget((name,), f"{number}") for number in range(50)))
        assert all(item is not None for item in found)
        return [item.key for item in await store.asearch((name,), query=name, limit=100)]

    for name in ("first", "second"):
        assert len(asyncio.run(use(name))) == 50
    results: dict[str, list[str]] = {}
    names = [f"loop {number}" for number in range(4)]
    threads = [
        threading.Thread(target=lambda name=name: results.update({name: asyncio.run(use(name))})) for name in names
    ]
    for thread in threads:
        thread.start()
    for number in range(50):
        store.put(("sync",), f"{number}", {"text": "sync"})
    for thread in threads:
        thread.join()
    assert sorted(results) == names and all(len(keys) == 50 for keys in results.values())
    assert store.count() == 50 * 7


def test_context_variables_reach_the_model() -> None:
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user")
    seen: list[str] = []

    def embed(texts: list[str]) -> list[list[float]]:
        seen.append(user.get())
        return [vector_of(text) for text in texts]

    async def use(store: vecmem.Store) -> None:
        user.set("ada")
        await store.aput(("a",), "k", {"text": "tea"})

    with vecmem.Store(index={"dims": DIMS, "embed": embed}) as store:
        asyncio.run(use(store))
        user.set("grace")
        store.put(("a",), "k", {"text": "cat"})
    assert seen == ["ada", "grace"]


@pytest.mark.parametrize("cancel_after", range(8))
def test_a_cancelled_batch_is_whole_or_absent(tmp_path: Path, cancel_after: int) -> None:
    ops = [PutOp(("a",), f"{number}", {"text": f"text {number}"}) for number in range(20)]

    async def use(store: vecmem.Store) -> int:
        batch = asyncio.create_task(store.abatch(ops))
        for _ in range(cancel_after):
            await asyncio.sleep(0)
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch
        found = await store.abatch([GetOp(op.namespace, op.key) for op in ops])
        await store.aput(("b",), "after", {"text": "fine"})
        assert await store.aget(("b",), "after") is not None
        return sum(item is not None for item in found)

    with vecmem.Store(tmp_path / "store", index=index()) as store:
        assert asyncio.run(use(store)) in (0, len(ops))
    with vecmem.Store(tmp_path / "store") as store:
        assert store.count(("a",)) in (0, len(ops)), "what was not done then was done, wholly, by the end"


def test_abatch_does_not_call_batch() -> None:
    class Spied(vecmem.Store):
        calls: list[str] = []  # noqa: RUF012

        def batch(self, ops: Any) -> Any:
            self.calls.append("batch")
            return super().batch(ops)

        async def abatch(self, ops: Any) -> Any:
            self.calls.append("abatch")
            return await super().abatch(ops)

    async def use(store: vecmem.Store) -> None:
        await store.aput(("a",), "k", {})
        await store.aget(("a",), "k")
        await store.adelete(("a",), "k")

    with Spied() as store:
        asyncio.run(use(store))
        assert Spied.calls == ["abatch"] * 3
        store.get(("a",), "k")
        assert Spied.calls[3:] == ["batch"]
