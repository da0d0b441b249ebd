"""Every argument that a language model can make up gives a result or an error of one of few types, and loses
nothing.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, PutOp, SearchOp

import vecmem

DEEP: Any = "bottom"
for _ in range(5_000):
    DEEP = {"deeper": DEEP}

MADE_UP: list[Any] = [
    0, 1, -1, 2**31, 2**63, 10**30, -(10**30), 1.5, float("nan"), float("inf"), True, None, "10", "", "\ud800", "\x00",
    b"bytes", [], [1], {}, {"$gt": 1}, {"a": 1}, {"a": {"$gt": "x"}}, {"a": {"$or": 5}}, {"$and": []}, {1: 2}, {"a": {1,
    2}}, {"\ud800": 1}, {"a": float("inf")}, {"a": {"$in": None}}, {"a": {"$exists": "yes"}}, {"a": object()}, DEEP,
    [DEEP], {"a": {"$in": list(range(5_000))}}, "x" * 100_000, object(),
]  # fmt: skip

ALLOWED = (ValueError, TypeError)


@pytest.mark.parametrize("argument", ["query", "filter", "limit", "offset"])
def test_searches(store: vecmem.Store, argument: str) -> None:
    store.put(("a",), "k", {"text": "kept", "a": 1})
    for made_up in MADE_UP:
        try:
            store.search(("a",), **{argument: made_up})
        except ALLOWED:
            pass
        assert [item.key for item in store.search(("a",))] == ["k"]


@pytest.mark.parametrize("argument", ["prefix", "suffix", "max_depth", "limit", "offset"])
def test_listings_of_namespaces(store: vecmem.Store, argument: str) -> None:
    store.put(("a",), "k", {"text": "kept"})
    for made_up in MADE_UP:
        # Not through `list_namespaces`, whose own check of labels is LangGraph's.
        if argument in ("prefix", "suffix"):
            op = ListNamespacesOp((MatchCondition(argument, made_up), MatchCondition(argument, (made_up,))))
        else:
            op = ListNamespacesOp(**{argument: made_up})
        try:
            store.batch([op])
        except ALLOWED:
            pass
        assert store.list_namespaces() == [("a",)]


def test_puts_and_deletes(store: vecmem.Store) -> None:
    kept: dict[str, Any] = {}
    for number, made_up in enumerate(MADE_UP):
        key, value = f"key {number}", {"text": "kept", "made up": made_up}
        try:
            store.put(("a",), key, value)
            kept[key] = value
        except ALLOWED:
            pass
        for odd_call in (
            lambda: store.put(("a",), key, made_up),
            lambda: store.batch([PutOp(made_up, key, {"text": "x"})]),
            lambda: store.batch([PutOp(("a", made_up), key, {"text": "x"})]),
            lambda: store.put(("odd",), "k", {"text": "x"}, index=made_up),
            lambda: store.put(("odd",), "k", {"text": "x"}, ttl=made_up),
            lambda: store.batch([GetOp(made_up, key), SearchOp(made_up)]),
            lambda: store.batch([PutOp(("a", made_up), key, None)]),
            lambda: store.batch([GetOp(("a",), made_up)]),
            lambda: store.batch([PutOp(("odd",), made_up, None)]),
        ):
            try:
                odd_call()
            except ALLOWED:
                pass
            item = store.get(("a",), key)
            if item is None:
                kept.pop(key, None)
                assert isinstance(made_up, dict) or key not in kept
            else:
                kept[key] = item.value
    assert {item.key: item.value for item in store.search(("a",), limit=1_000)} == kept
    assert len(kept) > len(MADE_UP) // 2


def test_queries_of_any_length(store: vecmem.Store) -> None:
    store.put(("a",), "k", {"text": "kept"})
    for query, repeats in itertools.product(["word ", "ü", "\ud83d"], [1, 100_000]):
        assert [item.key for item in store.search(("a",), query=query * repeats)] == ["k"]
