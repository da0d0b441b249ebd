"""Embedding models for tests: small, exact, and talkative about how they are called."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from langchain_core.embeddings import Embeddings

DIMS = 4


def vector_of(text: str) -> list[float]:
    """A vector that depends on every character and its place; small integers, so that arithmetic on it is exact."""
    vector = [0] * DIMS
    for place, character in enumerate(text):
        vector[(ord(character) + place) % DIMS] += 1 + ord(character) % 7
    return [float(number % 64) for number in vector]


class Recorded(Embeddings):
    """Counts the texts it embeds, and tells documents from queries, which it embeds another way."""

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            self.model = model
        self.documents: list[str] = []
        self.queries: list[str] = []
        self.threads: list[threading.Thread] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.documents += texts
        self.threads.append(threading.current_thread())
        return [vector_of(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.queries.append(text)
        return vector_of(text)


def index(model: str | None = None, fields: Sequence[str] | None = None, **more: object) -> dict[str, object]:
    """A configuration over a new ``Recorded``, which is its ``embed``."""
    return {"dims": DIMS, "embed": Recorded(model), "fields": fields and list(fields), **more}
