"""Ctrl-C ends every long call within 0.2 seconds, and each calls ``on_progress`` at least twice a second."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy
import pytest

import vecmem
from vecmem import Engine

SECONDS = 0.2
"""Between the signal and the exception, beside what a busy machine takes to wake a thread."""

SLACK = 0.15

CALLS = {
    "search_many": "engine.search_many(numpy.tile(rows[:1000], (50, 1)), ('a',), exact=True, on_progress=tell)",
    "build_graph": "engine.build_graph(('a',), on_progress=tell)",
    "compact": "engine.compact(on_progress=tell)",
    "import_items": "engine.import_items(endless(), on_progress=tell)",
    "check": "engine.check(on_progress=tell)",
    "sweep": "engine.sweep(on_progress=tell)",
    "salvage": "vecmem.salvage(old(), home + '/new', on_progress=tell)",
    "backup": "engine.backup(home + '/copy', on_progress=tell)",
    "restore": "vecmem.restore(copied(), home + '/new', on_progress=tell)",
    "delete_namespace": "engine.delete_namespace(('a',), on_progress=tell)",
    "delete_everything": "engine.delete_everything(on_progress=tell)",
}

PROGRAM = """
import atexit, itertools, shutil, signal, sys, tempfile, time
import numpy, vecmem

# A process that was started in the background ignores the signal, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
rows = numpy.random.default_rng(7).normal(size=(20_000, 256)).astype(numpy.float32)
engine = vecmem.Engine(dims=256, sweep_every=None)
for half in (rows[:10_000], rows[10_000:]):
    engine.import_items(vecmem.Put(("a",), str(n), {}, vector=row) for n, row in enumerate(half))
    engine.write([vecmem.Delete(("a",), str(n)) for n in range(0, 10_000, 2)])

def endless():
    for n in itertools.count():
        yield vecmem.Put(("b",), str(n), {}, vector=rows[n % len(rows)])

home = tempfile.mkdtemp()
atexit.register(shutil.rmtree, home, True)

def old():
    with vecmem.Engine(home + "/old", dims=256) as old:
        old.import_items(vecmem.Put(("a",), str(n), {}, vector=row) for n, row in enumerate(rows))
    return home + "/old"

def copied():
    with vecmem.Engine(old()) as old_engine:
        old_engine.backup(home + "/copy")
    return home + "/copy"

sent = []

def tell(*progress):
    if not sent:
        sent.append(time.monotonic())
        signal.raise_signal(signal.SIGINT)

try:
    CALL
    print("ended before it was interrupted")
except KeyboardInterrupt:
    print(time.monotonic() - sent[0])
engine.put(("c",), "k", {})
engine.close()
"""


@pytest.mark.parametrize("call", CALLS)
def test_it_ends_the_call(call: str) -> None:
    program = PROGRAM.replace("CALL", CALLS[call])
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout) <= SECONDS + SLACK


SIGNALLED = PROGRAM.replace("        signal.raise_signal(signal.SIGINT)\n", "        print('begun', flush=True)\n")
SIGNALLED = SIGNALLED.replace("CALL", CALLS["search_many"])


def test_a_signal_from_outside_ends_it_too() -> None:
    child = subprocess.Popen([sys.executable, "-c", SIGNALLED], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "begun\n"
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        child.stdout.readline()
        assert time.monotonic() - sent <= SECONDS + SLACK
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.wait()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Any:
    rows = numpy.random.default_rng(7).normal(size=(20_000, 256)).astype(numpy.float32)
    with Engine(tmp_path_factory.mktemp("large") / "store", dims=256) as engine:
        engine.import_items(
            {"namespace": ("a",), "key": str(n), "value": {}, "vector": row} for n, row in enumerate(rows)
        )
        yield engine, rows


def gaps_of(call: Any) -> tuple[list[tuple[Any, ...]], float]:
    """What ``on_progress`` was told, and the longest time without it."""
    told: list[tuple[Any, ...]] = []
    times = [time.monotonic()]

    def tell(*progress: Any) -> None:
        told.append(progress)
        times.append(time.monotonic())

    call(tell)
    times.append(time.monotonic())
    return told, max(later - earlier for earlier, later in zip(times, times[1:], strict=False))


def test_progress_of_a_search(large: Any) -> None:
    engine, rows = large
    queries = numpy.tile(rows[:1000], (3, 1))
    told, gap = gaps_of(lambda tell: engine.search_many(queries, ("a",), exact=True, on_progress=tell))
    assert gap <= 0.5 + SLACK and told[-1] == (3000, 3000) and told == sorted(told)


def test_progress_of_a_graph(large: Any) -> None:
    engine, _ = large
    told, gap = gaps_of(lambda tell: engine.build_graph(everything=True, on_progress=tell))
    assert gap <= 0.5 + SLACK and {stage for stage, _, _ in told} <= {"waiting", "graph"} and told[-1][0] == "graph"


def test_progress_of_a_compaction(large: Any) -> None:
    engine, _ = large
    engine.delete_many((("a",), str(n)) for n in range(0, 20_000, 2))
    told, gap = gaps_of(lambda tell: engine.compact(on_progress=tell))
    assert gap <= 0.5 + SLACK and told
    assert all(total is None or done <= total for stage, done, total in told if stage == "merge")


def test_progress_of_a_check(large: Any) -> None:
    engine, _ = large
    told, gap = gaps_of(lambda tell: engine.check(on_progress=tell))
    assert gap <= 0.5 + SLACK and told[-1][0] == "check" and told[-1][1] > 0


def test_progress_of_a_backup_and_of_its_restore(large: Any, tmp_path: Path) -> None:
    engine, _ = large
    told, gap = gaps_of(lambda tell: engine.backup(tmp_path / "copy", on_progress=tell))
    assert gap <= 0.5 + SLACK and told[-1][0] == "backup" and told[-1][1] > 0
    told, gap = gaps_of(lambda tell: vecmem.restore(tmp_path / "copy", tmp_path / "new", on_progress=tell))
    assert gap <= 0.5 + SLACK and told and told[-1][1] > 0


def test_progress_of_an_import_that_waits_for_its_items(path: Path) -> None:
    def slow() -> Any:
        for n in range(3):
            yield {"namespace": ("a",), "key": str(n), "value": {}}

    with Engine(path) as engine:
        told, gap = gaps_of(lambda tell: engine.import_items(slow(), on_progress=tell))
    assert told == [(3, 3, 0)] and gap <= 0.5 + SLACK


@pytest.mark.parametrize(
    "name",
    ["compact", "build_graph", "search_many", "flush", "import_items", "check", "sweep", "delete_namespace"],
)
def test_an_exception_of_the_callback_ends_the_call(large: Any, name: str) -> None:
    class Enough(Exception):
        pass

    def tell(*progress: Any) -> None:
        raise Enough

    engine, rows = large
    arguments: dict[str, tuple[Any, ...]] = {
        "compact": (), "build_graph": (("a",),), "search_many": (rows[:10], ("a",)), "flush": (),
        "check": (), "sweep": (), "delete_namespace": (("nobody",),),
        "import_items": ([{"namespace": ("d",), "key": "k", "value": {}}],),
    }  # fmt: skip
    with pytest.raises(Enough):
        getattr(engine, name)(*arguments[name], on_progress=tell)
