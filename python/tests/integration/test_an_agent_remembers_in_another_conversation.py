"""An agent of `create_agent` saves a memory in one conversation and finds it in another, for its own user only."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from scripted import ScriptedModel, calls, says


@dataclass
class User:
    user_id: str


@tool
def save_memory(name: str, text: str, runtime: ToolRuntime[User]) -> str:
    """Save something about the user."""
    runtime.store.put(("memories", runtime.context.user_id), name, {"text": text})
    return f"saved {name}"


@tool
def find_memories(query: str, runtime: ToolRuntime[User]) -> str:
    """Find what is known about the user."""
    found = runtime.store.search(("memories", runtime.context.user_id), query=query, limit=1)
    return "; ".join(item.value["text"] for item in found) or "nothing"


SCRIPT = [
    calls("save_memory", name="drink", text="drinks green tea in the morning"),
    calls("save_memory", name="pet", text="has a cat called Turing"),
    says("I will remember that."),
    calls("find_memories", query="green tea or coffee?"),
    says("You drink green tea."),
    calls("find_memories", query="green tea or coffee?"),
    says("I do not know."),
]


def agent_over(store: BaseStore):
    return create_agent(
        ScriptedModel(script=SCRIPT),
        tools=[save_memory, find_memories],
        store=store,
        checkpointer=InMemorySaver(),
        context_schema=User,
    )


def turn(text: str) -> dict:
    return {"messages": [{"role": "user", "content": text}]}


def thread(name: str) -> dict:
    return {"configurable": {"thread_id": name}}


def last_tool_answer(result: dict) -> str:
    return [message for message in result["messages"] if isinstance(message, ToolMessage)][-1].content


def test_an_agent_finds_what_it_saved(store: BaseStore) -> None:
    agent = agent_over(store)
    ada, bob = User("ada"), User("bob")
    agent.invoke(turn("I drink green tea and have a cat, Turing."), thread("monday"), context=ada)
    again = agent.invoke(turn("What shall I drink?"), thread("tuesday"), context=ada)
    other = agent.invoke(turn("What shall I drink?"), thread("wednesday"), context=bob)
    assert last_tool_answer(again) == "drinks green tea in the morning"
    assert last_tool_answer(other) == "nothing"


def test_an_async_agent_finds_what_it_saved(store: BaseStore) -> None:
    agent = agent_over(store)
    ada, bob = User("ada"), User("bob")
    asyncio.run(agent.ainvoke(turn("I drink green tea and have a cat, Turing."), thread("monday"), context=ada))
    again = asyncio.run(agent.ainvoke(turn("What shall I drink?"), thread("tuesday"), context=ada))
    other = asyncio.run(agent.ainvoke(turn("What shall I drink?"), thread("wednesday"), context=bob))
    assert last_tool_answer(again) == "drinks green tea in the morning"
    assert last_tool_answer(other) == "nothing"
