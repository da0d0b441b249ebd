"""The wheel, in an environment with NumPy and nothing else: it serves every Python from 3.10 on, the engine works, and
``vecmem.Store`` says what it needs."""

import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy
import pytest

PACKAGE = Path(__file__).parents[1]

PROGRAM = """
import importlib.util, sys
import vecmem

assert vecmem.__file__.startswith(sys.prefix), vecmem.__file__
assert all(importlib.util.find_spec(name) is None for name in ("langgraph", "typing_extensions", "pytest"))
with vecmem.Engine(sys.argv[1], dims=2) as engine:
    engine.put(("a",), "k", {"n": 2**80}, vector=[1.0, 0.0])
with vecmem.Engine(sys.argv[1]) as engine:
    [hit] = engine.search(("a",), [1.0, 0.0])
    assert (hit.key, hit.value, hit.score) == ("k", {"n": 2**80}, 1.0)
assert not {"Store", "migrate"} & {*dir(vecmem), *vecmem.__all__}
exec("from vecmem import *", names := {})
assert names["Engine"] is vecmem.Engine and all(hasattr(vecmem, name) for name in dir(vecmem))
try:
    vecmem.Store
except ImportError as error:
    print(error)
"""


def run(*command: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, of the release build that is there already."""
    maturin = shutil.which("maturin") or pytest.skip("there is no maturin to build the wheel with")
    folder = tmp_path_factory.mktemp("wheel")
    run(maturin, "build", "--quiet", "--release", "-m", PACKAGE / "Cargo.toml", "-i", sys.executable, "--out", folder)
    [built] = folder.glob("*.whl")
    return built


def test_its_name_says_any_python_from_3_10_on(wheel: Path) -> None:
    assert re.fullmatch(r"vecmem-[\d.]+-cp310-abi3-\w+\.whl", wheel.name), wheel.name


def test_it_works_with_numpy_alone(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "environment", symlinks=True)
    python = tmp_path / "environment" / "bin" / "python"
    installed = Path(numpy.__file__).parents[1]
    [packages] = (tmp_path / "environment").glob("lib/python*/site-packages")
    for name in ("numpy", "numpy.libs"):
        if (installed / name).exists():
            (packages / name).symlink_to(installed / name)
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    assert run(python, "-I", "-c", PROGRAM, tmp_path / "store") == (
        'vecmem.Store needs LangGraph: pip install "vecmem[langgraph]"\n'
    )
