"""``select``, ``group_by`` and ``order_by`` of a store are those of the engine, in both forms of the call."""

import asyncio
from typing import Any

import pytest

from vecmem import InvalidInputError, InvalidValueError, Store

ADA = ("users", "ada")


def fill(store: Store) -> None:
    for number in range(30):
        text = ("tea", "cat", "rain")[number % 3]
        store.put(ADA, f"{number:02}", {"text": f"{text} {number}", "talk": number % 4, "n": {"m": -number}})


def both(store: Store, **asked: Any) -> list[Any]:
    """What both forms of the call return, which must be the same."""
    found = store.search(("users",), **asked)
    assert asyncio.run(store.asearch(("users",), **asked)) == found
    with store.snapshot() as moment:
        assert moment.search(("users",), **asked) == found
    return found


def test_a_search_has_groups(store: Store) -> None:
    fill(store)
    newest = both(store, group_by="talk", per_group=2, limit=3)
    assert [item.key for item in newest] == ["29", "25", "28", "24", "27", "23"]
    best = both(store, query="cat", group_by="talk", limit=10)
    assert sorted(item.value["talk"] for item in best) == [0, 1, 2, 3] and best[0].score is not None
    assert [item.score for item in best] == sorted((item.score for item in best), reverse=True)  # type: ignore[type-var]


def test_a_search_has_an_order(store: Store) -> None:
    fill(store)
    assert [item.key for item in both(store, order_by="n.m", limit=3)] == ["29", "28", "27"]
    assert [item.key for item in both(store, order_by="n.m", descending=True, limit=2, offset=3)] == ["03", "04"]
    assert [item.key for item in both(store, order_by="$item.key", filter={"talk": 1}, limit=2)] == ["01", "05"]
    with pytest.raises(InvalidInputError, match="order_by"):
        store.search(("users",), query="cat", order_by="n.m")


def test_a_search_selects(store: Store) -> None:
    fill(store)
    values = [item.value for item in both(store, select=["n.m"], limit=2)]
    assert values == [{"n": {"m": -29}}, {"n": {"m": -28}}]
    pages = [store.search(("users",), query="cat", select=[], limit=10, offset=offset) for offset in (0, 10, 20)]
    assert [item.value for page in pages for item in page] == [{}] * 30
    assert len({item.key for page in pages for item in page}) == 30
    assert store.search(("users",), query="cat", limit=10)[0].value != {}, "another question, another list"


def test_wrong_arguments_name_themselves(store: Store) -> None:
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"select": "n"}, InvalidValueError, "select"),
        ({"group_by": ""}, InvalidInputError, "group_by"),
        ({"per_group": 2}, InvalidInputError, "group_by"),
        ({"order_by": "a..b"}, InvalidInputError, "order_by"),
        ({"ordered_by": "a"}, TypeError, "ordered_by"),
    ]
    for arguments, error, named in wrong:
        with pytest.raises(error, match=named):
            store.search(("users",), **arguments)
