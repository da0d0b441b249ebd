"""Some queries that walk a graph are repeated exactly in the background, unless the engine is told not to."""

from __future__ import annotations

import time

import numpy
from numpy.typing import NDArray

from vecmem import Engine, Put

DIMS = 32
LIMIT = 60.0  # seconds: long enough for any machine


def filled(live_check: bool) -> tuple[Engine, NDArray[numpy.float32]]:
    vectors = numpy.random.default_rng(7).standard_normal((20_100, DIMS)).astype(numpy.float32)
    engine = Engine(dims=DIMS, metric="l2", live_check=live_check)
    engine.import_items(Put(("a",), str(number), {}, vector=vector) for number, vector in enumerate(vectors[:20_000]))
    engine.compact()
    return engine, vectors[20_000:]


def test_stats_and_explanations_tell_what_they_got() -> None:
    engine, queries = filled(live_check=True)
    began = time.monotonic()
    measured = None
    while measured is None:
        assert time.monotonic() - began < LIMIT
        for query in queries:
            assert len(engine.search(("a",), query)) == 10
        graphs = engine.stats()["graphs"]["measured"]
        measured = next((graph["recall"] for graph in graphs), None)
    assert graphs[0]["labels"] == ["a"] and graphs[0]["checked"] > 0 and 0 < graphs[0]["kept_queries"] <= 200
    assert 0.5 < measured <= 1.0
    assert 0 < engine.stats()["graphs"]["kept_query_bytes"] <= 200 * 4 * DIMS
    [part] = engine.search(("a",), queries[0], explain=True).explain
    assert 0.5 < part["measured_recall"] <= 1.0
    engine.close()


def test_the_option_turns_it_off() -> None:
    engine, queries = filled(live_check=False)
    for query in queries:
        [part] = engine.search(("a",), query, explain=True).explain
        assert "graph" in part["path"] and part["measured_recall"] is None
    assert engine.stats()["graphs"]["measured"] == []
    engine.close()
