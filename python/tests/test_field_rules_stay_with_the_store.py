"""Field rules leave paths out of the indexes, or force them, stay with the store, and change no answer."""

import asyncio
from pathlib import Path

import pytest

from vecmem import Engine, InvalidInputError, LimitError, Store


def test_rules_are_kept_and_change_no_answer(tmp_path: Path) -> None:
    with Engine(tmp_path) as engine:
        assert engine.field_rules() == {"exclude": [], "force": []}
        for n in range(200):
            engine.put(("a",), str(n), {"kind": n % 3, "raw": {"html": f"<p>{n}"}, "user": {"id": n}})
        engine.flush()
        wanted = [engine.count(("a",), filter=test) for test in ({"kind": 1}, {"raw.html": "<p>7"}, {"user.id": 3})]
        engine.set_field_rules(exclude=["raw", "user.*"], force=("kind",))
        assert engine.field_rules() == {"exclude": ["raw", "user.*"], "force": ["kind"]}
        assert engine.stats()["fields"]["other_rules"] == 1
        assert (engine.rebuild_fields(), engine.rebuild_fields()) == (1, 0)
        fields = engine.stats()["fields"]
        assert {path["path"] for path in fields["paths"]} == {"kind", "user"} and fields["other_rules"] == 0
        found = [engine.count(("a",), filter=test) for test in ({"kind": 1}, {"raw.html": "<p>7"}, {"user.id": 3})]
        assert found == wanted == [67, 1, 1]
    with Engine(tmp_path) as engine:
        assert engine.field_rules()["force"] == ["kind"]
        engine.set_field_rules()
        assert engine.stats()["fields"]["rules"] == {"exclude": [], "force": []}


@pytest.mark.parametrize(
    ("exclude", "force"), [([""], []), (["a", "a"], []), (["a"], ["a"]), (["a.*.b"], []), ([], ["tags[]"])]
)
def test_rules_that_are_none_are_refused(engine: Engine, exclude: list[str], force: list[str]) -> None:
    with pytest.raises(InvalidInputError, match="field rules"):
        engine.set_field_rules(exclude, force)


def test_too_many_rules_are_refused(engine: Engine) -> None:
    with pytest.raises(LimitError, match="128"):
        engine.set_field_rules([str(n) for n in range(129)])
    with pytest.raises(LimitError, match="256"):
        engine.set_field_rules(force=["a" * 257])
    with pytest.raises(ValueError, match="exclude must be a sequence"):
        engine.set_field_rules("raw")


def test_a_store_has_the_same_rules() -> None:
    with Store() as store:
        store.put(("a",), "k", {"kind": "fact", "raw": "<p>"})
        store.flush()
        asyncio.run(store.aset_field_rules(exclude=["raw"]))
        assert store.field_rules() == {"exclude": ["raw"], "force": []}
        assert asyncio.run(store.arebuild_fields()) == 1
        assert [hit.key for hit in store.search(("a",), filter={"raw": "<p>"})] == ["k"]
