"""A value that would not come back the same is refused, with the place of the first such thing; nothing is written."""

import datetime
from collections import UserDict
from decimal import Decimal
from typing import Any

import numpy
import pytest

from vecmem import Engine, InvalidInputError, InvalidValueError, LimitError


class Unhelpful:
    """An object whose ``repr`` fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __hash__ = object.__hash__


def cycle() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["again"] = [value]
    return value


REFUSED: list[tuple[Any, str]] = [
    ({"a": {1}}, "value['a']: a set is not JSON"),
    ({"a": [0, b"x"]}, "value['a'][1]: a bytes is not JSON"),
    ({"a": {"b": datetime.datetime(2026, 1, 1)}}, "value['a']['b']: a datetime.datetime is not JSON"),
    ({"a": Decimal(1)}, "value['a']: a decimal.Decimal is not JSON"),
    ({"a": numpy.datetime64("2026-01-01")}, "value['a']: a numpy.datetime64 is not JSON"),
    ({"a": numpy.timedelta64(1, "ns")}, "value['a']: a numpy.timedelta64 is not JSON"),
    ({"a": numpy.float32("nan")}, "value['a']: the float NaN is not JSON"),
    ({"a": numpy.zeros(1)}, "value['a']: a numpy.ndarray is not JSON"),
    ({"a": UserDict()}, "value['a']: a collections.UserDict is not JSON"),
    ({"a": object()}, "value['a']: an object is not JSON"),
    ({"a": float("nan")}, "value['a']: the float NaN is not JSON"),
    ({"a": float("-inf")}, "value['a']: the float -inf is not JSON"),
    ({"a": (1, 2)}, "value['a']: a tuple would come back as a list"),
    ({"a": {1: 2}}, "value['a']: the key 1 is an int, not a str"),
    ({("x",): 2}, "value: the key ('x',) is a tuple, not a str"),
    ({Unhelpful(): 2}, "value: the key ? is a"),
    ({"a": "\ud800"}, "value['a']: the str holds a lone surrogate"),
    ({"\udfff": 1}, "value['\\udfff']: the str holds a lone surrogate"),
    ({"a": 10**4300}, "value['a']: the int has more than 4300 digits"),
    ([], "value must be a mapping such as a dict, not a list"),
    (None, "value must be a mapping such as a dict, not a NoneType"),
    ("{}", "value must be a mapping such as a dict, not a str"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_the_place_is_named(engine: Engine, value: Any, message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        engine.put(("values",), "bad", value)
    assert str(caught.value).startswith(message)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, TypeError)
    assert engine.get(("values",), "bad") is None


def test_cycles_and_depth_end(engine: Engine) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (cycle(), {"a": deep}):
        with pytest.raises(InvalidValueError, match="nests deeper than 128 levels, or contains itself"):
            engine.put(("values",), "bad", value)


def test_a_str_whose_keys_are_equal_text_is_a_duplicate(engine: Engine) -> None:
    class Other(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return self is other

        __hash__ = str.__hash__

    with pytest.raises(InvalidInputError, match="already has"):
        engine.put(("values",), "bad", {Other("a"): 1, "a": 2})


def test_huge_values_are_refused_before_they_are_copied(engine: Engine) -> None:
    shared = "x" * (1 << 20)
    with pytest.raises((InvalidValueError, LimitError), match="limit"):
        engine.put(("values",), "bad", {"a": [shared] * 100_000})


def test_one_bad_item_of_many_writes_nothing(engine: Engine) -> None:
    items = [{"namespace": ("values",), "key": str(n), "value": {"n": n if n != 7 else {n}}} for n in range(10)]
    with pytest.raises(InvalidValueError, match=r"value\['n'\]: a set"):
        engine.put_many(items)  # type: ignore[arg-type]
    assert engine.count(everything=True) == 0
