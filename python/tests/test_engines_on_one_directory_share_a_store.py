"""Engines on one directory see each other's writes, and the store stays open until the last of them is closed or
collected.
"""

import gc
import os
import threading
import weakref
from pathlib import Path

import pytest

from vecmem import ClosedError, Engine


def test_the_last_one_closes(path: Path, python) -> None:  # type: ignore[no-untyped-def]
    first, second = Engine(path), Engine(path)
    third = Engine(os.fsencode(path).decode())
    first.put(("a",), "k", {"n": 1})
    first.close()
    first.close()
    with pytest.raises(ClosedError, match="the engine has been closed"):
        first.get(("a",), "k")
    with pytest.raises(ClosedError), first:
        pass
    assert second.get(("a",), "k").value == {"n": 1}  # type: ignore[union-attr]
    second.close()
    del third
    gc.collect()
    child = python("import sys, vecmem; print(vecmem.Engine(sys.argv[1], lock_timeout=0).count(everything=True))", path)
    assert child.stdout == "1\n", child.stderr


def test_a_symbolic_link_is_the_same_directory(path: Path) -> None:
    with Engine(path) as engine:
        link = path.parent / "link"
        link.symlink_to(path)
        with Engine(link) as other:
            other.put(("a",), "k", {})
        assert engine.count(everything=True) == 1


def test_opening_and_closing_race(path: Path) -> None:
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(100):
                with Engine(path, durability="manual") as engine:
                    engine.put((name,), str(number), {})
                    assert engine.get((name,), str(number)) is not None
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"n{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with Engine(path, durability="manual") as engine:
        assert engine.count(everything=True) == 800


def test_objects_can_be_weakly_referenced(engine: Engine) -> None:
    engine.put(("a",), "k", {}, vector=[1, 0, 0])
    things = [
        engine,
        engine.snapshot(),
        engine.get(("a",), "k"),
        engine.search(("a",), [1, 0, 0])[0],
        engine.iterate(("a",)),
    ]
    assert all(weakref.ref(thing)() is thing for thing in things)
