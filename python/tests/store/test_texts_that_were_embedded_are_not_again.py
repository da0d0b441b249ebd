"""Vectors of texts are found again by (model, text): after a reopen too, and only as long as an item holds the text."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from embeddings import DIMS, index, vector_of
from langgraph.store.base import PutOp

import vecmem


def put(store: vecmem.Store, key: str, text: str, asynchronous: bool = False) -> list[str]:
    """Puts a text; returns what was embedded for it."""
    before = len(store.embeddings.documents)
    if asynchronous:
        asyncio.run(store.aput(("a",), key, {"text": text}))
    else:
        store.put(("a",), key, {"text": text})
    return store.embeddings.documents[before:]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["put", "aput"])
def test_a_known_text_is_not_embedded(tmp_path: Path, asynchronous: bool) -> None:
    with vecmem.Store(tmp_path / "store", index=index("some-model", ["text"])) as store:
        assert put(store, "1", "tea", asynchronous) == ["tea"]
        assert put(store, "2", "tea", asynchronous) == []
        assert put(store, "1", "tea", asynchronous) == []
        store.batch([PutOp(("b",), "3", {"text": "tea"}), PutOp(("b",), "4", {"text": "cat"})])
        assert store.embeddings.documents == ["tea", "cat"]
    with vecmem.Store(tmp_path / "store", index=index("some-model", ["text"])) as store:
        assert put(store, "5", "tea", asynchronous) == []
        found = store.search((), query="tea", limit=4)
        assert sorted(item.key for item in found) == ["1", "2", "3", "5"] and len({item.score for item in found}) == 1
        assert store.embeddings.queries == ["tea"], "queries are embedded another way"


def test_a_text_that_is_gone_is_embedded_again(tmp_path: Path) -> None:
    with vecmem.Store(tmp_path / "store", index=index("some-model", ["text"])) as store:
        assert put(store, "1", "secret") == ["secret"]
        store.delete(("a",), "1")
        assert put(store, "2", "secret") == ["secret"]
        assert put(store, "2", "another") == ["another"]
        assert put(store, "3", "secret") == ["secret"]
        store.delete_namespace(("a",))
        assert put(store, "4", "secret") == ["secret"]


def test_another_model_has_vectors_of_its_own(tmp_path: Path) -> None:
    for model, embedded in [("one", ["tea"]), ("other", ["tea"]), ("other", [])]:
        with vecmem.Store(tmp_path / "store", index=index(model, ["text"])) as store:
            assert put(store, f"{model} {len(embedded)}", "tea") == embedded


NAMES: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"model": "given"}, True),
    ({"model": ""}, False),
]


@pytest.mark.parametrize(("names", "caches"), NAMES, ids=str)
def test_a_bare_function_has_no_name_but_a_given_one(names: dict[str, Any], caches: bool) -> None:
    calls: list[str] = []

    def embed(texts: list[str]) -> list[list[float]]:
        calls.extend(texts)
        return [vector_of(text) for text in texts]

    with vecmem.Store(index={"dims": DIMS, "embed": embed, "fields": ["text"], **names}) as store:
        for key in ("1", "2"):
            store.put(("a",), key, {"text": "tea"})
        assert calls == (["tea"] if caches else ["tea", "tea"])
