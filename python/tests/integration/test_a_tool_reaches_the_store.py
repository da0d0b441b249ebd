"""Tools get the store of their graph by `InjectedStore` and by `ToolRuntime`; the model never sees that argument."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from langchain.tools import InjectedStore, ToolRuntime, tool
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.store.base import BaseStore
from scripted import calls

NOTES = ("notes",)


@tool
def save_injected(text: str, store: Annotated[Any, InjectedStore()]) -> str:
    """Save a note."""
    store.put(NOTES, text, {"text": text})
    return f"{len(store.search(NOTES))} notes"


@tool
def save_runtime(text: str, runtime: ToolRuntime) -> str:
    """Save a note."""
    runtime.store.put(NOTES, text, {"text": text})
    return f"{len(runtime.store.search(NOTES))} notes"


@tool
async def save_injected_async(text: str, store: Annotated[Any, InjectedStore()]) -> str:
    """Save a note."""
    await store.aput(NOTES, text, {"text": text})
    return f"{len(await store.asearch(NOTES))} notes"


@tool
async def save_runtime_async(text: str, runtime: ToolRuntime) -> str:
    """Save a note."""
    await runtime.store.aput(NOTES, text, {"text": text})
    return f"{len(await runtime.store.asearch(NOTES))} notes"


def compiled(a_tool, store: BaseStore):
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([a_tool]))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    return graph.compile(store=store)


def wish(a_tool, text: str) -> dict[str, list[AIMessage]]:
    return {"messages": [calls(a_tool.name, text=text)]}


@pytest.mark.parametrize("a_tool", [save_injected, save_runtime])
def test_a_tool_writes_and_reads(store: BaseStore, a_tool) -> None:
    graph = compiled(a_tool, store)
    assert graph.invoke(wish(a_tool, "tea"))["messages"][-1].content == "1 notes"
    assert graph.invoke(wish(a_tool, "rain"))["messages"][-1].content == "2 notes"
    assert "store" not in a_tool.tool_call_schema.model_json_schema()["properties"]


@pytest.mark.parametrize("a_tool", [save_injected_async, save_runtime_async])
def test_an_async_tool_writes_and_reads(store: BaseStore, a_tool) -> None:
    graph = compiled(a_tool, store)
    assert asyncio.run(graph.ainvoke(wish(a_tool, "tea")))["messages"][-1].content == "1 notes"
    assert asyncio.run(graph.ainvoke(wish(a_tool, "rain")))["messages"][-1].content == "2 notes"
