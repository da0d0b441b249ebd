"""``stats()`` is grouped by what a person asks, has the keys of its types, and counts calls by kind."""

from typing import Any, get_type_hints

from vecmem import Engine, reports
from vecmem.words import counted


def assert_typed(value: Any, wanted: Any) -> None:
    """All keys of a TypedDict, on every level."""
    hints = get_type_hints(wanted)
    assert set(value) == set(hints), wanted
    for key, hint in hints.items():
        if isinstance(value[key], dict):
            assert_typed(value[key], hint)


def test_all_keys_are_typed(engine: Engine) -> None:
    assert_typed(engine.stats(), reports.Stats)


def test_calls_count_under_their_kind(engine: Engine) -> None:
    engine.put(("a",), "k", {"x": 1}, vector=[1, 2, 3])
    engine.get(("a",), "k")
    engine.search(("a",), vector=[1, 2, 3])
    with engine.snapshot() as snapshot:
        snapshot.search(("a",), vector=[1, 2, 3])
    latency = engine.stats()["latency"]
    counts = {kind: calls["count"] for kind, calls in latency.items() if calls["count"]}
    assert counts == {"put": 1, "get": 1, "search_flat": 2}
    put = latency["put"]
    assert 0 < put["p50_us"] <= put["p99_us"] <= put["max_us"] and put["timed"] == 1


def test_one_is_singular() -> None:
    assert [counted(n, "row") for n in (0, 1, 1234)] == ["0 rows", "1 row", "1,234 rows"]
    assert counted(2, "query") + counted(2, "key") == "2 queries2 keys"
