"""A deep agent with a `/memories/` route keeps those files for later conversations, and others for one only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from deepagents import create_deep_agent
from deepagents.backends import CompositeBackend, StateBackend, StoreBackend
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from scripted import ScriptedModel, calls, says

NAMESPACE = ("ada", "memories")


def agent_over(store: BaseStore, script: list):
    return create_deep_agent(
        model=ScriptedModel(script=script),
        backend=CompositeBackend(
            default=StateBackend(), routes={"/memories/": StoreBackend(namespace=lambda _runtime: NAMESPACE)}
        ),
        store=store,
        checkpointer=InMemorySaver(),
    )


def sync_ask(agent, text: str, thread: str) -> list[str]:
    return tool_answers(agent.invoke(turn(text), {"configurable": {"thread_id": thread}}))


def async_ask(agent, text: str, thread: str) -> list[str]:
    return tool_answers(asyncio.run(agent.ainvoke(turn(text), {"configurable": {"thread_id": thread}})))


def turn(text: str) -> dict:
    return {"messages": [{"role": "user", "content": text}]}


def tool_answers(result: dict) -> list[str]:
    return [str(message.content) for message in result["messages"] if isinstance(message, ToolMessage)]


@pytest.mark.parametrize("ask", [sync_ask, async_ask])
def test_files_of_the_route_are_there_in_the_next_conversation(plain_store: BaseStore, ask: Callable) -> None:
    agent = agent_over(
        plain_store,
        [
            calls("write_file", file_path="/memories/ada.md", content="Ada drinks green tea."),
            calls("write_file", file_path="/draft.md", content="only here"),
            calls("ls", path="/"),
            says("Saved."),
            calls("read_file", file_path="/memories/ada.md"),
            calls("read_file", file_path="/draft.md"),
            calls("edit_file", file_path="/memories/ada.md", old_string="green tea", new_string="black coffee"),
            calls("grep", pattern="coffee", path="/memories/"),
            calls("glob", pattern="*.md", path="/memories/"),
            says("Changed."),
            calls("delete", file_path="/memories/ada.md"),
            calls("ls", path="/memories/"),
            says("Forgotten."),
        ],
    )
    saved = ask(agent, "I drink green tea.", "monday")
    assert "/draft.md" in saved[-1] and "/memories/" in saved[-1]
    assert plain_store.get(NAMESPACE, "/ada.md").value["content"] == "Ada drinks green tea."

    read, draft, _, grep, glob = ask(agent, "I drink coffee now.", "tuesday")
    assert "Ada drinks green tea." in read
    assert "not found" in draft
    assert "/memories/ada.md" in grep and "/memories/ada.md" in glob
    assert plain_store.get(NAMESPACE, "/ada.md").value["content"] == "Ada drinks black coffee."

    _, listing = ask(agent, "Forget it.", "wednesday")
    assert "ada.md" not in listing
    assert plain_store.search(NAMESPACE) == []


def test_what_many_agents_write_at_once_is_all_there(plain_store: BaseStore) -> None:
    async def remember(number: int) -> None:
        script = [calls("write_file", file_path=f"/memories/{number}.md", content=f"note {number}"), says("Saved.")]
        await agent_over(plain_store, script).ainvoke(turn("remember"), {"configurable": {"thread_id": str(number)}})

    async def all_at_once() -> None:
        await asyncio.gather(*(remember(number) for number in range(8)))

    asyncio.run(all_at_once())
    stored = {item.key: item.value["content"] for item in plain_store.search(NAMESPACE, limit=20)}
    assert stored == {f"/{number}.md": f"note {number}" for number in range(8)}
