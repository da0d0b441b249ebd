"""What the probes of a LangGraph store share: one for each thing that users of some store have stumbled over.

A probe is a function whose docstring is the sentence that should hold. It returns when the store does what `BaseStore`
documents or its published tests expect, and raises `Wrong` with a few words when it does not. Each opens its store
itself, in namespaces of its own, so that it may share a server with others.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore
from opening import StoreClass

DIMS = 64


class Wrong(Exception):
    """The store answered, and not what it should have."""


class Trigrams(Embeddings):
    """Counts hashed trigrams, and remembers which of its two methods were asked."""

    def __init__(self) -> None:
        self.queries: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self._embed(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.queries.append(text)
        return self._embed(text)

    @staticmethod
    def _embed(text: str) -> list[float]:
        padded, vector = f"  {text.lower()} ", [0.0] * DIMS
        for start in range(len(padded) - 2):
            vector[zlib.crc32(padded[start : start + 3].encode()) % DIMS] += 1.0
        return vector


@dataclass(frozen=True)
class Place:
    """Where a probe has its store: a path, and the first label of all its namespaces."""

    store_class: StoreClass
    path: Path
    root: str

    @contextlib.contextmanager
    def plain(self, ttl: dict | None = None) -> Iterator[BaseStore]:
        """The store, without an index."""
        with self.store_class.open(self.path, ttl=ttl) as store:
            yield store

    @contextlib.contextmanager
    def indexed(self, **options) -> Iterator[BaseStore]:
        """The store, with the field `text` of its values indexed unless the options say otherwise.

        SqliteStore calls the fields `text_fields`: it gets both, so that the probes ask about other things than that.
        """
        index = {"dims": DIMS, "embed": Trigrams(), "fields": ["text"], **options}
        index.setdefault("text_fields", index["fields"])
        with self.store_class.open(self.path, index=index) as store:
            yield store

    def below(self, *labels: str) -> tuple[str, ...]:
        return (self.root, *labels)


Probe = Callable[[Place], None]


def sentence(probe: Probe) -> str:
    """What the probe asks: its docstring, in one line."""
    return " ".join((probe.__doc__ or "").split()).removesuffix(".")


def expect(found: object, expected: object, words: str) -> None:
    """Raises `Wrong` with these words (which may show what was `{found}`) unless the two are equal."""
    if found != expected:
        raise Wrong(words.format(found=found))
