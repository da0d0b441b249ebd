"""A deep agent with a folder that outlives conversations: files below /memories/ are in the store, others are not.

pip install vecmem deepagents && python deep_agents.py
"""

from deepagents import create_deep_agent
from deepagents.backends import CompositeBackend, StateBackend, StoreBackend
from langgraph.checkpoint.memory import InMemorySaver
from offline import call, chat_model, say

import vecmem

ADA = (vecmem.escape_label("ada@example.com"), "files")

MODEL = chat_model(
    [
        call("write_file", file_path="/memories/style.md", content="Ada wants short answers, in metric units."),
        call("write_file", file_path="/scratch.md", content="notes of this conversation only"),
        say("I have written it down."),
        call("ls", path="/memories/"),
        call("read_file", file_path="/memories/style.md"),
        call("edit_file", file_path="/memories/style.md", old_string="short", new_string="very short"),
        say("42 km."),
    ]
)


def main() -> None:
    with vecmem.Store("agent_files") as store:
        store.delete(ADA, "/style.md")  # the example can be run again and again
        agent = create_deep_agent(
            model=MODEL,
            backend=CompositeBackend(
                default=StateBackend(),
                routes={"/memories/": StoreBackend(namespace=lambda _runtime: ADA)},
            ),
            store=store,
            checkpointer=InMemorySaver(),
            system_prompt="Keep what should last in files below /memories/.",
        )
        for thread, text in [("monday", "Keep it short and metric, please."), ("friday", "How long is a marathon?")]:
            request = {"messages": [{"role": "user", "content": text}]}
            answer = agent.invoke(request, {"configurable": {"thread_id": thread}})
            print(f"{thread}: {text}\n  {answer['messages'][-1].content}")

    with vecmem.Store("agent_files") as store:  # what the next process finds
        for item in store.search(ADA, limit=100):
            print(f"on disk: {item.key}: {item.value['content']}")


if __name__ == "__main__":
    main()
