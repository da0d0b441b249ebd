"""Whatever a model puts into a search tool's arguments gives results or a `ValueError`, and the store goes on."""

from __future__ import annotations

import asyncio
import json

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ToolCallRequest, wrap_tool_call
from langchain_core.messages import ToolMessage
from langgraph.store.base import BaseStore
from langmem import create_search_memory_tool
from scripted import ScriptedModel, calls, says

NAMESPACE = ("memories",)


def deep(depth: int) -> dict:
    """A filter of that many levels."""
    filter_ = {"text": "tea"}
    for _ in range(depth):
        filter_ = {"nested": filter_}
    return filter_


ACCEPTED = {
    "limit 0": ({"limit": 0}, 0),
    "a huge limit": ({"limit": 2_000_000_000}, 3),
    "an offset past the end": ({"offset": 1_000_000_000}, 0),
    "an empty filter": ({"filter": {}}, 3),
    "a filter of a field that no memory has": ({"filter": {"mood": "fine"}}, 0),
    "a range over values of other types": ({"filter": {"size": {"$gt": 3}}}, 1),
    "an infinite number": ({"filter": {"size": {"$lt": float("inf")}}}, 1),
    "a number that no 64 bits hold": ({"filter": {"size": {"$lt": 10**100}}}, 1),
    "a NUL": ({"filter": {"text": "te\0a"}}, 0),
    "quotes in a value": ({"filter": {"text": "' OR 1=1; --"}}, 0),
    "an empty query": ({"query": ""}, 3),
    "a query of 100,000 characters": ({"query": "tea " * 25_000}, 3),
}

REFUSED = {
    "a negative limit": {"limit": -1},
    "a negative offset": {"offset": -5},
    "an unknown operator": {"filter": {"text": {"$regex": ".*"}}},
    "an operator on top": {"filter": {"$where": "1"}},
    "a deep filter": {"filter": deep(5_000)},
    "a lone surrogate": {"filter": {"text": "\ud800"}},
}


@pytest.fixture
def memories(store: BaseStore) -> BaseStore:
    store.put(NAMESPACE, "tea", {"text": "drinks green tea", "size": 5})
    store.put(NAMESPACE, "cat", {"text": "has a cat", "size": "big"})
    store.put(NAMESPACE, "sea", {"text": "lives by the sea"})
    return store


@pytest.mark.parametrize("name", ACCEPTED)
def test_odd_but_legal_arguments_are_answered(memories: BaseStore, name: str) -> None:
    arguments, count = ACCEPTED[name]
    search = create_search_memory_tool(NAMESPACE, store=memories)
    found = json.loads(search.invoke({"query": "tea", **arguments}))
    assert len(found) == count
    assert json.loads(asyncio.run(search.ainvoke({"query": "tea", **arguments}))) == found


@pytest.mark.parametrize("name", REFUSED)
def test_impossible_arguments_are_refused(memories: BaseStore, name: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        memories.search(NAMESPACE, **{"query": "tea", **REFUSED[name]})
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        asyncio.run(memories.asearch(NAMESPACE, **{"query": "tea", **REFUSED[name]}))
    assert len(memories.search(NAMESPACE, query="tea")) == 3


@wrap_tool_call
def tell_the_model(request: ToolCallRequest, handler) -> ToolMessage:
    """Hands a refusal to the model, as agents do that let it try again."""
    try:
        return handler(request)
    except ValueError as error:
        return ToolMessage(str(error), tool_call_id=request.tool_call["id"], status="error")


def test_an_agent_reads_the_refusal_and_tries_again(memories: BaseStore) -> None:
    model = ScriptedModel(
        script=[
            calls("search_memory", query="tea", filter={"text": {"$regex": ".*"}}),
            calls("search_memory", query="tea", limit=1),
            says("You drink green tea."),
        ]
    )
    agent = create_agent(
        model, tools=[create_search_memory_tool(NAMESPACE)], store=memories, middleware=[tell_the_model]
    )
    result = agent.invoke({"messages": [{"role": "user", "content": "What do I drink?"}]})
    refusal, answer = (m for m in result["messages"] if isinstance(m, ToolMessage))
    assert refusal.status == "error" and "$regex" in refusal.content
    assert json.loads(answer.content)[0]["key"] == "tea"
