"""A batch that is refused has embedded nothing, read nothing (a read may refresh times to live) and written nothing."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import numpy
import pytest
from embeddings import DIMS, Recorded
from langgraph.store.base import GetOp, InvalidNamespaceError, ListNamespacesOp, MatchCondition, PutOp, SearchOp

import vecmem

GOOD = [GetOp(("a",), "k"), SearchOp((), query="tea"), PutOp(("a",), "new", {"text": "new"})]
LONE = "\ud800"

BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "operator": (SearchOp((), filter={"a": {"$near": 1}}), ValueError, r"Unsupported operator: \$near"),
    "filter of no answer": (SearchOp((), filter={"a": {"$near": 1}}, limit=0), ValueError, "Unsupported operator"),
    "filter of a set": (SearchOp((), filter={"a": {1}}), vecmem.InvalidValueError, "filter.a is a set; use dict, list"),
    "surrogate in a filter": (SearchOp((), filter={"a": LONE}), vecmem.InvalidValueError, "lone surrogate"),
    "large filter": (SearchOp((), filter={f"{n}": n for n in range(2_000)}), vecmem.LimitError, "filter"),
    "surrogate in a prefix": (SearchOp((LONE,)), vecmem.InvalidValueError, "lone surrogate"),
    "surrogate in a key": (GetOp(("a",), LONE), vecmem.InvalidValueError, "a key holds a lone surrogate"),
    "surrogate of a delete": (PutOp(("a", LONE), "k", None), vecmem.InvalidValueError, "lone surrogate"),
    "surrogate in a pattern": (
        ListNamespacesOp((MatchCondition("suffix", (LONE,)),)), vecmem.InvalidValueError, "lone surrogate",
    ),
    "labels": (SearchOp(("a",) * 65), vecmem.LimitError, "64 labels"),
    "endless labels": (SearchOp(itertools.repeat("a")), vecmem.LimitError, "64 labels"),  # type: ignore[arg-type]
    "label": (GetOp(("ä" * 2_049,), "k"), vecmem.LimitError, "4,096 bytes, and this one has 4,098"),
    "key": (PutOp(("a",), "k" * (2**20 + 1), {}), vecmem.LimitError, "1,048,576 bytes, and this one has 1,048,577"),
    "key of a delete": (PutOp(("a",), "ä" * 2**19 + "k", None), vecmem.LimitError, "1,048,576 bytes"),
    "path": (PutOp(("a",), "k", {}, index=["x" * 4_092]), vecmem.LimitError, "a field path may have 4,091 bytes"),
    "texts": (
        PutOp(("a",), "k", {"tags": ["x"] * 4_097}, index=["tags[*]"]), vecmem.LimitError, "4,096 vectors, and 'k' has",
    ),
    "value": (PutOp(("a",), "k", {"text": {1}}), vecmem.InvalidValueError, r"\['text'\]"),
    "refresh of a get": (GetOp(("a",), "k", refresh_ttl="yes"), vecmem.InvalidValueError, "refresh_ttl must be True"),  # type: ignore[arg-type]
    "refresh of a search": (SearchOp((), refresh_ttl=None), vecmem.InvalidValueError, "refresh_ttl must be True"),  # type: ignore[arg-type]
    "condition": (ListNamespacesOp(("a",)), vecmem.InvalidValueError, "match_conditions must be a tuple"),  # type: ignore[arg-type]
    "conditions": (ListNamespacesOp(5), vecmem.InvalidValueError, "match_conditions must be a tuple"),  # type: ignore[arg-type]
    "huge time": (PutOp(("a",), "k", {}, ttl=10**400), vecmem.InvalidInputError, "ttl must be above 0 and at most"),
    "huger time": (PutOp(("a",), "k", {}, ttl=10**5_000), vecmem.InvalidInputError, "int of too many digits"),
    "negative": (SearchOp((), limit=-(10**5_000)), vecmem.InvalidInputError, "limit must not be negative"),
    "nan": (PutOp(("a",), "k", {}, ttl=numpy.float32("nan")), vecmem.InvalidInputError, "but got"),  # type: ignore[arg-type]
    "namespace": (PutOp((), "k", {}), InvalidNamespaceError, "Namespace cannot be empty"),
}  # fmt: skip


class Untouched:
    """Stands for the engine, and is not to be asked anything."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


def refused(store: vecmem.Store, ops: Any, error: type[Exception], message: str, asynchronous: bool) -> None:
    """The batch raises, and neither the engine nor the model saw anything of it."""
    core = store._core
    engine, core.engine = core.engine, Untouched()  # type: ignore[assignment]
    try:
        with pytest.raises(error, match=message):
            asyncio.run(store.abatch(ops)) if asynchronous else store.batch(ops)
    finally:
        core.engine = engine
    model = store.embeddings
    assert isinstance(model, Recorded) and model.documents == [] and model.queries == []


@pytest.mark.parametrize("asynchronous", [False, True], ids=["batch", "abatch"])
@pytest.mark.parametrize("name", BAD)
def test_one_bad_operation(store: vecmem.Store, name: str, asynchronous: bool) -> None:
    bad, error, message = BAD[name]
    refused(store, [*GOOD, bad], error, message, asynchronous)
    refused(store, [bad], error, message, asynchronous)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["batch", "abatch"])
def test_too_many_operations(store: vecmem.Store, asynchronous: bool) -> None:
    endless = itertools.repeat(GetOp(("a",), "k"))
    refused(store, endless, vecmem.LimitError, "1,000,000 operations", asynchronous)
    refused(store, 5, vecmem.InvalidValueError, "ops must be an iterable of operations, but got int", asynchronous)


WRONG = {"nan": [float("nan")] * DIMS, "infinite": [float("inf")] * DIMS, "large": [1e19] * DIMS}


@pytest.mark.parametrize("wrong", WRONG)
def test_vectors_are_checked_before_reads(wrong: str) -> None:
    """The last check, of what the model returned, comes before the first read as well."""
    with vecmem.Store(index={"dims": DIMS, "embed": lambda texts: [WRONG[wrong] for _ in texts]}) as store:
        core = store._core
        engine, core.engine = core.engine, Untouched()  # type: ignore[assignment]
        for ops in ([GetOp(("a",), "k"), GOOD[2]], [GetOp(("a",), "k"), GOOD[1]]):
            with pytest.raises(vecmem.InvalidInputError, match="vectors of finite numbers"):
                store.batch(ops)
        core.engine = engine


def test_numbers_of_numpy_are_numbers(plain_store: vecmem.Store) -> None:
    plain_store.put(("a",), "k", {"n": 5, "x": 1.5, "flag": True}, ttl=numpy.float32(1.5))
    item = plain_store._core.engine.get(("a",), "k")
    assert item is not None and item.ttl == 90.0
    for filter in (
        {"n": numpy.int64(5)},
        {"n": numpy.float64(5)},
        {"x": numpy.float32(1.5)},
        {"x": {"$gt": numpy.float16(1)}},
        {"flag": numpy.bool_(True)},
        {"x": {"$in": [numpy.longdouble(1.5)]}},
    ):
        assert [hit.key for hit in plain_store.search((), filter=filter)] == ["k"], filter
    for filter in ({"n": numpy.bool_(True)}, {"flag": numpy.float32(1)}, {"x": numpy.float32(1)}):
        assert plain_store.search((), filter=filter) == [], filter
