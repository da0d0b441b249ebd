"""A forked child that uses its parent's engine gets a clear error, may open stores of its own, and ends without doing
harm.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from vecmem import Engine, ForkedError, LockedError
from vecmem.paging import PagingMemory
from vecmem.threads import Threads
from vecmem.ttl import Sweeper

# The parent has the engine's threads; the child only uses what it checks here.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def in_child(check: Callable[[], None]) -> None:
    """Runs `check` in a forked child that ends as a Python process does, its exit handlers included."""
    child = os.fork()
    if child == 0:
        try:
            check()
            import atexit

            atexit._run_exitfuncs()
            os._exit(0)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_every_call_says_it(path: Path) -> None:
    engine = Engine(path, dims=3)
    engine.put(("a",), "k", {"n": 1}, vector=[1, 0, 0])
    snapshot, scan = engine.snapshot(), engine.iterate(everything=True)

    def check() -> None:
        calls = [
            lambda: engine.get(("a",), "k"),
            lambda: engine.put(("a",), "k", {}),
            lambda: engine.delete(("a",), "k"),
            lambda: engine.search(("a",), [1, 0, 0]),
            lambda: engine.stats(),
            lambda: engine.flush(),
            lambda: engine.sweep(),
            lambda: engine.compact(),
            lambda: engine.check(),
            lambda: engine.snapshot(),
            lambda: engine.count(everything=True),
            lambda: snapshot.get(("a",), "k"),
        ]
        for call in calls:
            with pytest.raises(ForkedError, match="fork"):
                call()
        assert [item.key for item in scan] == ["k"], "what was fetched before is the child's own"
        engine.close()

    in_child(check)
    assert engine.get(("a",), "k").value == {"n": 1}  # type: ignore[union-attr]
    engine.put(("a",), "after", {})
    engine.close()
    with Engine(path) as again:
        assert again.count(everything=True) == 2 and again.check()["problems"] == []


def test_a_child_opens_its_own(path: Path) -> None:
    parent = Engine(path)

    def check() -> None:
        with pytest.raises(LockedError):
            Engine(path, lock_timeout=0.01)
        with Engine(path.parent / "child") as own, Engine() as temporary:
            own.put(("a",), "k", {})
            temporary.put(("a",), "k", {})

    in_child(check)
    with Engine(path.parent / "child") as own:
        assert own.count(everything=True) == 1
    parent.put(("a",), "k", {})
    parent.close()


def test_a_child_leaves_the_parents_temporary_store_alone() -> None:
    engine = Engine(durability="manual")
    engine.put(("a",), "k", {})
    in_child(engine.close)
    in_child(lambda: None)
    assert engine.path is not None and engine.path.exists()
    engine.compact()
    assert engine.count(everything=True) == 1
    engine.close()


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="a hang ends by an alarm")
def test_a_child_never_waits_for_a_thread_of_its_parent(path: Path) -> None:
    with Engine(path, durability="manual") as engine:
        engine.put_many({"namespace": ("a",), "key": f"{n:06}", "value": {"n": n}} for n in range(20_000))
        shared, done = [engine.iterate(everything=True)], threading.Event()

        def walk() -> None:
            while not done.is_set():
                if next(shared[0], None) is None:
                    shared[0] = engine.iterate(everything=True)

        def check() -> None:
            signal.alarm(30)
            for _ in range(300):
                try:
                    next(shared[0], None)
                except ForkedError:
                    return

        threads = [threading.Thread(target=walk) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(40):
                in_child(check)
        finally:
            done.set()
            for thread in threads:
                thread.join()


def test_what_the_package_locks_is_free_in_a_child() -> None:
    memory, threads = PagingMemory(), Threads()
    sweeper: Sweeper[PagingMemory] = Sweeper(memory, lambda _: 0, lambda _: 1000.0)
    owner = threading.current_thread()
    memory.keep(owner, "question", "the parent's", 100)
    assert threads.submit(lambda: 1).result() == 1
    parents = sweeper.start()

    def check() -> None:
        signal.alarm(30)
        assert memory.take(owner, "question", 100) is None and len(memory) == 0
        memory.keep(owner, "question", "the child's", 100)
        assert memory.take(owner, "question", 100) == "the child's"
        assert threads.submit(lambda: 2).result() == 2
        own = sweeper.start()
        assert own is not parents and sweeper.stop(20) and own.done()
        threads.close()

    locked, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with memory._lock, threads._lock, sweeper._lock:
            locked.set()
            forked.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(60)
    try:
        in_child(check)
    finally:
        forked.set()
        holder.join()
    assert memory.take(owner, "question", 100) == "the parent's"
    assert sweeper.stop(20) and parents.done()
    threads.close()
