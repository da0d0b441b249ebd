"""A LangChain agent whose tools write and search long-term memory: what one conversation says, the next one knows.

pip install vecmem langchain && python langchain_agent.py
"""

from dataclasses import dataclass

from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langgraph.checkpoint.memory import InMemorySaver
from offline import INDEX, call, chat_model, say

import vecmem


@dataclass
class User:
    """Who is talking: part of the namespace, so that nobody reads the memories of others."""

    user_id: str

    @property
    def memories(self) -> tuple[str, ...]:
        return ("users", vecmem.escape_label(self.user_id), "memories")


@tool
def remember(topic: str, fact: str, runtime: ToolRuntime[User]) -> str:
    """Keep a fact about the user for later conversations. The same topic replaces the former fact."""
    runtime.store.put(runtime.context.memories, topic, {"fact": fact})
    return f"I will remember this about {topic}."


@tool
def recall(question: str, runtime: ToolRuntime[User]) -> str:
    """Search what is known about the user."""
    hits = runtime.store.search(runtime.context.memories, query=question, limit=3)
    return "\n".join(hit.value["fact"] for hit in hits) or "Nothing is known yet."


MODEL = chat_model(
    [
        call("remember", topic="food", fact="Ada is a vegetarian and loves spicy food."),
        say("Good to know! I will keep it in mind."),
        call("recall", question="What food does the user love?"),
        say("How about a spicy vegetable curry?"),
    ]
)


def main() -> None:
    ada = User("ada@example.com")
    with vecmem.Store("agent_memory", index=INDEX) as store:
        agent = create_agent(
            MODEL, tools=[remember, recall], store=store, checkpointer=InMemorySaver(), context_schema=User
        )
        for thread, text in [("monday", "I am a vegetarian, and I love spicy food."), ("friday", "What shall I cook?")]:
            request = {"messages": [{"role": "user", "content": text}]}
            answer = agent.invoke(request, {"configurable": {"thread_id": thread}}, context=ada)
            print(f"{thread}: {text}\n  {answer['messages'][-1].content}")

    with vecmem.Store("agent_memory") as store:
        print("on disk:", [item.value for item in store.search(ada.memories)])


if __name__ == "__main__":
    main()
