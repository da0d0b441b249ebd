"""LangMem's memory tools create, find, change and delete memories, by hand, in an agent, and by tasks side by side."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langgraph.store.base import BaseStore
from langmem import create_manage_memory_tool, create_search_memory_tool
from scripted import ScriptedModel, calls, calls_all, says

TEMPLATE = ("memories", "{langgraph_user_id}")
ADA = {"configurable": {"langgraph_user_id": "ada"}}
BOB = {"configurable": {"langgraph_user_id": "bob"}}


def sync_call(tool, arguments: dict, config: dict) -> Any:
    return tool.invoke(arguments, config)


def async_call(tool, arguments: dict, config: dict) -> Any:
    return asyncio.run(tool.ainvoke(arguments, config))


def memory_id(answer: str) -> str:
    return re.search(r"[0-9a-f-]{36}", answer).group()


@pytest.mark.parametrize("call", [sync_call, async_call])
def test_a_memory_is_created_found_changed_and_deleted(store: BaseStore, call: Callable) -> None:
    manage = create_manage_memory_tool(TEMPLATE, store=store)
    search = create_search_memory_tool(TEMPLATE, store=store)

    tea = memory_id(call(manage, {"content": "drinks green tea"}, ADA))
    call(manage, {"content": "lives in a house by the sea"}, ADA)
    found = json.loads(call(search, {"query": "green tea", "limit": 1}, ADA))
    assert [(hit["key"], hit["value"], hit["namespace"]) for hit in found] == [
        (tea, {"content": "drinks green tea"}, ["memories", "ada"])
    ]
    assert isinstance(found[0]["score"], float)

    call(manage, {"action": "update", "id": tea, "content": "drinks black coffee"}, ADA)
    assert json.loads(call(search, {"query": "black coffee", "limit": 1}, ADA))[0]["key"] == tea
    stale = json.loads(call(search, {"query": "drinks green tea", "limit": 1}, ADA))[0]
    assert stale["score"] < 0.99, "the vector of the text that is gone still answers"

    call(manage, {"action": "delete", "id": tea}, ADA)
    left = json.loads(call(search, {"query": "black coffee"}, ADA))
    assert [hit["value"]["content"] for hit in left] == ["lives in a house by the sea"]
    assert json.loads(call(search, {"query": "the sea"}, BOB)) == []


def test_deleting_what_is_not_there_is_silent(store: BaseStore) -> None:
    manage = create_manage_memory_tool(TEMPLATE, store=store)
    nobody = "00000000-0000-4000-8000-000000000000"
    assert nobody in manage.invoke({"action": "delete", "id": nobody}, ADA)


def test_a_nested_filter_finds_structured_memories(store: BaseStore) -> None:
    search = create_search_memory_tool(TEMPLATE, store=store)
    for name, category in [("tea", "drink"), ("coffee", "drink"), ("cat", "pet")]:
        store.put(("memories", "ada"), name, {"content": {"text": name, "category": category}})
    found = json.loads(search.invoke({"query": "coffee", "filter": {"content": {"category": "drink"}}}, ADA))
    assert [hit["key"] for hit in found] == ["coffee", "tea"]


def test_memories_created_side_by_side_are_all_there(store: BaseStore) -> None:
    manage = create_manage_memory_tool(TEMPLATE, store=store)
    contents = [f"fact number {number % 40}" for number in range(80)]  # every text twice

    async def create_all() -> None:
        await asyncio.gather(*(manage.ainvoke({"content": content}, ADA) for content in contents))

    asyncio.run(create_all())
    stored = store.search(("memories", "ada"), limit=200)
    assert sorted(item.value["content"] for item in stored) == sorted(contents)


def test_an_agent_uses_the_tools_over_its_own_store(store: BaseStore) -> None:
    def forget_what_was_found(messages) -> Any:
        found = json.loads(messages[-1].content)
        return calls("manage_memory", action="delete", id=found[0]["key"])

    model = ScriptedModel(
        script=[
            calls_all(
                ("manage_memory", {"content": "drinks green tea"}),
                ("manage_memory", {"content": "plays chess"}),
            ),
            says("Noted."),
            calls("search_memory", query="tea", limit=1),
            forget_what_was_found,
            says("Forgotten."),
        ]
    )
    tools = [create_manage_memory_tool(TEMPLATE), create_search_memory_tool(TEMPLATE)]
    agent = create_agent(model, tools=tools, store=store)
    agent.invoke({"messages": [{"role": "user", "content": "I drink green tea and play chess."}]}, ADA)
    result = agent.invoke({"messages": [{"role": "user", "content": "Forget the tea."}]}, ADA)
    assert all(m.status == "success" for m in result["messages"] if isinstance(m, ToolMessage))
    assert [item.value["content"] for item in store.search(("memories", "ada"))] == ["plays chess"]
