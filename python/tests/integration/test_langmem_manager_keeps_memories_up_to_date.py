"""LangMem's memory manager extracts memories from conversations, changes those it finds again, and removes others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.func import entrypoint
from langgraph.store.base import BaseStore
from langmem import ReflectionExecutor, create_memory_store_manager
from pydantic import BaseModel
from scripted import ScriptedModel, calls, calls_all

ADA = {"configurable": {"langgraph_user_id": "ada", "thread_id": "a thread"}}
NAMESPACE = ("memories", "ada")


class Preference(BaseModel):
    """Something that the user likes."""

    topic: str
    text: str


def preference(topic: str, text: str) -> tuple[str, dict[str, Any]]:
    return "Preference", {"topic": topic, "text": text}


def shown_id(messages: list, text: str) -> str:
    """The id under which the manager shows the model the memory with this text."""
    shown = "\n".join(str(message.content) for message in messages)
    return re.search(
        r'<instance id="?([0-9a-f]{32})"?[^>]*>(?:(?!</instance>).)*' + re.escape(text), shown, re.S
    ).group(1)


def patch_tea(messages: list) -> AIMessage:
    return calls(
        "PatchDoc",
        json_doc_id=shown_id(messages, "green tea"),
        planned_edits="the user changed their mind",
        patches=[{"op": "replace", "path": "/text", "value": "drinks black coffee"}],
    )


def remove_chess(messages: list) -> AIMessage:
    return calls("RemoveDoc", json_doc_id=shown_id(messages, "plays chess"))


def sync_run(manager, text: str) -> Any:
    return manager.invoke({"messages": conversation(text)}, ADA)


def async_run(manager, text: str) -> Any:
    return asyncio.run(manager.ainvoke({"messages": conversation(text)}, ADA))


def conversation(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": "I see."}]


def manager_over(store: BaseStore | None, script: list, **options: Any):
    model = ScriptedModel(script=script)
    return create_memory_store_manager(
        model, schemas=[Preference], namespace=("memories", "{langgraph_user_id}"), store=store, **options
    )


def stored(store: BaseStore) -> dict[str, str]:
    return {item.value["content"]["topic"]: item.value["content"]["text"] for item in store.search(NAMESPACE)}


@pytest.mark.parametrize("run", [sync_run, async_run])
def test_memories_are_extracted_changed_and_removed(store: BaseStore, run: Callable) -> None:
    first = calls_all(preference("drink", "drinks green tea"), preference("game", "plays chess"))
    manager = manager_over(store, [first, patch_tea, remove_chess], enable_deletes=True)

    run(manager, "I drink green tea and play chess.")
    assert stored(store) == {"drink": "drinks green tea", "game": "plays chess"}
    drink_key = next(i.key for i in store.search(NAMESPACE) if i.value["content"]["topic"] == "drink")
    created = store.get(NAMESPACE, drink_key).created_at

    run(manager, "I drink black coffee now, not green tea.")
    assert stored(store) == {"drink": "drinks black coffee", "game": "plays chess"}
    changed = store.get(NAMESPACE, drink_key)
    assert changed.created_at == created and changed.updated_at > created
    assert store.search(NAMESPACE, query="drinks black coffee", limit=1)[0].key == drink_key

    run(manager, "I no longer play chess.")
    assert stored(store) == {"drink": "drinks black coffee"}


def test_a_query_model_may_search_in_several_ways_at_once(store: BaseStore) -> None:
    store.put(NAMESPACE, "tea", {"kind": "Preference", "content": {"topic": "drink", "text": "drinks green tea"}})
    queries = ScriptedModel(
        script=[
            calls_all(
                ("search_memory", {"query": "tea"}),
                ("search_memory", {"query": "what is drunk", "filter": {"content": {"topic": "drink"}}, "limit": 0}),
            )
        ]
    )
    manager = manager_over(store, [patch_tea], query_model=queries)
    async_run(manager, "I drink black coffee now.")
    assert stored(store) == {"drink": "drinks black coffee"}


def test_a_background_executor_writes_to_the_store_of_its_graph(store: BaseStore) -> None:
    manager = manager_over(store, [calls_all(preference("drink", "drinks green tea"))])
    with ReflectionExecutor(manager, store=store) as executor:

        @entrypoint(store=store)
        def chat(text: str) -> Any:
            return executor.submit({"messages": conversation(text)})

        future = chat.invoke("I drink green tea.", ADA)
        future.result(timeout=60)
    assert stored(store) == {"drink": "drinks green tea"}


def test_the_manager_finds_its_store_in_the_graph(store: BaseStore) -> None:
    manager = manager_over(None, [calls_all(preference("drink", "drinks green tea"))])

    @entrypoint(store=store)
    async def chat(text: str) -> Any:
        return await manager.ainvoke({"messages": conversation(text)})

    asyncio.run(chat.ainvoke("I drink green tea.", ADA))
    assert stored(store) == {"drink": "drinks green tea"}
