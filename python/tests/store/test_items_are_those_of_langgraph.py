"""What reads return is what the constructors of LangGraph's classes would make: same class, same fields, times to the
microsecond.
"""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from langgraph.store.base import Item, SearchItem

import vecmem
from vecmem._vecmem import _get_item, _search_items

SEED = 20_261_121
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
DAY = 86_400_000_000
FIRST = (datetime.min.replace(tzinfo=timezone.utc) - EPOCH) // timedelta(microseconds=1)
LAST = (datetime.max.replace(tzinfo=timezone.utc) - EPOCH) // timedelta(microseconds=1)


def some_times() -> list[int]:
    """Microseconds since 1970: the ends of days, months, years and centuries, and some at random."""
    print("seed", SEED)
    generator = random.Random(SEED)
    turns = [
        datetime(year, month, 1, tzinfo=timezone.utc) for year in (1970, 1999, 2000, 2100, 2400) for month in (1, 3)
    ]
    turns = [(turn - EPOCH) // timedelta(microseconds=1) for turn in turns]
    near = [turn + step for turn in turns for step in (-DAY, -1, 0, 1, DAY - 1, DAY)]
    return [time for time in near if time > 0] + [generator.randrange(1, LAST) for _ in range(300)] + [LAST]


def test_times_are_those_of_the_calendar() -> None:
    with vecmem.Engine() as engine:
        for number, time in enumerate(some_times()):
            engine.put(("times",), str(number), {}, created_at=time, updated_at=time)
            item = _get_item(engine, ("times",), str(number), True, False)
            assert item.created_at == item.updated_at == EPOCH + timedelta(microseconds=time)
            assert item.created_at.tzinfo is timezone.utc


def test_a_time_outside_the_calendar_is_its_end() -> None:
    with vecmem.Engine() as engine:
        engine.put(("times",), "early", {}, created_at=FIRST - 1, updated_at=-(2**62))
        item = _get_item(engine, ("times",), "early", True, False)
        assert item.created_at == item.updated_at == datetime.min.replace(tzinfo=timezone.utc)
        for name in ("created_at", "updated_at"):
            with pytest.raises(vecmem.InvalidInputError, match=f"{name} is {LAST + 1} microseconds.*year 9999"):
                engine.put(("times",), "late", {}, **{name: LAST + 1})


def check_items() -> None:
    """Reads through every way, against objects that the constructors make."""
    with vecmem.Engine(dims=2) as engine:
        for number in range(5):
            namespace = ("users", f"user {number // 2}")
            value = {"number": number, "nested": {"list": [1, None, "text"]}}
            vector = None if number == 4 else [1.0, number]
            times = {"created_at": 10 + number, "updated_at": 20 + number}
            engine.put(namespace, f"key {number}", value, vector=vector, **times)
        hits = engine.search(everything=True, vector=[1.0, 0.0], include_unscored=True)
        items = _search_items(hits)
        assert [type(item) for item in items] == [SearchItem] * 5
        for hit, item in zip(hits, items, strict=True):
            times = [EPOCH + timedelta(microseconds=time) for time in (hit.created_at, hit.updated_at)]
            expected = SearchItem(hit.namespace, hit.key, hit.value, *times, score=hit.score)
            assert item == expected and item.dict() == expected.dict() and repr(item) == repr(expected)
            found = _get_item(engine, hit.namespace, hit.key, True, False)
            assert type(found) is Item
            assert found == Item(
                namespace=hit.namespace, key=hit.key, value=hit.value, created_at=times[0], updated_at=times[1]
            )
        assert items[0].score == 1.0 and items[-1].score is None
        assert _get_item(engine, ("users", "nobody"), "key", True, False) is None


def test_items_equal_those_that_the_constructors_make() -> None:
    check_items()


def test_classes_with_other_fields_are_made_by_their_constructors() -> None:
    """A later LangGraph may add fields: then the constructors are called, with the same result."""
    change = "import langgraph.store.base as base; base.Item.__slots__ = (*base.Item.__slots__, 'later')"
    program = f"{change}; import {Path(__file__).stem} as tests; tests.check_items()"
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, check=True, timeout=120)


def test_only_hits_become_items() -> None:
    with pytest.raises(vecmem.InvalidValueError, match="a list of hits"):
        _search_items([{"key": "a dict"}])
