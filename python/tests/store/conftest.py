"""Stores for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from embeddings import index

import vecmem


@pytest.fixture
def store(tmp_path: Path) -> Iterator[vecmem.Store]:
    """A store on disk that embeds the field ``text``."""
    with vecmem.Store(tmp_path / "store", index=index(fields=["text"])) as opened:
        yield opened


@pytest.fixture
def plain_store(tmp_path: Path) -> Iterator[vecmem.Store]:
    """A store on disk without an index."""
    with vecmem.Store(tmp_path / "plain_store") as opened:
        yield opened
