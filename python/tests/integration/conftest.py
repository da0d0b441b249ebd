"""Stores for the tests of this folder: each test gets a new one on disk, with and without an index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_embedding import DIMS, embed

import vecmem

INDEX = {"dims": DIMS, "embed": embed}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[vecmem.Store]:
    """An indexed store."""
    with vecmem.Store(tmp_path / "store", index=INDEX) as with_index:
        yield with_index


@pytest.fixture
def plain_store(tmp_path: Path) -> Iterator[vecmem.Store]:
    """A store without an index, as most people use Deep Agents."""
    with vecmem.Store(tmp_path / "plain_store") as without_index:
        yield without_index
