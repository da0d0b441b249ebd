"""After a purge no file of the directory holds a byte of what was purged, and the receipt says what was removed."""

from pathlib import Path

import pytest

from vecmem import Engine, InvalidInputError, InvalidValueError, SnapshotGoneError


def files_with(path: Path, *texts: str) -> set[str]:
    """Names of files in which one of the texts stands, as bytes."""
    wanted = [text.encode() for text in texts]
    return {file.name for file in path.iterdir() if any(text in file.read_bytes() for text in wanted)}


def fill(engine: Engine) -> None:
    for user in ("ada", "bob"):
        items = [
            {
                "namespace": (f"user-{user}-4711", "facts"),
                "key": f"key-{user}-{n}-0815",
                "value": {"text": f"canary-{user}-{n}-2718"},
                "vector": [1.0, n, 2.0],
            }
            for n in range(50)
        ]
        engine.put_many(items)


CANARIES = ("user-ada-4711", "key-ada-", "canary-ada-")


@pytest.mark.parametrize("durability", ["sync", "periodic", "manual"])
def test_no_file_holds_it(path: Path, durability: str) -> None:
    with Engine(path, dims=3, durability=durability) as engine:
        fill(engine)
        engine.compact()
        engine.put(("user-ada-4711",), "key-ada-late", {"text": "canary-ada-late"})
        engine.delete(("user-ada-4711", "facts"), "key-ada-7-0815")
        engine.flush()
        assert len(files_with(path, *CANARIES)) >= 2, "in a segment and in the log"
        before = {file.name for file in path.iterdir()}
        receipt = engine.purge(("user-ada-4711",))
        assert (receipt["items"], receipt["scope"]) == (50, "user-ada-4711/")
        assert files_with(path, *CANARIES) == set()
        after, unlinked = {file.name for file in path.iterdir()}, set(receipt["files_unlinked"])
        # Some came into being only in between: what was in memory is flushed first.
        assert set() != before - after <= unlinked and not unlinked & after
        assert receipt["holders"]["still_held"]["files"] == []
        assert engine.count(everything=True) == 50 and engine.check()["problems"] == []
    assert files_with(path, *CANARIES) == set()
    assert files_with(path, "canary-bob-7-2718") != set()
    with Engine(path) as engine:
        assert engine.count(prefix=("user-bob-4711",)) == 50 and files_with(path, *CANARIES) == set()


def test_only_the_namespace_itself_or_only_what_is_dead(path: Path) -> None:
    with Engine(path, dims=3) as engine:
        fill(engine)
        engine.put(("user-ada-4711",), "above", {"text": "canary-above-2718"})
        assert engine.purge(("user-ada-4711",), below=False)["items"] == 1
        assert files_with(path, "canary-above-") == set() and engine.count(everything=True) == 100
        engine.delete(("user-bob-4711", "facts"), "key-bob-3-0815")
        receipt = engine.purge(("user-bob-4711",), keep_living=True)
        assert receipt["items"] == 0 and engine.count(everything=True) == 99
        assert files_with(path, "canary-bob-3-") == set() and files_with(path, "canary-bob-4-") != set()


def test_what_was_read_before_is_gone(path: Path) -> None:
    with Engine(path, dims=3) as engine:
        fill(engine)
        snapshot = engine.snapshot()
        [ended] = engine.purge(("user-ada-4711",), grace=0.01)["holders"]["ended"]
        assert ended["kind"] == "snapshot"
        with pytest.raises(SnapshotGoneError):
            snapshot.get(("user-ada-4711", "facts"), "key-ada-1-0815")


def test_bad_arguments(engine: Engine) -> None:
    for arguments in ({"grace": -1}, {"namespace": ()}, {"namespace": ("",)}):
        with pytest.raises(InvalidInputError):
            engine.purge(**{"namespace": ("a",), **arguments})
    for arguments in ({"grace": "long"}, {"namespace": "a"}):
        with pytest.raises(InvalidValueError):
            engine.purge(**{"namespace": ("a",), **arguments})
