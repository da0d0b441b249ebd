"""Searches and lists of an engine, and of its snapshots, group, order and select as they were asked to."""

import copy
import itertools
import pickle
from random import Random
from typing import Any

import pytest

from vecmem import Engine, HitGroup, InvalidInputError, InvalidValueError, LimitError, SearchResult

NOTES = ("notes",)


def fill(engine: Engine, random: Random, count: int = 300) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = {}
    for number in range(count):
        kind: Any = random.choice([None, True, 1, 1.5, 2**53 + 1, "a", "b", [1], {"x": 1}])
        values[f"{number:03}"] = {"kind": kind, "of": {"n": number % 40}, "text": "t" * random.randrange(30)}
    vectors = [[random.gauss(0, 1) for _ in range(3)] for _ in values]
    engine.put_many(
        {"namespace": NOTES, "key": key, "value": value, "vectors": [("text", vector), ("title", vector[::-1])]}
        for (key, value), vector in zip(values.items(), vectors, strict=True)
    )
    return values


def rank(value: Any) -> Any:
    """A key that sorts values as orders do."""
    kinds: list[Any] = [type(None), bool, (int, float), str, list, dict]
    kind = next(place for place, one in enumerate(kinds) if isinstance(value, one))
    return kind, value if kind in (1, 2, 3) else 0


def test_groups_are_those_of_the_whole_list(random: Random) -> None:
    with Engine(dims=3) as engine:
        values = fill(engine, random)
        with engine.snapshot() as snapshot:
            for reads, vector in itertools.product((engine, snapshot), ([1, 0, 0], None)):
                everything = reads.search(NOTES, vector, limit=1000, exact=True)
                expected: dict[Any, list[str]] = {}
                for hit in everything:
                    kind = values[hit.key]["kind"]
                    if not isinstance(kind, (list, dict)):
                        expected.setdefault((type(kind) is bool, kind), []).append(hit.key)
                found = reads.search(NOTES, vector, limit=4, group_by="kind", per_group=3, exact=True)
                assert isinstance(found.groups[0], HitGroup)
                pairs = [(group.value, [hit.key for hit in group.hits]) for group in found.groups]
                assert pairs == [(kind, keys[:3]) for (_, kind), keys in list(expected.items())[:4]]
                assert [hit for group in found.groups for hit in group.hits] == found
        assert engine.search(NOTES, [1, 0, 0], group_by="kind").groups[0].hits[0].key
        groups = engine.list(everything=True, group_by="$item.namespace", per_group=2).groups
        assert [(group.value, len(group.hits)) for group in groups] == [(["notes"], 2)]
        assert pickle.loads(pickle.dumps(found)).groups == copy.copy(found).groups == found.groups


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("order", ["kind", "of.n", "missing", "$item.key", "$item.created_at"])
def test_pages_of_an_order_are_the_sorted_list(random: Random, order: str, descending: bool) -> None:
    with Engine(dims=3) as engine:
        fill(engine, random)

        def place(item: Any) -> Any:
            if order.startswith("$item."):
                return getattr(item, order.removeprefix("$item."))
            value = item.value
            for name in order.split("."):
                value = value.get(name) if isinstance(value, dict) else None
            return rank(value)

        expected = sorted(engine.iterate(NOTES), key=lambda item: item.key)
        expected.sort(key=place, reverse=descending)  # equal ones stay in the order of keys
        with engine.snapshot() as snapshot:
            engine.delete_everything()
            found, after = [], None
            while True:
                page = snapshot.list(NOTES, order_by=order, descending=descending, limit=41, after=after)
                found += page
                after = page.next
                if after is None:
                    break
            assert [item.key for item in found] == [item.key for item in expected]


def test_selected_fields_are_what_values_have(random: Random) -> None:
    with Engine(dims=3) as engine:
        values = fill(engine, random, 20)
        keys = sorted(values)
        addresses = [(NOTES, key) for key in keys]
        for select, expected in [
            ([], lambda value: {}),
            (["of.n"], lambda value: {"of": {"n": value["of"]["n"]}}),
            (("kind", "none"), lambda value: {"kind": value["kind"]}),
            (None, lambda value: value),
        ]:
            reads = [
                engine.search(NOTES, [1, 0, 0], limit=99, select=select),
                engine.list(NOTES, limit=99, select=select),
                engine.iterate(NOTES, select=select),
                engine.get_many(addresses, select=select),
                [engine.get(NOTES, key, select=select) for key in keys],
                engine.listing(NOTES, select=select).page(0, 99),
                engine.search_many([[1, 0, 0]], NOTES, limit=99, select=select)[0],
            ]
            for items in reads:
                assert {item.key: item.value for item in items if item} == {
                    key: expected(value) for key, value in values.items()
                }


def test_a_vector_field_is_the_one_that_counts() -> None:
    with Engine(dims=2, metric="dot") as engine:
        engine.put(NOTES, "a", {}, vectors=[("text", [1, 0]), ("title.0", [0, 1])])
        engine.put(NOTES, "b", {}, vectors=[("text", [0.5, 0])])
        scores = {
            field: [(hit.key, hit.score) for hit in engine.search(NOTES, [1, 1], vector_field=field)]
            for field in ("text", "title", "none")
        }
        assert scores == {"text": [("a", 1.0), ("b", 0.5)], "title": [("a", 1.0)], "none": []}
        assert [hit.key for hit in engine.search_by_item(NOTES, "a", vector_field="text")] == ["b"]


def test_wrong_arguments_name_themselves(engine: Engine) -> None:
    engine.put(NOTES, "a", {"n": 1})
    engine.put(NOTES, "b", {"n": 2})
    cursor = engine.list(NOTES, order_by="n", limit=1).next
    assert cursor is not None and SearchResult().next is None and not SearchResult().groups
    for after in (None, cursor):
        none = engine.list(NOTES, order_by="n", limit=0, after=after)
        assert not list(none) and none.next is None
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"select": "n"}, InvalidValueError, "select"),
        ({"select": {"n": 1}}, InvalidValueError, "select"),
        ({"select": 5}, InvalidValueError, "select"),
        ({"select": [1]}, InvalidValueError, "select"),
        ({"select": ["a..b"]}, InvalidInputError, "a..b"),
        ({"select": [""]}, InvalidInputError, "empty"),
        ({"select": itertools.repeat("a")}, LimitError, "1024"),
        ({"group_by": ""}, InvalidInputError, "group_by"),
        ({"group_by": 5}, InvalidValueError, "group_by"),
        ({"group_by": "n", "per_group": 0}, InvalidInputError, "at least 1"),
        ({"group_by": "n", "columns": True}, InvalidInputError, "columns"),
        ({"group_by": "n", "order_by": "n"}, InvalidInputError, "order_by"),
        ({"per_group": 2}, InvalidInputError, "group_by"),
        ({"descending": True}, InvalidInputError, "order_by"),
        ({"order_by": "$item.value"}, InvalidInputError, "order_by"),
        ({"order_by": ".".join("a" * 129)}, LimitError, "128"),
        ({"after": cursor}, InvalidInputError, "order_by"),
        ({"order_by": "m", "after": cursor}, InvalidInputError, "ordered by n"),
        ({"order_by": "n", "after": cursor[:-1]}, InvalidInputError, "after"),
        ({"order_by": "n", "after": "\0"}, InvalidInputError, "cursor"),
        ({"vector_field": "n"}, TypeError, "vector_field"),
    ]
    for arguments, error, named in wrong:
        with pytest.raises(error, match=named):
            engine.list(NOTES, **arguments)
    with pytest.raises(InvalidInputError, match="vector"):
        engine.search(NOTES, vector_field="n")
    with pytest.raises(TypeError, match="group_by"):
        engine.listing(NOTES, group_by="n")  # type: ignore[call-arg]
    assert [item.key for item in engine.list(NOTES, order_by="n", after=cursor)] == ["b"]


def test_columns_say_where_the_next_page_begins() -> None:
    engine = Engine()
    for key, number in [("a", 3), ("b", 1), ("c", 2)]:
        engine.put(NOTES, key, {"n": number})
    found, after = [], None
    while True:
        page = engine.list(NOTES, order_by="n", limit=2, columns=True, after=after)
        found += page.keys
        after = page.next
        if after is None:
            break
    assert found == ["b", "c", "a"]
