"""Searches return what numpy computes over all vectors: scores, order, filter, offset, best of several vectors, as
rows and columns.
"""

from random import Random
from typing import Any

import numpy
import pytest
from numpy.typing import NDArray

from vecmem import Columns, Engine

DIMS = 24
Vectors = dict[tuple[tuple[str, ...], str], NDArray[numpy.float32]]


def score(metric: str, vectors: NDArray[numpy.float32], query: NDArray[numpy.float32]) -> float:
    rows, wanted = vectors.astype(numpy.float64), query.astype(numpy.float64)
    if metric == "l2":
        return float((-numpy.linalg.norm(rows - wanted, axis=1)).max())
    dots = rows @ wanted
    if metric == "cosine":
        dots /= numpy.linalg.norm(rows, axis=1) * numpy.linalg.norm(wanted)
    return float(dots.max())


def fill(engine: Engine, numbers: numpy.random.Generator, items: int) -> tuple[Vectors, dict[Any, dict[str, Any]]]:
    vectors: Vectors = {}
    values: dict[Any, dict[str, Any]] = {}
    puts = []
    for number in range(items):
        address = (("users", f"user {number % 3}"), f"key {number}")
        several = numbers.normal(size=(1 + number % 3, DIMS)).astype(numpy.float32)
        vectors[address], values[address] = several, {"n": number, "even": number % 2 == 0}
        fields = [(f"field.{index}", row) for index, row in enumerate(several)]
        puts.append({"namespace": address[0], "key": address[1], "value": values[address], "vectors": fields})
    engine.put_many(puts)
    return vectors, values


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_search(metric: Any, random: Random) -> None:
    numbers = numpy.random.default_rng(random.randrange(1 << 30))
    with Engine(dims=DIMS, metric=metric) as engine:
        vectors, values = fill(engine, numbers, 400)
        for round in range(12):
            query = numbers.normal(size=DIMS).astype(numpy.float32)
            namespace = ("users", f"user {round % 3}") if round % 2 else None
            scope: dict[str, Any] = {"namespace": namespace} if namespace else {"prefix": ("users",)}
            filter = {"even": True, "n": {"$gte": 50}} if round % 4 > 1 else None
            wanted = [
                (score(metric, vectors[address], query), address)
                for address, value in values.items()
                if (namespace is None or address[0] == namespace)
                and (not filter or (value["even"] and value["n"] >= 50))
            ]
            wanted.sort(reverse=True)
            offset, limit = random.randrange(30), random.randrange(1, 40)
            hits = engine.search(vector=query, filter=filter, offset=offset, limit=limit, **scope)
            expected = wanted[offset : offset + limit]
            assert [(hit.namespace, hit.key) for hit in hits] == [address for _, address in expected]
            assert all(hit.value == values[hit.namespace, hit.key] for hit in hits)
            close = numpy.allclose([hit.score for hit in hits], [score for score, _ in expected], rtol=1e-5, atol=1e-5)
            assert close


def test_many_and_columns_are_the_same_rows(random: Random) -> None:
    numbers = numpy.random.default_rng(random.randrange(1 << 30))
    with Engine(dims=DIMS) as engine:
        fill(engine, numbers, 100)
        engine.put(("users", "user 1"), "no vector", {"n": -1})
        queries = numbers.normal(size=(7, DIMS)).astype(numpy.float32)
        scope: dict[str, Any] = {
            "prefix": ("users",),
            "limit": 200,
            "include_unscored": True,
            "filter": {"n": {"$lt": 20}},
        }
        rows = [engine.search(vector=query, **scope) for query in queries]
        many = engine.search_many(queries, **scope)
        assert [[hit.key for hit in hits] for hits in many] == [[hit.key for hit in hits] for hits in rows]
        assert engine.search_many(numpy.asfortranarray(queries), **scope)[3][0].score == rows[3][0].score
        columns = engine.search_many(queries, columns=True, **scope)
        assert isinstance(columns, Columns) and len(columns) == 7 * 21
        assert columns.scores.shape == (7, 21) and columns.scores.dtype == numpy.float32
        assert numpy.isnan(columns.scores[:, -1]).all(), "the item without vectors has no score"
        assert columns.keys == [[hit.key for hit in hits] for hits in rows]
        assert columns.namespaces == [[hit.namespace for hit in hits] for hits in rows]
        assert columns.values == [[hit.value for hit in hits] for hits in rows]
        assert columns.values_json == [[hit.value_json for hit in hits] for hits in rows]
        assert columns.versions.tolist() == [[hit.version for hit in hits] for hits in rows]
        assert columns.updated_at.tolist() == [[hit.updated_at for hit in hits] for hits in rows]
        assert columns.created_at.tolist() == [[hit.created_at for hit in hits] for hits in rows]
        one = engine.search(vector=queries[0], columns=True, **scope)
        assert one.keys == columns.keys[0] and one.scores.shape == (21,) and one.counts.tolist() == [21]
        assert numpy.array_equal(one.scores, columns.scores[0], equal_nan=True)


def test_answers_of_several_lengths_are_padded(engine: Engine) -> None:
    engine.put(("a",), "k", {}, vector=[1, 0, 0])
    columns = engine.search_many([[1, 0, 0], [-1, 0, 0]], ("a",), min_score=0.5, columns=True)
    assert columns.counts.tolist() == [1, 0] and columns.keys == [["k"], []]
    assert columns.scores.shape == (2, 1) and numpy.isnan(columns.scores[1, 0]) and columns.versions[1, 0] == 0


def test_like_leaves_the_item_out(engine: Engine) -> None:
    for key, vector in {"x": [1, 0, 0], "near": [1, 0.1, 0], "far": [0, 1, 0]}.items():
        engine.put(("a",), key, {}, vector=vector)
    engine.put(("b",), "nearest", {}, vector=[1, 0, 0])
    assert [hit.key for hit in engine.search_by_item(("a",), "x")] == ["near", "far"]
    assert [hit.key for hit in engine.search_by_item(("a",), "x", everything=True, limit=1)] == ["nearest"]
    assert [hit.key for hit in engine.search_by_item(("a",), "x", within=("b",))] == ["nearest"]


def test_explain_says_what_each_part_did(engine: Engine) -> None:
    engine.put(("a",), "k", {}, vector=[1, 0, 0])
    answer = engine.search(("a",), [1, 0, 0], explain=True)
    assert [part["path"] for part in answer.explain] == ["flat"] and answer.explain[0]["rows"] == 1
    assert not answer.incomplete and engine.search(("a",)).explain == ()
