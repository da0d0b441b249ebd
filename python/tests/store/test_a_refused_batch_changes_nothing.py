"""Whatever an operation of a batch, or the embedding model, is refused for: nothing of the batch is written."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from embeddings import DIMS, index
from langgraph.store.base import GetOp, InvalidNamespaceError, ListNamespacesOp, MatchCondition, PutOp, SearchOp

import vecmem

GOOD = [PutOp(("kept",), "old", {"text": "new"}), PutOp(("kept",), "more", {"text": "more"})]

BAD: list[tuple[Any, type[Exception], str]] = [
    (GetOp(("a.b",), "k"), InvalidNamespaceError, r"Namespace labels cannot contain periods \('\.'\)"),
    (SearchOp(("a", "")), InvalidNamespaceError, r"Namespace labels cannot be empty strings\. Got  in \('a', ''\)"),
    (PutOp(("a", 1), "k", None), InvalidNamespaceError, "Namespace labels must be strings, but got int"),
    (PutOp(("a", "\x00"), "k", {}), InvalidNamespaceError, "Namespace labels cannot contain NUL bytes"),
    (PutOp((), "k", {}), InvalidNamespaceError, r"Namespace cannot be empty\."),
    (ListNamespacesOp((MatchCondition("prefix", ("a.b",)),)), InvalidNamespaceError, "periods"),
    (ListNamespacesOp((MatchCondition("middle", ("a",)),)), ValueError, "Unsupported match type: middle"),  # type: ignore[arg-type]
    ("an operation", ValueError, "Unknown operation type: <class 'str'>"),
    (SearchOp((), filter={"a": {"$near": 1}}), ValueError, r"Unsupported operator: \$near"),
    (SearchOp((), filter={"a' OR '1'='1": 1}), ValueError, "Invalid filter key"),
    (SearchOp((), limit=-1), ValueError, "limit must not be negative"),
    (PutOp(("a",), "k", {"tags": {1, 2}}), vecmem.InvalidValueError, r"\['tags'\]"),
    (PutOp(("a",), "k", {"n": float("nan")}), ValueError, "NaN"),
    (PutOp(("a",), "k", ["no", "mapping"]), TypeError, "a value must be a mapping"),  # type: ignore[arg-type]
    (PutOp(("a",), "k", {"text": "x"}, index="text"), TypeError, "index must be None, False or a list"),  # type: ignore[arg-type]
    (PutOp(("a",), "k", {}, ttl=0), ValueError, "ttl must be above 0"),
]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["batch", "abatch"])
@pytest.mark.parametrize(("bad", "error", "message"), BAD, ids=[str(bad)[:60] for bad, *_ in BAD])
def test_a_bad_operation(
    store: vecmem.Store, bad: Any, error: type[Exception], message: str, asynchronous: bool
) -> None:
    store.put(("kept",), "old", {"text": "old"})
    for ops in ([*GOOD, bad], [bad, *GOOD]):
        with pytest.raises(error, match=message):
            asyncio.run(store.abatch(ops)) if asynchronous else store.batch(ops)
    assert [(item.key, item.value) for item in store.search(())] == [("old", {"text": "old"})]


FAILING = {
    "raises": (lambda texts: 1 / 0, ZeroDivisionError),
    "too few": (lambda texts: [[0.0] * DIMS] * (len(texts) - 1), ValueError),
    "too short": (lambda texts: [[0.0] * (DIMS - 1) for _ in texts], ValueError),
    "ragged": (lambda texts: [[0.0] * (place + 1) for place in range(len(texts))], ValueError),
    "not numbers": (lambda texts: ["vector" for _ in texts], ValueError),
    "nan": (lambda texts: [[float("nan")] * DIMS for _ in texts], ValueError),
}


@pytest.mark.parametrize("how", FAILING)
def test_a_failing_model(how: str, tmp_path: Path) -> None:
    embed, error = FAILING[how]
    path = tmp_path / "store"
    with vecmem.Store(path, index=index(fields=["text"])) as working:
        working.put(("kept",), "old", {"text": "old"})
    with vecmem.Store(path, index={"dims": DIMS, "embed": embed, "fields": ["text"]}) as store:
        with pytest.raises(error):
            store.batch([PutOp(("kept",), "unembedded", {}, index=False), *GOOD])
        with pytest.raises(error):
            asyncio.run(store.abatch(GOOD))
        assert [(item.key, item.value) for item in store.search(())] == [("old", {"text": "old"})]
