"""A chat model that says what a script tells it to, so that agents run without a network and without a model.

Each turn of the script is a message, or a function of the messages so far that makes one (to use an id that a tool has
just returned). Asking for more turns than the script holds is an error: an agent that loops fails its test.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import PrivateAttr

Turn = AIMessage | Callable[[Sequence[BaseMessage]], AIMessage]


class ScriptedModel(BaseChatModel):
    """Answers call n with turn n of its script; `calls` holds what it was asked, and `tools` what it was offered."""

    script: list[Any]
    _calls: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _tools: list[list[Any]] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def calls(self) -> list[list[BaseMessage]]:
        return self._calls

    @property
    def tools(self) -> list[list[Any]]:
        return self._tools

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable:
        return self.bind(tools=list(tools), **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._lock:
            turn_number = len(self._calls)
            self._calls.append(list(messages))
            self._tools.append(kwargs.get("tools") or [])
        if turn_number >= len(self.script):
            raise AssertionError(f"the script has {len(self.script)} turns, and a further one was asked for")
        turn = self.script[turn_number]
        message = turn(messages) if callable(turn) else turn
        return ChatResult(generations=[ChatGeneration(message=message)])


def says(text: str) -> AIMessage:
    """A turn that ends the agent's run."""
    return AIMessage(content=text)


def calls(name: str, /, **arguments: Any) -> AIMessage:
    """A turn that calls one tool."""
    return calls_all((name, arguments))


def calls_all(*tool_calls: tuple[str, dict[str, Any]]) -> AIMessage:
    """A turn that calls several tools at once."""
    return AIMessage(
        content="",
        tool_calls=[
            {"name": name, "args": arguments, "id": f"call_{name}_{number}", "type": "tool_call"}
            for number, (name, arguments) in enumerate(tool_calls)
        ],
    )
