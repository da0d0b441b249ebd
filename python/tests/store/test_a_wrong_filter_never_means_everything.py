"""A filter that is empty, wrong, contradictory or about nothing gives an error, or exactly the items that its language
says, in every call that takes one, of a store, a snapshot and an engine. No mistake in a filter makes it match
everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from embeddings import vector_of
from langgraph.store.base import SearchOp

from vecmem import Engine, Filter, InvalidInputError, LimitError, Snapshot, Store, StoreSnapshot

A = ("a",)
NAN = float("nan")
ITEMS = 30
LOOP: dict[str, Any] = {}
LOOP["n"] = LOOP
DEEP: dict[str, Any] = {"n": {"$ne": 1}}
LAST = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-9)))
LATE = {"$date": "9999-12-31T23:59:59+09:00"}
for _ in range(500):
    DEEP = {"$not": DEEP}


class Unreadable(dict[str, Any]):
    """A dict whose members cannot be had."""

    def items(self) -> Any:
        raise RuntimeError("no items")


def value_of(n: int) -> dict[str, Any]:
    values: list[dict[str, Any]] = [{"place": {"city": "Paris"}}, {"opt": None}, {"opt": 1}]
    return {"text": f"tea {n}", "n": n} | values[n % 3]


Fits = Callable[[int], bool]
NONE: Fits = lambda n: False  # noqa: E731
ALL: Fits = lambda n: True  # noqa: E731  only for a filter that says so

# A filter, and the items that it matches or how its error begins.
MATRIX: dict[str, tuple[Any, Fits | str]] = {
    "empty": ({}, ALL),
    "empty in": ({"n": {"$in": []}}, NONE),
    "empty nin": ({"n": {"$nin": []}}, ALL),
    "empty or": ({"$or": []}, NONE),
    "empty and": ({"$and": []}, r"filter\.\$and: expects at least one element"),
    "empty part": ({"$or": [{"n": 1}, {}]}, r"filter\.\$or\[1\]: an empty filter would match every item"),
    "empty not": ({"$not": {}}, r"filter\.\$not: an empty filter would match every item"),
    "empty object": ({"place": {}}, lambda n: n % 3 == 0),
    "null": ({"opt": None}, lambda n: n % 3 != 2),
    "null of a field that all have": ({"n": None}, NONE),
    "null for a list": ({"n": {"$in": None}}, r"filter\.n\.\$in: expects a list"),
    "null for a bound": ({"n": {"$gt": None}}, r"filter\.n\.\$gt: expects a number, a string or a date"),
    "missing": ({"unknown": 1}, NONE),
    "missing path": ({"n.unknown": {"$gte": 0}}, NONE),
    "missing, negated": ({"unknown": {"$ne": 1}}, ALL),
    "operator": ({"n": {"$near": 1}}, r"filter\.n: Unsupported operator: \$near; there are \$eq, "),
    "misspelt operator": ({"n": {"$gtt": 1}}, r"filter\.n: Unsupported operator: \$gtt; did you mean \$gt or \$gte\?$"),
    "operator at the top": ({"$gt": 1}, r"filter: Unsupported operator: \$gt; it compares a field"),
    "operator for a value": ({"n": {"$ne": {"$in": [1]}}}, r"filter\.n\.\$ne: expects a value, and \$in is an"),
    "operator in a list": ({"n": {"$nin": [{"$gt": 5}]}}, r"filter\.n\.\$nin\[0\]: expects a value"),
    "operator beside a field": ({"n": {"$ne": 1, "x": 2}}, r"filter\.n: Unsupported operator: x; \$ne stands"),
    "path to an operator": ({"n.$gte": 1}, r"filter: Invalid filter key n\.\$gte: its component \$gte is an operator"),
    "dollar in a path": ({"place.$city": 1}, r"filter: Invalid filter key place\.\$city: its component \$city begins"),
    "empty component": ({"place..city": {"$ne": "Rome"}}, r"filter: Invalid filter key place\.\.city: a component of"),
    "list": ([], "filter must be a dict"),
    "list of filters": ([{"n": 1}], "filter must be a dict"),
    "text": ("n", "filter must be a dict"),
    "number": (0, "filter must be a dict"),
    "truth": (True, "filter must be a dict"),
    "falsehood": (False, "filter must be a dict"),
    "set": ({"n": {1}}, r"filter\.n is a set; use dict, list, str, int"),
    "decimal": ({"n": {"$in": [1, Decimal(1)]}}, r"filter\.n\.\$in\[1\] is a decimal\.Decimal"),
    "key of another type": ({"n": {1: 1}}, r"a key of filter\.n must be a str, not an int"),
    "surrogate": ({"\ud800": 1}, "a key of filter holds a lone surrogate"),
    "itself": (LOOP, "the filter nests too deep or contains itself"),
    "deep": (DEEP, "the filter nests"),
    "text for a number": ({"n": "1"}, NONE),
    "truth for a number": ({"n": True}, NONE),
    "contradictory range": ({"n": {"$gt": 5, "$lt": 3}}, NONE),
    "contradictory and": ({"$and": [{"n": 1}, {"n": 2}]}, NONE),
    "NaN": ({"n": NAN}, NONE),
    "NaN for a bound": ({"n": {"$gte": NAN}}, NONE),
    "NaN, negated": ({"n": {"$ne": NAN}}, r"filter\.n\.\$ne: NaN equals nothing, so its negation would"),
    "NaN in a list": ({"n": {"$nin": [1, NAN]}}, r"filter\.n\.\$nin\[1\]: NaN equals nothing"),
    "NaN for a bound, negated": ({"$not": {"n": {"$gte": NAN}}}, r"filter\.\$not\.n\.\$gte: NaN equals nothing"),
    "infinity": ({"n": {"$gt": float("inf")}}, NONE),
    "empty all": ({"n": {"$all": []}}, r"filter\.n\.\$all: expects at least one element"),
    "negative size": ({"n": {"$size": -1}}, r"filter\.n\.\$size: expects a whole number"),
    "prefix of a number": ({"n": {"$not": {"$starts_with": 1}}}, r"filter\.n\.\$not\.\$starts_with: expects a string"),
    "no date": ({"n": {"$ne": {"$date": "today"}}}, r"filter\.n\.\$ne\.\$date: expects a text such as"),
    "naive datetime": ({"n": {"$gt": datetime(2024, 5, 1)}}, r"filter\.n\.\$gt has no time zone"),
    "nested datetime": ({"n": [datetime(2024, 5, 1, tzinfo=UTC)]}, r"filter\.n\[0\]: a date inside of an array"),
    "datetime of the year 10000": ({"n": LAST}, r"filter\.n is outside of the years 0 to 9999"),
    "datetime for a number": ({"n": {"$gt": datetime(2024, 5, 1, tzinfo=UTC)}}, NONE),
    "prefix": ({"text": {"$starts_with": "tea 1"}}, lambda n: n == 1 or 10 <= n < 20),
    "other case": ({"place": {"city": {"$ieq": "PARIS"}}}, lambda n: n % 3 == 0),
    "empty item": ({"$item": {}}, r"filter\.\$item: an empty object would match every item"),
    "item below a field": ({"n": {"$item": {"key": "1"}}}, r"filter\.n: Unsupported operator: \$item; it is about"),
    "unknown fact": ({"$item": {"score": 1}}, r"filter\.\$item: score is nothing that an item has"),
    "key": ({"$item": {"key": {"$in": ["1", "2"]}}, "opt": 1}, lambda n: n == 2),
    "times": ({"$item": {"created_at": {"$gt": datetime(2024, 5, 1, tzinfo=UTC), "$lt": LATE}}}, ALL),
    "time of another unit": ({"$item": {"updated_at": {"$lt": 10_000_000_000}}}, NONE),
    "expiry": ({"$not": {"$item": {"expires_at": {"$exists": True}}}}, ALL),
    "huge in": ({"n": {"$in": list(range(1_000_000))}}, ALL),
    "huge nin": ({"n": {"$nin": list(range(5_000))}}, NONE),
    "huge value": ({"n": list(range(5_000))}, "nodes of the filter: 50"),
    "more than a million": ({"n": {"$in": list(range(1_000_001))}}, "values in the lists of the filter: 1000001 e"),
    "millions": ({"n": {"$in": [0] * 3_000_000}}, r"values in the lists of the filter: 30000\d\d exceed.*; split"),
    "huge literals": ({"n": {"$in": ["x" * (1 << 20)] * 65}}, "bytes of the literals of the filter: 68157440 exceeds"),
    "endless literals": ({"n": {"$in": ["x" * (1 << 20)] * 999_999}}, r"bytes of the literals .* 13\d+ or more exceed"),
    "huge key": ({"x" * 1_000_000: 1}, NONE),
    "huge wrong key": ({"x" * 1_000_000 + ".$gte": 1}, "filter: Invalid filter key xxx"),
    "huge operator": ({"n": {"$" + "x" * 1_000_000: 1}}, r"filter\.n: Unsupported operator: \$xxx"),
    "huge place": ({"x" * 1_000_000: {"$gt": None}}, r"filter\.xxx"),
}  # fmt: skip


def of_items(found: Any) -> list[int]:
    return [int(item.key) for item in found]


def in_pages(page: Callable[[int], Any]) -> list[int]:
    found: list[int] = []
    while rows := of_items(page(len(found))):
        found += rows
    return found


def store_calls(reads: Store | StoreSnapshot, condition: Any) -> Iterator[tuple[str, Callable[[], list[int]]]]:
    asked: Any = {"filter": condition, "limit": ITEMS}
    yield "search", lambda: of_items(reads.search((), query="tea", **asked))
    yield "search, least score", lambda: of_items(reads.search((), query="tea", min_score=-2, **asked))
    yield "listing", lambda: of_items(reads.search(A, **asked))
    yield "pages", lambda: in_pages(lambda at: reads.search(A, filter=condition, limit=7, offset=at))
    yield "asearch", lambda: of_items(asyncio.run(reads.asearch(A, query="tea", **asked)))
    yield "batch", lambda: of_items(reads.batch([SearchOp(A, condition, ITEMS)])[0])


def engine_calls(reads: Engine | Snapshot, condition: Any) -> Iterator[tuple[str, Callable[[], list[int]]]]:
    asked: Any = {"filter": condition}
    vector = vector_of("tea")
    yield "search", lambda: of_items(reads.search(A, vector, limit=ITEMS, **asked))
    yield (
        "exact search",
        lambda: of_items(reads.search(vector=vector, everything=True, exact=True, limit=ITEMS, **asked)),
    )
    yield "search_many", lambda: of_items(reads.search_many([vector], A, limit=ITEMS, **asked)[0])
    yield "list", lambda: of_items(reads.list(A, limit=ITEMS, **asked))
    yield "listing", lambda: in_pages(lambda at: reads.listing(A, **asked).page(at, 7))


def calls(store: Store, condition: Any) -> Iterator[tuple[str, Callable[[], list[int]]]]:
    moment, engine = store.snapshot(), store._core.engine
    for source, found in (
        ("store", store_calls(store, condition)),
        ("snapshot of the store", store_calls(moment, condition)),
        ("engine", engine_calls(engine, condition)),
        ("snapshot of the engine", engine_calls(engine.snapshot(), condition)),
    ):
        for name, call in found:
            yield f"{name} of the {source}", call


@pytest.fixture
def filled(store: Store) -> Store:
    for n in range(ITEMS):
        store.put(A, str(n), value_of(n))
    return store


def test_each_filter_in_each_call(filled: Store) -> None:
    for name, (condition, expected) in MATRIX.items():
        for call_name, call in calls(filled, condition):
            shown = f"{name}: {call_name}"
            if callable(expected):
                assert sorted(call()) == [n for n in range(ITEMS) if expected(n)], shown
                continue
            with pytest.raises((InvalidInputError, LimitError), match=expected) as raised:
                raise AssertionError(f"{shown}: {call()}")
            assert len(str(raised.value)) <= 1_000, f"{shown}: the message is {len(str(raised.value))} long"
    assert len(filled) == ITEMS


def test_a_filter_is_checked_as_a_call_would(filled: Store) -> None:
    for name, (condition, expected) in MATRIX.items():
        if callable(expected):
            assert sorted(of_items(filled.search(A, filter=Filter(condition), limit=ITEMS))) == [  # type: ignore[arg-type]
                n for n in range(ITEMS) if expected(n)
            ], name
        else:
            with pytest.raises((InvalidInputError, LimitError), match=expected):
                Filter(condition)


def test_none_is_no_filter(filled: Store) -> None:
    """It is the default of every call, so it says the same as leaving the filter out."""
    for name, call in calls(filled, None):
        assert sorted(call()) == list(range(ITEMS)), name


def test_what_raises_while_it_is_read_raises(filled: Store) -> None:
    for _, call in calls(filled, Unreadable(n=1)):
        with pytest.raises(RuntimeError, match="no items"):
            call()


def test_calls_without_a_filter_refuse_one(filled: Store) -> None:
    """A filter that a call would pass over would make it one of everything."""
    engine = filled._core.engine
    names = ("delete_namespace", "purge", "list_namespaces")
    refusing = [(getattr(reads, name), (A,)) for reads in (filled, engine) for name in names]
    refusing += [(reads.delete, (A, "1")) for reads in (filled, engine)]
    refusing += [(reads.update, (A, "1", {"n": 2})) for reads in (filled, engine)]
    refusing += [(reads.delete_many, ([(A, "1")],)) for reads in (filled, engine)]
    refusing += [(engine.get, (A, "1")), (engine.iterate, (A,)), (engine.delete_everything, ())]
    for call, arguments in refusing:
        with pytest.raises(TypeError, match="unexpected keyword argument 'filter'"):
            call(*arguments, filter={"n": 1})
    assert len(filled) == ITEMS
