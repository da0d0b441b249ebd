"""Vectors may be float32 arrays, read in place, or whatever numpy makes an array of numbers of; they come back bit by
bit.
"""

import array
import threading
from typing import Any

import numpy
import pytest

from vecmem import Engine

NUMBERS = [0.1, -2.5, 3.0]
FORMS: dict[str, Any] = {
    "float32": numpy.array(NUMBERS, dtype=numpy.float32),
    "float64": numpy.array(NUMBERS),
    "float16": numpy.array(NUMBERS, dtype=numpy.float16),
    "integers": numpy.array([1, -2, 3]),
    "big endian": numpy.array(NUMBERS, dtype=">f4"),
    "every other": numpy.array([0.1, 9, -2.5, 9, 3.0, 9], dtype=numpy.float32)[::2],
    "backwards": numpy.array(NUMBERS[::-1], dtype=numpy.float32)[::-1],
    "a column": numpy.array([NUMBERS] * 2, dtype=numpy.float32).T[:, 1],
    "read-only": numpy.frombuffer(numpy.array(NUMBERS, dtype=numpy.float32).tobytes(), dtype=numpy.float32),
    "list": NUMBERS,
    "list of ints": [1, 2, 3],
    "mixed list": [1, 2.5, numpy.float32(3)],
    "tuple": tuple(NUMBERS),
    "array.array": array.array("f", NUMBERS),
    "memoryview": memoryview(array.array("d", NUMBERS)),
    "range": range(3),
}


@pytest.mark.parametrize("form", FORMS)
def test_it_comes_back(engine: Engine, form: str) -> None:
    wanted = numpy.asarray(FORMS[form]).astype(numpy.float32)
    engine.put(("a",), "k", {}, vector=FORMS[form])
    engine.put(("a",), "several", {}, vectors=[("x", FORMS[form]), ("y.0", [0, 0, 1])])
    one, several = engine.get_many([(("a",), "k"), (("a",), "several")], include_vectors=True)
    assert one is not None and several is not None
    assert [path for path, _ in one.vectors] == [""] and [path for path, _ in several.vectors] == ["x", "y.0"]
    for _, found in (one.vectors[0], several.vectors[0]):
        assert found.dtype == numpy.float32 and found.tobytes() == wanted.tobytes()
    assert engine.get(("a",), "k").vectors == []  # type: ignore[union-attr]
    best = engine.search(("a",), FORMS[form], limit=1)[0]
    assert best.score == pytest.approx(1.0, abs=1e-6)


def test_what_happens_to_an_array_later_changes_nothing(engine: Engine) -> None:
    vector = numpy.ones(3, dtype=numpy.float32)
    engine.put(("a",), "k", {}, vector=vector)
    vector[:] = 0
    item = engine.get(("a",), "k", include_vectors=True)
    assert item is not None and item.vectors[0][1].tolist() == [1, 1, 1]
    item.vectors[0][1][:] = 5
    assert item.vectors[0][1].tolist() == [1, 1, 1], "each access makes a new array"


def test_one_array_serves_many_threads(engine: Engine) -> None:
    vector = numpy.ones(3, dtype=numpy.float32)
    engine.put(("a",), "k", {}, vector=vector)
    failures: list[BaseException] = []

    def search() -> None:
        try:
            for _ in range(300):
                assert len(engine.search(("a",), vector)) == 1
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_zero_vector_scores_zero(engine: Engine) -> None:
    engine.put(("a",), "k", {}, vector=numpy.zeros(3))
    assert engine.search(("a",), [1, 0, 0])[0].score == 0
