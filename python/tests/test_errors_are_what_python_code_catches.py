"""Every error is a VecmemError and the built-in that Python code already catches; it survives pickling and says its
kind.
"""

import pickle
from pathlib import Path

import pytest

import vecmem
from vecmem import errors

ALSO = {
    "InvalidInputError": (ValueError,),
    "InvalidValueError": (ValueError, TypeError),
    "LimitError": (ValueError,),
    "ConditionFailedError": (),
    "QuotaExceededError": (),
    "BusyError": (TimeoutError,),
    "ClockSkewError": (RuntimeError,),
    "DiskFullError": (OSError,),
    "SystemLimitError": (OSError,),
    "PoisonedError": (OSError,),
    "LockedError": (BlockingIOError,),
    "OptionsDifferError": (ValueError,),
    "NotAStoreError": (FileNotFoundError, ValueError),
    "NewerFormatError": (OSError,),
    "CorruptError": (OSError,),
    "DamagedError": (OSError,),
    "IoError": (OSError,),
    "ForkedError": (RuntimeError,),
    "ClosedError": (ValueError,),
    "SnapshotGoneError": (LookupError,),
    "DeadlineExceededError": (TimeoutError,),
    "ReadOnlyError": (PermissionError,),
    "PanicError": (RuntimeError,),
}


def test_every_class_is_listed_and_exported() -> None:
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert classes - {"VecmemError"} == set(ALSO)
    assert all(getattr(vecmem, name) is getattr(errors, name) for name in classes)
    kinds = [getattr(errors, name).kind for name in ALSO]
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize("name", ALSO)
def test_it_is_also_a_built_in(name: str) -> None:
    error = getattr(errors, name)("what and why")
    assert isinstance(error, (errors.VecmemError, *ALSO[name]))
    assert all(isinstance(error, built_in) for built_in in ALSO[name])
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == str(error) == "what and why" and copy.kind == error.kind


def test_the_engine_raises_them(path: Path) -> None:
    with pytest.raises(vecmem.NotAStoreError, match="store") as missing:
        vecmem.Engine(path, create=False)
    assert missing.value.kind == "not_a_store"
    (path.parent / "full").mkdir()
    (path.parent / "full" / "note.txt").write_text("not ours")
    with pytest.raises(vecmem.NotAStoreError):
        vecmem.Engine(path.parent / "full")
    with vecmem.Engine(path, dims=3) as engine:
        with pytest.raises(vecmem.OptionsDifferError, match="dimensions") as differs:
            vecmem.Engine(path, dims=4)
        copy = pickle.loads(pickle.dumps(differs.value))
        assert (copy.option, copy.stored, copy.given) == ("dims", "3", "4")
        with pytest.raises(vecmem.ConditionFailedError):
            engine.put(("a",), "k", {}, if_version=7)
        with pytest.raises(vecmem.DeadlineExceededError):
            engine.put_many([{"namespace": ("a",), "key": str(n), "value": {}, "vector": [1, n, 0]} for n in range(9)])
            engine.search(("a",), [1, 0, 0], deadline=0.0)
    with pytest.raises(vecmem.ClosedError, match="closed"):
        engine.get(("a",), "k")


def test_a_locked_store_names_its_owner(path: Path, python) -> None:  # type: ignore[no-untyped-def]
    with vecmem.Engine(path):
        program = "import sys, vecmem\nvecmem.Engine(sys.argv[1], lock_timeout=0.05)"
        child = python(program, path)
    assert child.returncode == 1 and "vecmem.errors.LockedError" in child.stderr, child.stderr
