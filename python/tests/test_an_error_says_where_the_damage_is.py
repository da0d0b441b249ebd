"""An error about damaged bytes has the file and the offset as attributes, pickled too; other errors have none."""

import pickle
from pathlib import Path

import pytest

from vecmem import DamagedError, Engine, InvalidInputError


def test_file_and_offset_are_attributes(path: Path) -> None:
    with Engine(path) as engine:
        engine.put_many([{"namespace": ("a",), "key": f"{n}", "value": {"n": n}} for n in range(50)])
        engine.compact()
    [truth] = path.glob("*.truth")
    content = bytearray(truth.read_bytes())
    at = content.index(b'"n":25}')
    content[at] ^= 1
    truth.write_bytes(content)
    with Engine(path) as engine:
        with pytest.raises(DamagedError) as raised:
            engine.get(("a",), "25")
        error = raised.value
        assert error.file is not None and error.offset is not None
        assert Path(error.file).name == truth.name and error.offset <= at
        copy = pickle.loads(pickle.dumps(error))
        assert (copy.file, copy.offset, str(copy)) == (error.file, error.offset, str(error))
        with pytest.raises(InvalidInputError) as invalid:
            engine.put((), "k", {})
        assert (invalid.value.file, invalid.value.offset) == (None, None)
