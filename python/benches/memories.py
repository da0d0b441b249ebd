"""Memories with embeddings that are there already: made up in clusters, or read from a folder of dialogues.

The folder holds `items.jsonl.gz` (a line each: namespace, key, value with a `text`), `vectors.f16.npy` (a row each),
and `queries.jsonl.gz` with `queries.f16.npy` in the same form.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from langchain_core.embeddings import Embeddings
from langgraph.store.base import PutOp

DIMS = 384


class Lookup(Embeddings):
    """Knows the embedding of every text that will be asked for; lists of floats, as models return them."""

    def __init__(self, known: dict[str, list[float]]) -> None:
        self.known = known

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.known[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.known[text]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        return self.known[text]


@dataclass(frozen=True)
class Memories:
    """Items to put, in order, and texts to ask and to put later."""

    items: list[tuple[tuple[str, ...], str, dict]]
    queries: list[str]
    later: list[str]
    lookup: Lookup
    dims: int

    @property
    def keys(self) -> list[str]:
        return [key for _, key, _ in self.items]

    @property
    def namespace(self) -> tuple[str, ...]:
        return self.items[0][0]

    @property
    def namespaces(self) -> int:
        return len({namespace for namespace, _, _ in self.items})

    def new_texts(self, count: int) -> list[str]:
        return self.later[:count]

    def batches(self, size: int) -> Iterator[list[PutOp]]:
        for start in range(0, len(self.items), size):
            yield [PutOp(*item) for item in self.items[start : start + size]]


def made_up(count: int, seed: int) -> Memories:
    """That many memories of one namespace, around 32 centres, and 1,000 queries and texts of the same kind."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(32, DIMS))
    texts = [f"memory {number}" for number in range(count)]
    queries, later = ([f"{kind} {number}" for number in range(1000)] for kind in ("query", "later"))
    rows = [*texts, *queries, *later]
    vectors = centres[generator.integers(32, size=len(rows))] + 0.7 * generator.normal(size=(len(rows), DIMS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    known = dict(zip(rows, vectors.astype(np.float32).tolist(), strict=True))
    items = [
        (("users", "ada"), text, {"text": text, "kind": "fact", "importance": n % 5}) for n, text in enumerate(texts)
    ]
    return Memories(items, queries, later, Lookup(known), DIMS)


def dialogues(folder: Path) -> Memories:
    """The items of the folder; their vectors are looked up by the text of each value."""
    items = [(tuple(i["namespace"]), i["key"], i["value"]) for i in _lines(folder / "items.jsonl.gz")]
    texts = [value["text"] for _, _, value in items]
    queries = [line.get("text") or line["value"]["text"] for line in _lines(folder / "queries.jsonl.gz")]
    vectors, query_vectors = (np.load(folder / f"{name}.f16.npy").astype(np.float32) for name in ("vectors", "queries"))
    known = dict(zip(texts, vectors.tolist(), strict=True)) | dict(zip(queries, query_vectors.tolist(), strict=True))
    return Memories(items, queries, [], Lookup(known), vectors.shape[1])


def _lines(path: Path) -> Iterator[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)
