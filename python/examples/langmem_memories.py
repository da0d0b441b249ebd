"""LangMem over a store on disk: an agent that manages its own memories, and a manager that learns from conversations.

pip install vecmem langmem langchain && python langmem_memories.py
"""

from langchain.agents import create_agent
from langmem import create_manage_memory_tool, create_memory_store_manager, create_search_memory_tool
from offline import INDEX, call, chat_model, say
from pydantic import BaseModel

import vecmem

NAMESPACE = ("memories", "{langgraph_user_id}")  # LangMem fills it in from the configuration of the run
ADA = {"configurable": {"langgraph_user_id": "ada"}}


class Preference(BaseModel):
    """What the user likes, and how much it matters."""

    text: str
    strength: int


def agent_manages_memories(store: vecmem.Store) -> None:
    """In the conversation: the model itself decides what to keep, and searches it."""
    model = chat_model(
        [
            call("manage_memory", content="Ada prefers dark mode in every tool."),
            say("Dark mode it is."),
            call("search_memory", query="which mode does the user prefer?", limit=1),
            say("You prefer dark mode."),
        ]
    )
    tools = [create_manage_memory_tool(NAMESPACE), create_search_memory_tool(NAMESPACE)]
    agent = create_agent(model, tools=tools, store=store)
    for text in ["Remember that I prefer dark mode.", "Which mode do I prefer?"]:
        answer = agent.invoke({"messages": [{"role": "user", "content": text}]}, ADA)
        print(f"{text}\n  {answer['messages'][-1].content}")


def manager_learns_from_conversations(store: vecmem.Store) -> None:
    """After the conversation: the manager searches related memories, and writes, changes or removes some."""
    manager = create_memory_store_manager(
        chat_model([call("Preference", text="Ada likes trains better than planes.", strength=4)]),
        schemas=[Preference],
        namespace=("preferences", "{langgraph_user_id}"),
        store=store,
    )
    conversation = [
        {"role": "user", "content": "I would rather take the train than fly."},
        {"role": "assistant", "content": "I will look for trains, then."},
    ]
    manager.invoke({"messages": conversation}, ADA)


def main() -> None:
    with vecmem.Store("langmem_memory", index=INDEX) as store:
        store.delete_namespace(("memories", "ada"))  # the example can be run again and again
        store.delete_namespace(("preferences", "ada"))
        agent_manages_memories(store)
        manager_learns_from_conversations(store)

    with vecmem.Store("langmem_memory") as store:
        for namespace in store.list_namespaces():
            print("on disk:", "/".join(namespace), [item.value for item in store.search(namespace)])


if __name__ == "__main__":
    main()
