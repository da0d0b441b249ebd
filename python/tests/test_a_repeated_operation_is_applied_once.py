"""A batch with the operation id of one that was applied writes nothing and returns ``None``, also after a reopen."""

from pathlib import Path

import pytest

from vecmem import Delete, Engine, InvalidInputError, InvalidValueError, LimitError, Put


def test_across_a_close(path: Path) -> None:
    first = [Put(("a",), "k", {"n": 1}), Put(("a",), "k", {"n": 2}), Delete(("a",), "other")]
    with Engine(path) as engine:
        superseded, version, deleted = engine.write(first, operation_id="first") or []
        assert (superseded, deleted) == (None, False) and isinstance(version, int)
        assert engine.write(first, operation_id="first") is None
        engine.put(("a",), "k", {"n": 3})
    with Engine(path) as engine:
        assert engine.write(first, operation_id="first") is None
        assert engine.get(("a",), "k").value == {"n": 3}, "what came later stays"
        assert engine.write([Put(("a",), "k", {"n": 4})], operation_id="second") != [None]
        assert engine.get(("a",), "k").value == {"n": 4}
        engine.compact()
    with Engine(path) as engine:
        assert engine.write([Put(("a",), "k", {"n": 5})], operation_id="second") is None
        assert len(engine.write([Put(("a",), "k", {"n": 6})])) == 1, "without an id every batch is applied"


def test_bad_names(engine: Engine) -> None:
    for name, error in (("", InvalidInputError), ("x" * 4097, LimitError), (7, InvalidValueError)):
        with pytest.raises(error, match="operation.id"):
            engine.write([Put(("a",), "k", {})], operation_id=name)
    assert engine.count(everything=True) == 0
