"""Imports take any iterable, keep given times, say how far they are, leave bad items out if asked to, and resume by
name.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from vecmem import Engine, InvalidInputError, Put


def items(count: int) -> Iterator[Any]:
    for n in range(count):
        put = {"namespace": ("a", str(n % 3)), "key": str(n), "value": {"n": n}, "vector": [1, n, 0]}
        yield put if n % 2 else Put(**put)


def test_an_import_equals_puts(engine: Engine) -> None:
    calls: list[tuple[int, int, int]] = []
    report = engine.import_items(items(1000), chunk_rows=300, on_progress=lambda *done: calls.append(done))
    assert report == {"imported": 1000, "skipped": 0, "resumed_after": 0, "complete": True, "bad": []}
    assert calls == [(300, 300, 0), (600, 600, 0), (900, 900, 0), (1000, 1000, 0)]
    with Engine(dims=3) as other:
        other.put_many(items(1000))
        rows = [[(hit.key, hit.score) for hit in e.search(prefix=("a",), vector=[0, 1, 0])] for e in (engine, other)]
        assert rows[0] == rows[1]


def test_times_are_kept(engine: Engine) -> None:
    item = {"namespace": ("a",), "key": "k", "value": {}, "created_at": 1_000, "updated_at": 2_000, "ttl": 60.5}
    engine.import_items([item])
    found = engine.get(("a",), "k")
    assert found is not None and (found.created_at, found.updated_at, found.ttl) == (1_000, 2_000, 60.5)
    assert found.expires_at is not None and found.expires_at > 60_500_000


def test_bad_items(engine: Engine) -> None:
    bad: list[Any] = list(items(5))
    bad[1] = {"namespace": ("a",), "key": "k", "value": {"x": {1}}}
    bad[3] = {"namespace": ("a",), "key": "k", "value": {}, "vector": [1]}
    with pytest.raises(InvalidInputError, match=r"item 2 of the import: value\['x'\]: a set is not JSON"):
        engine.import_items(bad)
    assert engine.count(everything=True) == 0
    report = engine.import_items(bad, skip_bad=True)
    assert (report["imported"], report["skipped"], report["complete"]) == (3, 2, True)
    assert [number for number, _ in report["bad"]] == [2, 4] and "1 dimension," in report["bad"][1][1]


def test_a_named_source_is_resumed(engine: Engine) -> None:
    class Interrupted(Exception):
        pass

    def some() -> Iterator[Any]:
        for index, item in enumerate(items(1000)):
            if index == 700:
                raise Interrupted
            yield item

    with pytest.raises(Interrupted):
        engine.import_items(some(), source="numbers", chunk_rows=100)
    assert engine.count(everything=True) == 700
    report = engine.import_items(items(1000), source="numbers", chunk_rows=100)
    assert (report["imported"], report["resumed_after"]) == (300, 700)
    assert engine.import_items(items(1000), source="numbers")["imported"] == 0
    assert engine.count(everything=True) == 1000


def test_an_exception_of_the_callback_ends_it(engine: Engine) -> None:
    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.import_items(items(1000), chunk_rows=100, on_progress=stop)
    assert engine.count(everything=True) == 100
