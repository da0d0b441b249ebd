"""A bug of the engine is an ordinary exception with its message; the process and other calls go on."""

import pytest

from vecmem import Engine, PanicError, VecmemError
from vecmem._vecmem import _panic


def test_it_can_be_caught(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PanicError, match="a bug in the engine: the shelf fell down") as caught:
        _panic("the shelf fell down")
    assert isinstance(caught.value, VecmemError) and isinstance(caught.value, RuntimeError)
    assert isinstance(caught.value, Exception), "so that `except Exception` catches it"
    assert "the shelf fell down" in capfd.readouterr().err, "the place in the code is in the log"
    engine.put(("a",), "k", {})
    assert engine.count(everything=True) == 1
