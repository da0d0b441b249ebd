"""Counting, deleting, keeping and moving items by a rule: what ``Engine`` answers and refuses."""

from typing import Any

import pytest

import vecmem


def fill(engine: vecmem.Engine) -> None:
    for space, key, kind in [("a", "1", "draft"), ("a", "2", "draft"), ("b", "3", "draft"), ("b", "4", "final")]:
        engine.put((space,), key, {"kind": kind, "tags": [kind, "all"], "n": int(key)})
    engine.put(("a", "x"), "5", {"kind": "final"})


def test_counts_and_values(engine: vecmem.Engine) -> None:
    fill(engine)
    drafts = {"kind": "draft"}
    assert engine.count(prefix=("a",), filter=drafts) == 2
    assert engine.count(everything=True, filter=vecmem.Filter(drafts)) == 3
    with engine.snapshot() as moment:
        engine.delete(("a",), "1")
        assert (moment.count(everything=True, filter=drafts), engine.count(everything=True, filter=drafts)) == (3, 2)
    tags = engine.distinct("tags", everything=True, limit=2)
    assert [(tag["value"], tag["count"]) for tag in tags["values"]] == [("all", 3), ("draft", 2)]
    assert (tags["found"], tags["more"]) == (3, True)
    numbers = engine.distinct("n", ("b",), filter=drafts)["values"]
    assert [(number["value"], number["count"]) for number in numbers] == [(3, 1)]
    stats = engine.scope_stats(prefix=("a",))
    assert (stats["items"], stats["namespaces"], stats["key_bytes"]) == (2, 2, 2)


def test_deletes_in_one_go_and_in_parts(engine: vecmem.Engine) -> None:
    fill(engine)
    drafts = {"kind": "draft"}
    first = engine.delete_where(drafts, everything=True, limit=2)
    assert (first["deleted"], first["total"]) == (2, 2) and first["next"] is not None
    second = engine.delete_where(drafts, everything=True, after=first["next"])
    assert (second["deleted"], second["total"], second["next"]) == (1, 3, None)
    assert "compact" in second["remains"] and second["scope"] == "*"
    assert engine.keep_newest(1, prefix=("a",))["deleted"] == 0
    assert len(engine) == 2


def test_renames_keep_what_they_move(engine: vecmem.Engine) -> None:
    engine.put(("a", "x"), "k", {"n": 1}, vector=[1, 2, 3], created_at=5, updated_at=7, ttl=1000)
    before = engine.get(("a", "x"), "k", include_vectors=True)
    receipt = engine.rename(("a",), ("z", "y"))
    assert (receipt["moved"], receipt["from"], receipt["to"], receipt["next"]) == (1, "a/", "z/y/", None)
    after = engine.get(("z", "y", "x"), "k", include_vectors=True)
    assert before is not None and after is not None
    assert {**after.to_dict(), "namespace": None, "version": None} == {
        **before.to_dict(), "namespace": None, "version": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda engine: engine.delete_where({}, ("a",)), vecmem.InvalidInputError),
        (lambda engine: engine.delete_where({"kind": "draft"}), vecmem.InvalidInputError),
        (lambda engine: engine.delete_where({"kind": "draft"}, ("a",), limit=0), vecmem.InvalidInputError),
        (lambda engine: engine.delete_where({"kind": "draft"}, ("a",), limit=2_000_000), vecmem.LimitError),
        (lambda engine: engine.delete_where({"kind": "draft"}, ("a",), after="x"), vecmem.InvalidInputError),
        (lambda engine: engine.delete_where({"kind": "draft"}, ("a",), filter={}), TypeError),
        (lambda engine: engine.delete_where(7, ("a",)), vecmem.InvalidInputError),
        (lambda engine: engine.keep_newest(0, ("a",)), vecmem.InvalidInputError),
        (lambda engine: engine.keep_newest(-1, ("a",)), vecmem.InvalidInputError),
        (lambda engine: engine.rename(("a",), ("a", "b")), vecmem.InvalidInputError),
        (lambda engine: engine.rename(("a",), ("b",)), vecmem.ConditionFailedError),
        (lambda engine: engine.rename(("a",), ()), vecmem.InvalidInputError),
        (lambda engine: engine.distinct("", ("a",)), vecmem.InvalidInputError),
        (lambda engine: engine.distinct("n", ("a",), limit=0), vecmem.InvalidInputError),
        (lambda engine: engine.count(("a",), merge=True), TypeError),
    ],
)
def test_bad_rules_are_refused(engine: vecmem.Engine, call: Any, error: type[Exception]) -> None:
    fill(engine)
    with pytest.raises(error):
        call(engine)
    assert len(engine) == 5
