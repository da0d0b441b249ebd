"""What the examples need to run without a network: an embedding that counts trigrams, and a model with a script.

With VECMEM_EXAMPLE_MODEL set to the name of a chat model, such as anthropic:claude-sonnet-4-5, they talk to that one.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import PrivateAttr

Turn = AIMessage | Callable[[Sequence[BaseMessage]], AIMessage]
INDEX = {"dims": 256, "embed": lambda texts: [_embed(text) for text in texts]}


def _embed(text: str) -> list[float]:
    padded, vector = f"  {text.lower()} ", [0.0] * 256
    for i in range(len(padded) - 2):
        vector[zlib.crc32(padded[i : i + 3].encode()) % 256] += 1.0
    return vector


class _ScriptedModel(BaseChatModel):
    """Answers its n-th call with the n-th turn of the script."""

    script: list[Any]
    _next: Any = PrivateAttr(default_factory=count)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable:
        return self.bind(tools=list(tools), **kwargs)

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        turn = self.script[next(self._next)]
        message = turn(messages) if callable(turn) else turn
        return ChatResult(generations=[ChatGeneration(message=message)])


def chat_model(script: list[Turn]) -> BaseChatModel:
    """The model of the environment, or else one that follows the script."""
    name = os.environ.get("VECMEM_EXAMPLE_MODEL")
    return init_chat_model(name) if name else _ScriptedModel(script=script)


def call(tool: str, /, **arguments: Any) -> AIMessage:
    """A turn of a script: calls a tool."""
    return AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": f"call_{tool}", "type": "tool_call"}])


def say(text: str) -> AIMessage:
    """A turn of a script: the answer."""
    return AIMessage(text)
