"""``escape_label`` makes legal labels of any text and integer, different ones of different values, and has an exact
inverse."""

from __future__ import annotations

import random
import re

import pytest

import vecmem

LEGAL_EVERYWHERE = re.compile(r"[A-Za-z0-9\-_.@+:~]+")
"""What Deep Agents accepts; LangGraph accepts these but the period."""

EXAMPLES = {
    "ada@example.com": "ada@example~2Ecom",
    "user_1-a+b:c": "user_1-a+b:c",
    "langgraph": "~6Canggraph",
    "": "~",
    "~": "~7E",
    "~2E": "~7E2E",
    "é": "~C3~A9",
    "42": "42",
    42: "~i42",
    -7: "~i-7",
    0: "~i0",
}


@pytest.mark.parametrize(("value", "label"), EXAMPLES.items(), ids=map(repr, EXAMPLES))
def test_examples(value: str | int, label: str) -> None:
    assert vecmem.escape_label(value) == label
    assert vecmem.unescape_label(label) == value and type(vecmem.unescape_label(label)) is type(value)


@pytest.mark.parametrize("seed", range(5))
def test_random_values(seed: int, plain_store: vecmem.Store) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    alphabet = "aZ09-_@+:~.%i/\\ \n\x00é中😀2E7langrph"
    values: list[str | int] = ["".join(chance.choices(alphabet, k=chance.randrange(12))) for _ in range(2_000)]
    values += [chance.randint(-(10 ** chance.randrange(1, 40)), 10**30) for _ in range(500)]
    labels = {}
    for value in values:
        label = vecmem.escape_label(value)
        assert LEGAL_EVERYWHERE.fullmatch(label) and "." not in label and label != "langgraph"
        assert labels.setdefault(label, value) == value
        back = vecmem.unescape_label(label)
        assert back == value and type(back) is type(value)
    for label in chance.sample(sorted(labels), 50):
        plain_store.put((label, "facts"), "k", {})
    assert len(plain_store.list_namespaces()) == 50


def test_ordinary_labels_are_themselves() -> None:
    for label in ("users", "é", "a b"):
        assert vecmem.unescape_label(label) == label


@pytest.mark.parametrize("label", ["~zz", "~2", "~2e", "~i", "~i007", "~i-0", "~i1x", "~FF", "a~", "~~"])
def test_what_escape_label_does_not_make_is_refused(label: str) -> None:
    with pytest.raises(vecmem.InvalidInputError, match="not a label that escape_label"):
        vecmem.unescape_label(label)


@pytest.mark.parametrize("value", [True, None, 1.5, b"x", ("a",), "\ud800"])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(vecmem.InvalidInputError):
        vecmem.escape_label(value)  # type: ignore[arg-type]
