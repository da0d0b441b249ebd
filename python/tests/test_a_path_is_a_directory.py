"""A URL or a ``~`` as the path of a store is an error that says what to write."""

import os
from pathlib import Path

import pytest

from vecmem import Engine, InvalidInputError, salvage


@pytest.mark.parametrize("url", ["sqlite:///memories.db", "postgresql://localhost/x", "file:///var/x"])
def test_a_url(url: str) -> None:
    with pytest.raises(InvalidInputError, match="path is a directory, not a URL: write the path alone"):
        Engine(url)


def test_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("~/memories", Path("~/memories"), "~ada"):
        with pytest.raises(InvalidInputError, match=r"write os.path.expanduser\("):
            Engine(path)
    with pytest.raises(InvalidInputError, match="nothing expands the ~"):
        salvage("~/memories", tmp_path / "new")
    assert os.listdir(tmp_path) == []
    with Engine("./~") as engine:
        assert len(engine) == 0
