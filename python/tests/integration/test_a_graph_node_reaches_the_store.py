"""A LangGraph graph compiled with `store=` hands that very store to its nodes, in each of the ways LangGraph has."""

from __future__ import annotations

import asyncio
from typing import TypedDict

import pytest
from langgraph.config import get_store
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

USER = ("users", "ada", "notes")


class State(TypedDict):
    note: str
    seen: list[str]


def notes_of(store: BaseStore) -> list[str]:
    return sorted(item.value["text"] for item in store.search(USER))


def by_parameter(state: State, *, store: BaseStore) -> dict:
    store.put(USER, state["note"], {"text": state["note"]})
    return {"seen": notes_of(store)}


def by_get_store(state: State) -> dict:
    return by_parameter(state, store=get_store())


def by_runtime(state: State, runtime: Runtime) -> dict:
    return by_parameter(state, store=runtime.store)


async def by_parameter_async(state: State, *, store: BaseStore) -> dict:
    await store.aput(USER, state["note"], {"text": state["note"]})
    return {"seen": sorted(item.value["text"] for item in await store.asearch(USER))}


async def by_get_store_async(state: State) -> dict:
    return await by_parameter_async(state, store=get_store())


async def by_runtime_async(state: State, runtime: Runtime) -> dict:
    return await by_parameter_async(state, store=runtime.store)


def compiled(node, store: BaseStore):
    graph = StateGraph(State)
    graph.add_node("remember", node)
    graph.add_edge(START, "remember")
    graph.add_edge("remember", END)
    return graph.compile(store=store)


@pytest.mark.parametrize("node", [by_parameter, by_get_store, by_runtime])
def test_a_node_reads_what_an_earlier_run_wrote(store: BaseStore, node) -> None:
    graph = compiled(node, store)
    assert graph.invoke({"note": "tea", "seen": []})["seen"] == ["tea"]
    assert graph.invoke({"note": "rain", "seen": []})["seen"] == ["rain", "tea"]
    assert store.get(USER, "tea").value == {"text": "tea"}


@pytest.mark.parametrize("node", [by_parameter_async, by_get_store_async, by_runtime_async])
def test_an_async_node_reads_what_an_earlier_run_wrote(store: BaseStore, node) -> None:
    graph = compiled(node, store)
    first = asyncio.run(graph.ainvoke({"note": "tea", "seen": []}))
    second = asyncio.run(graph.ainvoke({"note": "rain", "seen": []}))  # another event loop, the same store
    assert (first["seen"], second["seen"]) == (["tea"], ["rain", "tea"])


def test_runs_side_by_side_lose_no_note(store: BaseStore) -> None:
    graph = compiled(by_parameter_async, store)
    notes = [f"note {number:02}" for number in range(64)]

    async def all_at_once() -> None:
        await asyncio.gather(*(graph.ainvoke({"note": note, "seen": []}) for note in notes))

    asyncio.run(all_at_once())
    assert sorted(item.value["text"] for item in store.search(USER, limit=100)) == notes


def test_a_workflow_of_tasks_reaches_the_store(store: BaseStore) -> None:
    @task
    def remember(note: str) -> list[str]:
        return by_get_store({"note": note, "seen": []})["seen"]

    @entrypoint(store=store)
    def workflow(note: str) -> list[str]:
        return remember(note).result()

    assert workflow.invoke("tea") == ["tea"]
    assert workflow.invoke("rain") == ["rain", "tea"]
