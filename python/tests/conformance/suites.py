"""The store suites that LangGraph publishes: which they are, where they come from, and how one is run against a store
class.

The suites are part of the source distributions on the package index. They are fetched when they are first run, checked
against the hashes below, and unpacked into ``target/conformance``, which is ignored; nothing of them is part of this
repository.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[2] / "target" / "conformance"

SECONDS_PER_TEST = int(os.environ.get("CONFORMANCE_SECONDS_PER_TEST", 30))
"""A test that takes longer has failed."""

OUTCOMES = ("hung", "passed", "skipped", "failed")
"""Of a test: later ones count for more."""

NO_TESTS_LEFT = 5
"""What pytest ends with where there was nothing to run."""


@dataclass(frozen=True)
class Distribution:
    """A source distribution, pinned."""

    package: str
    version: str
    sha256: str

    @property
    def file(self) -> Path:
        return CACHE / f"{self.package.replace('-', '_')}-{self.version}.tar.gz"

    @property
    def folder(self) -> Path:
        return CACHE / f"{self.package}-{self.version}"


CHECKPOINT = Distribution(
    "langgraph-checkpoint", "4.3.2", "fcab8468c7e965d7055e2a35c253d73a145624ef4728b150ca7c361f4afca286"
)
SQLITE = Distribution(
    "langgraph-checkpoint-sqlite", "3.1.2", "4e3f376fa6f192d6ad2a1a4643b039986f1593552ef870e9e45281575de6fbf2"
)
POSTGRES = Distribution(
    "langgraph-checkpoint-postgres", "3.2.0", "dffef0e6822d7c614019f7f2c4bdbef42859746aee2d3e6d9d9747cf3744ca90"
)


@dataclass(frozen=True)
class Suite:
    """Some test files of a distribution. ``passes`` is how many tests there are for a store that does all right."""

    distribution: Distribution
    files: tuple[str, ...]
    passes: int
    # Tests of one backend's own tables or connection pool: no other store can run them.
    left_out: tuple[str, ...] = ()


_STORE_FILES = ("tests/test_store.py", "tests/test_async_store.py")

SUITES = {
    "checkpoint": Suite(CHECKPOINT, ("tests/test_store.py",), 117),
    "sqlite": Suite(SQLITE, _STORE_FILES, 141, ("tests/test_store.py::test_vector_store_initialization",)),
    "ttl": Suite(SQLITE, ("tests/test_ttl.py",), 11),
    "postgres": Suite(
        POSTGRES, _STORE_FILES, 298, ("tests/test_async_store.py::test_abatch_uses_single_pool_checkout",)
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What a run of a suite came to. ``output`` is what pytest printed."""

    passed: int
    failed: int
    skipped: int
    output: str


class FetchError(Exception):
    """A source distribution could not be had, or is not the pinned one."""


def fetch(distribution: Distribution) -> Path:
    """The folder of the unpacked distribution, fetched if it is not there yet."""
    if distribution.folder.is_dir():
        return distribution.folder
    CACHE.mkdir(parents=True, exist_ok=True)
    if not distribution.file.is_file():
        _download(distribution)
    if (found := hashlib.sha256(distribution.file.read_bytes()).hexdigest()) != distribution.sha256:
        distribution.file.unlink()
        raise FetchError(f"{distribution.file.name} has sha256 {found}, not the pinned {distribution.sha256}")
    # Unpacked aside and renamed, so that a folder that is there is whole, even if several runs begin at once.
    with tempfile.TemporaryDirectory(dir=CACHE) as aside:
        with tarfile.open(distribution.file) as archive:
            wanted = [member for member in archive.getmembers() if member.isfile() and _is_wanted(member.name)]
            archive.extractall(aside, members=wanted, filter="data")
        try:
            next(Path(aside).iterdir()).rename(distribution.folder)
        except OSError:
            if not distribution.folder.is_dir():
                raise
    return distribution.folder


def _is_wanted(name: str) -> bool:
    parts = Path(name).parts
    return parts[1:2] == ("tests",) or parts[1:] == ("pyproject.toml",)


def _download(distribution: Distribution) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as aside:
        what = f"{distribution.package}=={distribution.version}"
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            ":all:",
            "-d",
            aside,
            what,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = list(Path(aside).glob("*.tar.gz"))
        if done.returncode or len(found) != 1:
            raise FetchError(f"{what} could not be fetched from the package index:\n{done.stdout}{done.stderr}")
        shutil.move(found[0], distribution.file)


def run(
    name: str,
    store: str,
    *,
    adapter: str | None = None,
    options: Mapping[str, str] | None = None,
    verbose: bool = False,
) -> Outcome:
    """Runs suite ``name`` against the class ``store``, written ``module:Class``, in a process of its own.

    ``adapter`` is a module that offers what ``plugin`` documents; ``options`` are more environment variables for the
    plugin.
    """
    suite = SUITES[name]
    folder = fetch(suite.distribution)
    with tempfile.TemporaryDirectory() as aside:
        progress = Path(aside) / "progress"
        environment = os.environ | {
            "CONFORMANCE_STORE": store,
            "CONFORMANCE_SUITE": "sqlite" if name == "ttl" else name,
            "CONFORMANCE_LEFT_OUT": " ".join(suite.left_out),
            "CONFORMANCE_PROGRESS": str(progress),
            "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANGSMITH_TRACING": "false",
        }
        if adapter:
            environment["CONFORMANCE_ADAPTER"] = adapter
        command = [sys.executable, "-m", "pytest", "-p", "plugin", "-q", "-p", "no:cacheprovider"]
        command += ["-o", "addopts=", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
        # A thread ends the process of a test that hangs, whatever it hangs in; the next one runs the tests behind it.
        command += [f"--timeout={SECONDS_PER_TEST}", "--timeout-method=thread"]
        command += ["--tb=short" if verbose else "--tb=line", *suite.files]
        worst: dict[str, str] = {}
        output = ""
        while True:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment | dict(options or {}),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            output += done.stdout
            before, worst = worst, _worst(progress)
            if len(worst) == len(before) or "hung" not in (worst[test] for test in worst.keys() - before.keys()):
                break
    counts = Counter(worst.values())
    # A process that ran no test, or could not, says so by its code; all tests of a later one may have been run before.
    broken = int(not worst or (done.returncode not in (0, 1) and done.returncode != NO_TESTS_LEFT))
    return Outcome(counts["passed"], counts["failed"] + counts["hung"] + broken, counts["skipped"], output)


def _worst(progress: Path) -> dict[str, str]:
    """What became of each test."""
    worst: dict[str, str] = {}
    for line in progress.read_text().splitlines() if progress.is_file() else ():
        test, outcome = json.loads(line)
        worst[test] = max(worst.get(test, "hung"), outcome, key=OUTCOMES.index)
    return worst
