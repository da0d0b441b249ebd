"""A value comes back equal, with the same types all through, and as text that Python's own json reads the same."""

import json
import math
from collections import OrderedDict, UserDict
from enum import IntEnum
from random import Random
from types import MappingProxyType
from typing import Any

import pytest

from vecmem import Engine

EDGES: list[Any] = [
    None, True, False, 0, -1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 2**80, -(10**1000), 10**4299,
    0.0, -0.0, 1.0, 1e16, 1e22, 1e-7, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 2.5e-310, 123456789.123456789,
    "", "\0", "a\0b", "\x7f", "\u2028", "é", "😀", "\uffff", '"', "\\", "/", "\n\r\t\b\f\x01\x1f", "</script>",
    [], {}, [[]], {"": {"": []}},
]  # fmt: skip


def any_text(random: Random) -> str:
    alphabet = 'ab"\\/\n\t\0\x1f\x7fé\u2028中😀\U0010ffff'
    return "".join(random.choice(alphabet) for _ in range(random.randrange(8)))


def any_number(random: Random) -> int | float:
    kind = random.randrange(4)
    if kind == 0:
        return random.randrange(-1000, 1000)
    if kind == 1:
        return random.getrandbits(random.choice([31, 63, 64, 65, 200, 3000])) * random.choice([1, -1])
    if kind == 2:
        return math.ldexp(random.random() - 0.5, random.randrange(-1080, 1000))
    return random.choice([0.5, -2.0, 1e300, 100.0])


def any_value(random: Random, depth: int) -> Any:
    kind = random.randrange(8 if depth else 6)
    if kind < 2:
        return any_number(random)
    if kind < 4:
        return any_text(random)
    if kind < 6:
        return random.choice(EDGES)
    if kind == 6:
        return [any_value(random, depth - 1) for _ in range(random.randrange(5))]
    return {any_text(random): any_value(random, depth - 1) for _ in range(random.randrange(5))}


def typed(value: Any) -> Any:
    """The value with the type of everything in it, so that 1, 1.0 and True differ, as do 0.0 and -0.0."""
    if isinstance(value, dict):
        return {key: typed(member) for key, member in value.items()}
    if isinstance(value, list):
        return [typed(element) for element in value]
    return type(value), repr(value)


def test_any_value(engine: Engine, random: Random) -> None:
    for number in range(300):
        value = {any_text(random): any_value(random, 4) for _ in range(random.randrange(6))}
        engine.put(("values",), str(number), value)
        item = engine.get(("values",), str(number))
        assert item is not None
        assert typed(item.value) == typed(value)
        assert list(item.value) == list(value), "the order of keys"
        assert typed(json.loads(item.value_json)) == typed(value)


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: repr(edge)[:20])
def test_edges(engine: Engine, edge: Any) -> None:
    engine.put(("values",), "edge", {"edge": edge, "list": [edge]})
    item = engine.get(("values",), "edge")
    assert item is not None
    assert typed(item.value) == typed({"edge": edge, "list": [edge]})


def test_nesting_up_to_the_limit(engine: Engine) -> None:
    value: dict[str, Any] = {}
    for _ in range(127):
        value = {"a": value}
    engine.put(("values",), "deep", value)
    item = engine.get(("values",), "deep")
    assert item is not None and item.value == value


class Colour(IntEnum):
    """An int with a name."""

    RED = 7


class Text(str):
    """A str with a class of its own."""


def test_subclasses_are_written_as_what_they_hold(engine: Engine) -> None:
    value = {"enum": Colour.RED, "text": Text("t"), Text("key"): OrderedDict(b=1, a=2)}
    engine.put(("values",), "subclasses", value)
    item = engine.get(("values",), "subclasses")
    assert item is not None and item.value == value
    assert typed(item.value) == typed({"enum": 7, "text": "t", "key": {"b": 1, "a": 2}})


@pytest.mark.parametrize("mapping", [UserDict, MappingProxyType, OrderedDict])
def test_the_outermost_level_may_be_any_mapping(engine: Engine, mapping: Any) -> None:
    engine.put(("values",), "mapping", mapping({"a": [1], "b": {}}))
    item = engine.get(("values",), "mapping")
    assert item is not None and item.value == {"a": [1], "b": {}} and type(item.value) is dict


def test_a_value_is_parsed_once_and_is_the_items_own(engine: Engine) -> None:
    engine.put(("values",), "own", {"list": []})
    item, other = engine.get(("values",), "own"), engine.get(("values",), "own")
    assert item is not None and other is not None
    assert item.value is item.value
    item.value["list"].append(1)
    assert other.value == {"list": []} and item.value_json == '{"list":[]}'
