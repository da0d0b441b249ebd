"""``update`` changes a value as RFC 7386 says, atomically, and leaves vectors and expiry as they are."""

import threading
from typing import Any

import pytest

from vecmem import ConditionFailedError, Engine, InvalidInputError, InvalidValueError

# The examples of the RFC whose results are objects.
PATCHES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("value", "patch", "merged"), PATCHES)
def test_the_rfc(engine: Engine, value: dict[str, Any], patch: dict[str, Any], merged: dict[str, Any]) -> None:
    first = engine.put(("a",), "k", value)
    version = engine.update(("a",), "k", patch)
    item = engine.get(("a",), "k")
    assert item is not None and item.value == merged and item.version == version != first


def test_vectors_and_expiry_stay(engine: Engine) -> None:
    engine.put(("a",), "k", {"n": 2**80}, vectors=[("x", [1, 0, 0]), ("y", [0, 1, 0])], ttl=1000)
    before = engine.get(("a",), "k", include_vectors=True)
    engine.update(("a",), "k", {"m": 1})
    after = engine.get(("a",), "k", include_vectors=True)
    assert before is not None and after is not None and after.value == {"n": 2**80, "m": 1}
    assert (after.created_at, after.expires_at, after.ttl) == (before.created_at, before.expires_at, before.ttl)
    assert [(path, list(vector)) for path, vector in after.vectors] == [("x", [1, 0, 0]), ("y", [0, 1, 0])]


def test_others_may_be_given(engine: Engine) -> None:
    engine.put(("a",), "k", {}, vector=[1, 0, 0], ttl=1000)
    engine.update(("a",), "k", {}, vector=[0, 1, 0], ttl=5)
    item = engine.get(("a",), "k", include_vectors=True)
    assert item is not None and item.ttl == 5.0 and list(item.vectors[0][1]) == [0, 1, 0]
    engine.update(("a",), "k", {}, vectors=[])
    item = engine.get(("a",), "k", include_vectors=True)
    assert item is not None and item.vectors == []


def test_conditions(engine: Engine) -> None:
    version = engine.put(("a",), "k", {"n": 1})
    newer = engine.update(("a",), "k", {"n": 2}, if_version=version)
    with pytest.raises(ConditionFailedError):
        engine.update(("a",), "k", {"n": 3}, if_version=version)
    item = engine.get(("a",), "k")
    assert item is not None and (item.value, item.version) == ({"n": 2}, newer)


def test_what_is_not_there(engine: Engine) -> None:
    assert engine.update(("a",), "k", {"n": 1}) is None and (("a",), "k") not in engine
    assert engine.update(("a",), "k", {"n": 1, "m": None}, create=True) is not None
    item = engine.get(("a",), "k")
    assert item is not None and item.value == {"n": 1}
    with pytest.raises(ConditionFailedError):
        engine.update(("a",), "missing", {"n": 1}, if_version=17)


def test_updates_at_the_same_time_are_all_done(engine: Engine) -> None:
    engine.put(("a",), "k", {})

    def work(number: int) -> None:
        for step in range(25):
            engine.update(("a",), "k", {f"{number}-{step}": step})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    item = engine.get(("a",), "k")
    assert item is not None and len(item.value) == 100


def test_bad_patches(engine: Engine) -> None:
    engine.put(("a",), "k", {})
    with pytest.raises(InvalidValueError, match="patch must be a mapping such as a dict, not a list"):
        engine.update(("a",), "k", [])  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match=r"the merged value\['x'\]: a set is not JSON"):
        engine.update(("a",), "k", {"x": {1}})
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(InvalidInputError, match="contains itself"):
        engine.update(("a",), "k", endless)
    with pytest.raises(TypeError, match="unexpected keyword argument 'if_absent'"):
        engine.update(("a",), "k", {}, if_absent=True)  # type: ignore[call-arg]
