#!/usr/bin/env python3
"""Tests what vecmem promises from the outside: kills, damaged files, a full disk, two processes, bad input.

It needs the installed package `vecmem`, numpy and the standard library, and knows nothing of the engine's files but
that they are files. It prints a table, promise -> cycles -> violations; its status is 1 if there was a violation.

    python scripts/blackbox.py                     # about a minute
    python scripts/blackbox.py --kills 500 --flips 20000 --damages 2000

A violation says what to run again. `--seed` repeats a run.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import vecmem

DIMS = 8
# Files that hold nothing: the lock, and zeros that deletes use on a full disk.
WITHOUT_CONTENT = {"LOCK", "reserve"}


class Row:
    """One line of the table."""

    def __init__(self, promise: str) -> None:
        self.promise = promise
        self.cycles = 0
        self.violations: list[str] = []
        self.note = ""

    def check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.violations.append(otherwise)


def operation(seed: int, number: int) -> dict[str, dict[str, Any] | None]:
    """What operation `number` of a process writes: key -> value, or None for a delete. Several keys are one batch."""
    draw = random.Random(f"{seed}/{number}")
    count = draw.randint(2, 5) if draw.random() < 0.3 else 1
    keys = {f"k{draw.randrange(40)}" for _ in range(count)}
    pad = "x" * draw.choice([0, 50, 2_000, 70_000])
    return {key: {"n": number, "seed": seed, "pad": pad} if draw.random() < 0.8 else None for key in sorted(keys)}


def places(key: str) -> tuple[str, ...]:
    """Keys of one batch lie in several namespaces."""
    return ("kills", str(int(key[1:]) % 3))


def write_until_killed(path: str, durability: str, seed: int) -> None:
    """The other process: says what it begins, and what has been acknowledged."""
    engine = vecmem.Engine(path, dims=DIMS, durability=durability)  # type: ignore[arg-type]
    number = 0
    while True:
        print("begun", number, flush=True)
        vector = np.full(DIMS, 1 + number, np.float32)
        writes = operation(seed, number).items()
        deletes = [vecmem.Delete(places(key), key) for key, value in writes if value is None]
        puts = [vecmem.Put(places(key), key, value, vector=vector) for key, value in writes if value is not None]
        engine.write([*deletes, *puts])
        print("acknowledged", number, flush=True)
        if number % 60 == 59:
            engine.flush()
        number += 1


def said_by(process: "subprocess.Popen[str]", lines: int) -> tuple[int, int]:
    """Kills the process after some lines; how many operations it had begun, and how many were acknowledged."""
    counts = {"begun": 0, "acknowledged": 0}
    assert process.stdout is not None
    for heard, line in enumerate(process.stdout, 1):
        word, _, number = line.partition(" ")
        if line.endswith("\n"):
            counts[word] = int(number) + 1
        if heard == lines:
            process.send_signal(signal.SIGKILL)
    process.wait()
    return counts["begun"], counts["acknowledged"]


def kills(work: Path, cycles: int, seed: int) -> Iterator[Row]:
    draw = random.Random(seed)
    for durability in ("sync", "periodic"):
        row = Row(f"kill -9 loses no acknowledged write, no half of a batch ({durability})")
        path, state = work / f"kills-{durability}", dict[str, dict[str, Any]]()
        for cycle in range(cycles):
            own = seed * 1_000_003 + cycle
            command = [sys.executable, __file__, "--write", str(path), durability, str(own)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                begun, acknowledged = said_by(process, draw.randint(1, 120))
            with vecmem.Engine(path, dims=DIMS) as engine:
                there = {item.key: item.value for item in engine.iterate(prefix=("kills",))}
                problems = engine.check()["problems"]
            wanted = [dict(state)]
            for number in range(begun):
                state |= {key: value for key, value in operation(own, number).items() if value is not None}
                for key in [key for key, value in operation(own, number).items() if value is None]:
                    state.pop(key, None)
                wanted = [*wanted, dict(state)][-1 if number < acknowledged else 0 :]
            again = f"seed {seed}, kill {cycle} under {durability}"
            row.check(there in wanted, f"{again}: {acknowledged} of {begun} operations acknowledged, others are there")
            row.check(not problems, f"{again}: {problems}")
            state, row.cycles = there, row.cycles + 1
        yield row


def build(path: Path) -> None:
    """A small store with files of each kind."""
    numbers = np.random.default_rng(1)
    with vecmem.Engine(path, dims=DIMS) as engine:
        for number in range(300):
            pad = "y" * (70_000 if number % 60 == 0 else 40)
            value = {"n": number, "kind": ("fact", "taste")[number % 2], "pad": pad}
            vector = numbers.standard_normal(DIMS).astype(np.float32)
            engine.put(("users", str(number % 7)), f"k{number}", value, vector=vector)
            if number in (150, 250):
                engine.flush()
            if number == 200:
                engine.compact()
        engine.build_graph(everything=True)
        for number in range(0, 300, 9):
            engine.delete(("users", str(number % 7)), f"k{number}")
        engine.put(("users", "last"), "last", {"n": 1_000})


def probes(engine: vecmem.Engine) -> list[Callable[[], Any]]:
    vector = np.linspace(-1, 1, DIMS, dtype=np.float32)

    def search(part: int) -> Any:
        found = engine.search(("users", str(part)), vector, limit=5, exact=True)
        return [(hit.key, hit.score, hit.value) for hit in found]

    every = [lambda part=part: search(part) for part in range(7)]
    every += [lambda: engine.count(everything=True), lambda: engine.list_namespaces()]
    every += [lambda number=n: engine.get(("users", str(number % 7)), f"k{number}") for n in range(0, 300, 4)]
    every += [lambda: [(item.key, item.value) for item in engine.iterate(everything=True)]]
    return every


def answers(path: Path) -> list[Any]:
    """What every probe answers; an error of vecmem is an answer of its own."""

    def ask(probe: Callable[[], Any]) -> Any:
        try:
            return json.dumps(probe(), default=lambda item: [item.key, item.value_json, item.version])
        except vecmem.VecmemError as error:
            return error

    try:
        with contextlib.closing(vecmem.Engine(path, dims=DIMS, create=False)) as engine:
            return [ask(probe) for probe in probes(engine)]
    except vecmem.VecmemError as error:
        return [error]


def flip(file: Path, draw: random.Random) -> str:
    at, bytes_ = draw.randrange(8 * file.stat().st_size), bytearray(file.read_bytes())
    bytes_[at // 8] ^= 1 << at % 8
    file.write_bytes(bytes_)
    return f"bit {at} of {file.name} flipped"


def mutilate(file: Path, draw: random.Random) -> str:
    how, size = draw.choice(["cut", "removed", "zeroed", "longer"]), file.stat().st_size
    if how == "cut":
        os.truncate(file, draw.randrange(size))
    elif how == "removed":
        file.unlink()
    elif how == "zeroed":
        file.write_bytes(bytes(size))
    else:
        with file.open("ab") as end:
            end.write(draw.randbytes(100))
    return f"{file.name} {how}"


def damage_many(work: str, kind: str, cycles: int, seed: int) -> None:
    """The other process: damages copies of a store, and prints what came of each as JSON."""
    base, copy = Path(work) / "base", Path(work) / "copy"
    intact, draw = answers(base), random.Random(seed)
    for _ in range(cycles):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(base, copy)
        files = [file for file in sorted(copy.iterdir()) if file.name not in WITHOUT_CONTENT and file.stat().st_size]
        what = (flip if kind == "flips" else mutilate)(draw.choice(files), draw)
        print(json.dumps({"what": what}), flush=True)
        found = answers(copy)
        errors = [answer for answer in found if isinstance(answer, vecmem.VecmemError)]
        wrong = len(found) == len(intact) and any(
            one != other for one, other in zip(found, intact, strict=True) if not isinstance(one, vecmem.VecmemError)
        )
        nameless = [str(error) for error in errors if not isinstance(error, vecmem.NotAStoreError) and not error.file]
        print(json.dumps({"named": bool(errors), "wrong": wrong, "nameless": nameless[:1]}), flush=True)


def damages(work: Path, kind: str, cycles: int, seed: int) -> Row:
    row = Row("a flipped bit is named or harmless" if kind == "flips" else "a cut, lost, zeroed or longer file is too")
    if not (work / "base").exists():
        build(work / "base")
    command = [sys.executable, __file__, "--damage", str(work), kind, str(cycles), str(seed)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    what, named = "", 0
    for line in map(json.loads, run.stdout.splitlines()):
        what = line.get("what", what)
        if "named" in line:
            row.cycles, named = row.cycles + 1, named + line["named"]
            row.check(not line["wrong"], f"seed {seed}, {what}: a wrong answer without an error")
            row.check(not line["nameless"], f"seed {seed}, {what}: the error names no file: {line['nameless']}")
    row.check(run.returncode == 0, f"seed {seed}, {what}: the process ended with {run.returncode}: {run.stderr[-500:]}")
    row.note = f"{named} named, {row.cycles - named} harmless"
    return row


def hold(path: str) -> None:
    """The other process: holds the store until it is killed."""
    engine = vecmem.Engine(path, dims=DIMS)
    engine.put(("held",), "k", {})
    print("open", flush=True)
    signal.pause()
    engine.close()


def two_processes(work: Path, cycles: int) -> Row:
    row = Row("a second process is refused, and let in once the first is killed")
    path = work / "held"
    for cycle in range(cycles):
        command = [sys.executable, __file__, "--hold", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None and holder.stdout.readline() == "open\n"
            with contextlib.suppress(vecmem.LockedError):
                vecmem.Engine(path, dims=DIMS, lock_timeout=0).close()
                row.check(False, f"cycle {cycle}: a second process came in")
            holder.kill()
        with vecmem.Engine(path, dims=DIMS, lock_timeout=0) as engine:
            row.check(engine.get(("held",), "k") is not None, f"cycle {cycle}: the item is gone")
        row.cycles += 1
    return row


def bad_input() -> Row:
    row = Row("bad input is refused and changes nothing")
    deep: Any = {}
    for _ in range(200):
        deep = {"a": deep}
    good = [1.0] * DIMS
    vectors: list[Any] = [[], [1.0], [1.0] * (DIMS + 1), "ab"]
    vectors += [[number] * DIMS for number in (float("nan"), float("inf"), 1e30)]
    with vecmem.Engine(dims=DIMS) as engine:
        engine.put(("a",), "k", {"n": 1}, vector=good)
        before = list(engine.iterate(everything=True))
        calls: list[Callable[[], Any]] = [lambda v=v: engine.put(("a",), "k", {}, vector=v) for v in vectors]
        calls += [lambda v=v: engine.search(("a",), v) for v in vectors]
        calls += [lambda n=n: engine.put(n, "k", {}) for n in ((), ("",), ("a" * 5_000,), ("a",) * 65, ("\ud800",))]
        calls += [lambda v=v: engine.put(("a",), "k", v) for v in ([1], deep, {"a": object()}, {"a": float("nan")})]
        filters: list[Any] = [{"n": {"$like": 1}}, {"$or": {}}, {"n": {"$gt": {}}}, deep, "n = 1", {"n": {"$in": 3}}]
        calls += [lambda f=f: engine.search(("a",), good, filter=f) for f in filters]
        calls += [lambda: engine.put(("a",), "k" * (2 << 20), {}), lambda: engine.search(("a",), good, limit=-1)]
        calls += [lambda: engine.put_many([vecmem.Put(("a",), "new", {}), vecmem.Put(("a",), "k", {}, vector=[1.0])])]
        for number, call in enumerate(calls):
            try:
                call()
                row.check(False, f"call {number} of the bad ones was taken")
            except (ValueError, TypeError, OverflowError):
                pass
            row.cycles += 1
        row.check(list(engine.iterate(everything=True)) == before, "bad input has changed the store")
    return row


def full_disk(work: Path, mib: int) -> Row:
    row = Row("a full disk takes reads and deletes, and loses nothing")
    if not mib:
        row.note = "left out"
        return row
    place = work / "full"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        row.note = "skipped: no tmpfs can be mounted here"
        return row
    try:
        keys = list[str]()
        with vecmem.Engine(place / "store", dims=DIMS) as engine:
            with contextlib.suppress(vecmem.DiskFullError, vecmem.BusyError):
                for number in range(1_000_000):
                    engine.put(("full",), f"k{number}", {"pad": "z" * 20_000}, vector=[1.0] * DIMS)
                    keys.append(f"k{number}")
            row.check(all(engine.get(("full",), key) for key in keys[::7]), "a read fails")
            for key in keys[: len(keys) // 2]:
                row.check(engine.delete(("full",), key), f"{key} was not there to be deleted")
                row.cycles += 1
        with vecmem.Engine(place / "store", dims=DIMS) as engine:
            there = {item.key for item in engine.iterate(("full",))}
            row.check(there == set(keys[len(keys) // 2 :]), "after the reopen other items are there")
            row.check(engine.check()["problems"] == [], "check finds problems")
    except vecmem.VecmemError as error:
        row.check(False, f"{type(error).__name__}: {error}")
    finally:
        subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=40, help="of each durability")
    parser.add_argument("--flips", type=int, default=400, help="of single bits")
    parser.add_argument("--damages", type=int, default=150, help="of whole files")
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--disk-mib", type=int, default=96, help="size of the full disk; 0 leaves it out")
    others = {"--write": (3, write_until_killed), "--damage": (4, damage_many), "--hold": (1, hold)}
    for name, (count, _) in others.items():
        parser.add_argument(name, nargs=count, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name, (_, job) in others.items():
        if given := getattr(options, name[2:]):
            job(*[int(word) if word.isdigit() else word for word in given])  # type: ignore[operator]
            return 0
    with tempfile.TemporaryDirectory(prefix="vecmem-blackbox-") as folder:
        work = Path(folder)
        rows = list(kills(work, options.kills, options.seed))
        rows.append(damages(work, "flips", options.flips, options.seed))
        rows.append(damages(work, "files", options.damages, options.seed))
        rows += [two_processes(work, options.processes), bad_input(), full_disk(work, options.disk_mib)]
    print(f"{'promise':<72}{'cycles':>8}{'violations':>12}")
    for row in rows:
        print(f"{row.promise:<72}{row.cycles:>8}{len(row.violations):>12}  {row.note}".rstrip())
    violations = [violation for row in rows for violation in row.violations]
    print("\n".join(violations[:20]))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
