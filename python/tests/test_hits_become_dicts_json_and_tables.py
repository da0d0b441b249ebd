"""``to_dict`` and ``to_dicts`` give what ``json.dumps`` and ``pandas.DataFrame`` take as it is."""

import json

import pytest

from vecmem import Engine


@pytest.fixture
def filled(engine: Engine) -> Engine:
    engine.put(("a",), "k", {"n": 1}, vector=[1, 0, 0], ttl=60)
    engine.put(("a",), "l", {"n": 2}, vector=[0, 1, 0])
    return engine


def test_a_hit(filled: Engine) -> None:
    [hit, _] = filled.search(("a",), [1, 0, 0], include_vectors=True)
    found = json.loads(json.dumps(hit.to_dict()))
    assert found == {
        "namespace": ["a"], "key": "k", "score": 1.0, "value": {"n": 1}, "created_at": hit.created_at,
        "updated_at": hit.updated_at, "expires_at": hit.expires_at, "ttl": 60.0, "version": hit.version,
        "vectors": {"": [1.0, 0.0, 0.0]},
    }  # fmt: skip
    assert hit.to_dict()["namespace"] == hit.namespace == ("a",)


def test_an_item_has_no_score(filled: Engine) -> None:
    item = filled.get(("a",), "k")
    assert item is not None and "score" not in item.to_dict() and "vectors" not in item.to_dict()


def test_changing_it_changes_nothing(filled: Engine) -> None:
    item = filled.get(("a",), "k")
    assert item is not None
    item.to_dict()["value"]["n"] = 7
    assert item.value == {"n": 1}


def test_a_result_and_columns(filled: Engine) -> None:
    rows = filled.search(("a",), [1, 0, 0]).to_dicts()
    assert [row["key"] for row in json.loads(json.dumps(rows))] == ["k", "l"]
    assert filled.search(("a",), [1, 0, 0], columns=True).to_dicts() == rows
    many = filled.search_many([[1, 0, 0], [0, 1, 0]], ("a",), limit=1, columns=True).to_dicts()
    assert [(row["query"], row["key"]) for row in many] == [(0, "k"), (1, "l")]


def test_a_table(filled: Engine) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(filled.search(("a",), [1, 0, 0]).to_dicts())
    assert list(table["key"]) == ["k", "l"] and list(table.columns)[:3] == ["namespace", "key", "score"]
