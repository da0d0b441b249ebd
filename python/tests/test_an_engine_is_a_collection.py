"""``len``, ``in`` and iteration of engines and snapshots, and deletes of many."""

import pytest

from vecmem import Engine, InvalidValueError


@pytest.fixture
def filled(engine: Engine) -> Engine:
    engine.put_many({"namespace": (label,), "key": key, "value": {"k": key}} for label in "ba" for key in "yx")
    return engine


def test_len_and_in(filled: Engine) -> None:
    assert len(filled) == 4 and (("a",), "x") in filled and (["b"], "y") in filled
    assert (("a",), "z") not in filled and (("c",), "x") not in filled
    with pytest.raises(InvalidValueError, match=r"addresses must be \(namespace, key\) pairs"):
        "x" in filled  # type: ignore[operator]  # noqa: B015


def test_an_empty_one_is_true(engine: Engine) -> None:
    assert engine and len(engine) == 0 and list(engine) == []


def test_iteration_is_in_order_and_of_one_moment(filled: Engine) -> None:
    items = iter(filled)
    filled.delete_everything()
    assert [(*item.namespace, item.key) for item in items] == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    assert list(filled) == []


def test_a_snapshot_too(filled: Engine) -> None:
    with filled.snapshot() as snapshot:
        filled.delete(("a",), "x")
        assert len(snapshot) == 4 and (("a",), "x") in snapshot and len(list(snapshot)) == 4
    assert len(filled) == 3


def test_expired_items_are_not_in_it(engine: Engine) -> None:
    engine.put(("a",), "k", {}, updated_at=1, created_at=1, ttl=1e-6)
    assert len(engine) == 0 and (("a",), "k") not in engine and list(engine) == []


def test_many_are_deleted_at_once(filled: Engine) -> None:
    assert filled.delete_many([(("a",), "x"), (("a",), "z"), (("b",), "y")]) == [True, False, True]
    assert [(*item.namespace, item.key) for item in filled] == [("a", "y"), ("b", "x")]
    with pytest.raises(InvalidValueError):
        filled.delete_many([(("a",), "y"), 7])  # type: ignore[list-item]
    assert len(filled) == 2, "all or none"
