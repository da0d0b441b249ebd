"""A scalar of numpy in a value is written as the bool, int or float that it holds."""

from typing import Any

import numpy
import pytest

from vecmem import Engine, Put

SCALARS: list[tuple[Any, Any]] = [
    (numpy.bool_(True), True),
    (numpy.bool_(False), False),
    (numpy.int8(-7), -7),
    (numpy.int64(2**62), 2**62),
    (numpy.uint64(2**64 - 1), 2**64 - 1),
    (numpy.float16(0.5), 0.5),
    (numpy.float32(0.1), float(numpy.float32(0.1))),
    (numpy.float64(0.1), 0.1),
    (numpy.longdouble(2.5), 2.5),
    (numpy.str_("tea"), "tea"),
]


@pytest.mark.parametrize(("scalar", "meant"), SCALARS, ids=[type(scalar).__name__ for scalar, _ in SCALARS])
def test_it_comes_back_as_a_python_value(engine: Engine, scalar: Any, meant: Any) -> None:
    engine.put(("a",), "k", {"x": scalar, "in": [{"y": scalar}]})
    item = engine.get(("a",), "k")
    assert item is not None and item.value == {"x": meant, "in": [{"y": meant}]}
    assert type(item.value["x"]) is type(meant)
    assert Put(("a",), "k", {"x": scalar}).value == {"x": meant}


@pytest.mark.parametrize(("scalar", "meant"), SCALARS, ids=[type(scalar).__name__ for scalar, _ in SCALARS])
def test_a_filter_means_the_same(engine: Engine, scalar: Any, meant: Any) -> None:
    engine.put(("a",), "k", {"x": meant})
    assert len(engine.list(("a",), filter={"x": scalar})) == 1
