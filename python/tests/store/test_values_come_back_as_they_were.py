"""A value comes back equal, type by type, and nobody shares it with the store."""

from __future__ import annotations

import collections
import math
import types
from pathlib import Path
from typing import Any

import pytest

import vecmem

VALUES: list[dict[str, Any]] = [
    {},
    {"big": 2**80, "bigger": -(10**1000), "small": -0.0, "float": 5.0, "tiny": 5e-324, "huge": 1.7976931348623157e308},
    {"text": "\x00 and \n and \u2028 and 😀", "": "empty key", "$": 1, "a.b": 2},
    {"none": None, "true": True, "false": False, "list": [[], {}, [1, [2.5, "x"]]]},
    {"same": [{"b": 1, "a": 2}]},
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_value_survives_a_reopen(value: dict[str, Any], tmp_path: Path) -> None:
    with vecmem.Store(tmp_path / "store") as store:
        store.put(("a",), "k", value)
    with vecmem.Store(tmp_path / "store") as store:
        found = store.get(("a",), "k").value
        assert repr(found) == repr(value)  # tells 5 from 5.0, -0.0 from 0.0, and the order of keys
        assert all(type(one) is type(other) for one, other in zip(found.values(), value.values(), strict=True))
        if "small" in found:
            assert math.copysign(1, found["small"]) == -1


@pytest.mark.parametrize("make", [collections.UserDict, types.MappingProxyType, collections.OrderedDict])
def test_any_mapping_comes_back_as_a_dict(plain_store: vecmem.Store, make: Any) -> None:
    plain_store.put(("a",), "k", make({"x": 1}))
    assert plain_store.get(("a",), "k").value == {"x": 1}
    assert type(plain_store.get(("a",), "k").value) is dict


def test_changing_a_value_changes_nothing_stored(plain_store: vecmem.Store) -> None:
    given = {"tags": ["a"]}
    plain_store.put(("a",), "k", given)
    given["tags"].append("b")
    plain_store.get(("a",), "k").value["tags"].append("c")
    plain_store.search(("a",))[0].value["tags"].append("d")
    assert plain_store.get(("a",), "k").value == {"tags": ["a"]}


def test_five_megabytes_and_any_key(plain_store: vecmem.Store) -> None:
    value = {"content": "0123456789" * 500_000}
    for key in ("", "/memories/notes.txt", "*", "a\nb", "\x00", "k" * 100_000):
        plain_store.put(("files",), key, value)
        assert plain_store.get(("files",), key).value == value
        plain_store.delete(("files",), key)
        assert plain_store.get(("files",), key) is None
    plain_store.put(("files",), 5, {"n": 5})  # type: ignore[arg-type]
    assert plain_store.get(("files",), "5").value == {"n": 5}
