"""What the tests of the engine share: stores in directories of their own, seeds that failures print, and child
processes.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

import vecmem


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The directory of a store that does not exist yet."""
    return tmp_path / "store"


@pytest.fixture
def engine() -> Iterator[vecmem.Engine]:
    """A temporary engine for vectors of 3 numbers."""
    with vecmem.Engine(dims=3) as engine:
        yield engine


@pytest.fixture(params=range(3))
def random(request: pytest.FixtureRequest) -> Random:
    """Random numbers; ``VECMEM_SEED`` repeats a failure's."""
    seed = int(os.environ.get("VECMEM_SEED", request.param))
    print(f"VECMEM_SEED={seed}")
    return Random(seed)


@pytest.fixture
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program in a Python of its own and returns how it ended; warnings of unclosed things are shown."""

    def run(program: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-X", "dev", "-c", program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)

    return run
