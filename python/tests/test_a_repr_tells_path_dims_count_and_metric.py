"""The ``repr`` of engines, snapshots, hits, results, columns and filters tells what a person at a prompt asks."""

from pathlib import Path

from vecmem import Engine, Filter


def filled(engine: Engine) -> Engine:
    for n in range(5):
        engine.put(("a",), str(n), {"n": n}, vector=[1.0, n, 0.0])
    return engine


def test_an_engine(path: Path) -> None:
    with Engine(path, dims=3, metric="l2") as engine:
        assert repr(filled(engine)) == f"Engine('{path}', dims=3, metric='l2', count=5)"
    assert repr(engine) == "Engine(closed)"


def test_an_engine_without_vectors(path: Path) -> None:
    with Engine(path) as engine:
        assert repr(engine) == f"Engine('{path}', count=0)"


def test_a_snapshot(engine: Engine) -> None:
    with filled(engine).snapshot() as snapshot:
        assert repr(snapshot) == "Snapshot(count=5)"
    assert repr(snapshot) == "Snapshot(closed)"


def test_a_hit_and_an_item(engine: Engine) -> None:
    [hit] = filled(engine).search(("a",), [1, 0, 0], limit=1)
    assert repr(hit) == "Hit(namespace=('a',), key='0', score=1, value={\"n\":0})"
    assert repr(engine.get(("a",), "0")) == "Item(namespace=('a',), key='0', value={\"n\":0})"


def test_a_result(engine: Engine) -> None:
    result = filled(engine).search(("a",), [1, 0, 0])
    assert repr(result).startswith("SearchResult([Hit(namespace=('a',), key='0'")
    assert repr(result).endswith(", ... 2 more], count=5, metric='cosine')")
    assert repr(engine.list(("a",), limit=0)) == "SearchResult([], count=0)"


def test_columns(engine: Engine) -> None:
    columns = filled(engine).search(("a",), [1, 0, 0], limit=2, columns=True)
    assert repr(columns) == "Columns(count=2, metric='cosine')" and columns.metric == "cosine"
    many = engine.search_many([[1, 0, 0]] * 3, ("a",), limit=2, columns=True)
    assert repr(many) == "Columns(queries=3, count=6, metric='cosine')"
    assert repr(engine.list(("a",), columns=True)) == "Columns(count=5)"


def test_a_filter() -> None:
    assert (
        repr(Filter({"b": {"$in": [1, True, None]}, "a": 1.5})) == "Filter({'a': 1.5, 'b': {'$in': [1, True, None]}})"
    )
