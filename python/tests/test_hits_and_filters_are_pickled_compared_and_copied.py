"""Hits, items, results and filters are equal to their pickles and copies, in every field."""

import copy
import pickle
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy
import pytest

from vecmem import Engine, Filter, Hit, Item, SearchResult

WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
FIELDS = ["namespace", "key", "value", "value_json", "created_at", "updated_at", "expires_at", "ttl", "version"]


@pytest.fixture
def result(engine: Engine) -> SearchResult:
    engine.put(("a", "b"), "k", {"n": 2**80, "text": "é\0"}, vector=[1, 2, 3], ttl=1000)
    engine.put(("a", "b"), "l", {}, vectors=[("x", [1, 0, 0]), ("y", [0, 0, 1])], created_at=17, updated_at=18)
    engine.put(("a", "b"), "m", {})
    return engine.search(("a", "b"), [1, 2, 3], include_unscored=True, include_vectors=True, explain=True)


@pytest.mark.parametrize("way", WAYS)
def test_hits(result: SearchResult, way: str) -> None:
    for hit in result:
        other = WAYS[way](hit)
        assert type(other) is Hit and other == hit and hash(other) == hash(hit) and other.score == hit.score
        assert [getattr(other, field) for field in FIELDS] == [getattr(hit, field) for field in FIELDS]
        for (path, vector), (other_path, other_vector) in zip(hit.vectors, other.vectors, strict=True):
            assert path == other_path and numpy.array_equal(vector, other_vector)


@pytest.mark.parametrize("way", WAYS)
def test_items(engine: Engine, result: SearchResult, way: str) -> None:
    item = engine.get(("a", "b"), "k")
    other = WAYS[way](item)
    assert type(other) is Item and other == item and other != result[0], "a hit is more than its item"


@pytest.mark.parametrize("way", WAYS)
def test_results(result: SearchResult, way: str) -> None:
    other = WAYS[way](result)
    assert type(other) is SearchResult and other == result
    assert (other.metric, other.incomplete, other.explain) == ("cosine", False, result.explain)


@pytest.mark.parametrize("way", WAYS)
def test_filters(way: str) -> None:
    at = datetime(2024, 5, 1, 10, tzinfo=timezone(timedelta(hours=2)))
    assert Filter({"at": {"$lt": at}}).conditions == {"at": {"$lt": {"$date": "2024-05-01T08:00:00Z"}}}
    checked = Filter(
        {"at": {"$lt": at}, "a": {"$gte": 1}, "b": {"$not": {"$in": [1, 2.5, "x", None, True, [1], {"c": 2}]}}}
    )
    other = WAYS[way](checked)
    assert other == checked and hash(other) == hash(checked) and other.conditions == checked.conditions


def test_what_differs_is_not_equal(engine: Engine, result: SearchResult) -> None:
    first, second = result[:2]
    assert first != second and first != "k" and len({first, second, copy.copy(first)}) == 2
    assert Filter({"a": 1}) == Filter({"a": {"$eq": 1}}) != Filter({"a": 2}) and Filter({"a": 1}) != {"a": 1}
    engine.put(("a", "b"), "m", {})
    assert engine.search(("a", "b"), [1, 2, 3], include_unscored=True)[2] != result[2], "it has another version"


def test_a_copy_has_a_value_of_its_own(result: SearchResult) -> None:
    other = copy.deepcopy(result[1])
    other.value["x"] = 1
    assert "x" not in result[1].value
