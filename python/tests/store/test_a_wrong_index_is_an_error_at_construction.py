"""A configuration of the index that cannot work is an error when the store is made, which says what to write."""

from typing import Any

import pytest
from embeddings import vector_of

from vecmem import InvalidInputError, Store


def embed(texts: list[str]) -> list[list[float]]:
    return [vector_of(text) for text in texts]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"feilds": ["text"]}, "unknown key 'feilds'; did you mean 'fields'"),
    ({"dimensions": 4}, "unknown key 'dimensions'; "),
    ({"text_fields": ["text"]}, r"write index\['fields'\]"),
    ({"embed": 7}, r"index\['embed'\] must be a function"),
    ({"embed": None}, "index has no 'embed'"),
    ({"embed": [[0.0]]}, r"index\['embed'\] must be a function"),
    ({"dims": "4"}, r"index\['dims'\] must be the number"),
    ({"distance_type": "euclid"}, r"index\['distance_type'\] must be one of"),
    ({"fields": ["$.text"]}, "can never match, '\\$.text': paths begin at the value itself, so write 'text'"),
    ({"fields": ["[0].text"]}, "begins with the name of a field"),
    ({"fields": ["tags[x]"]}, r"'\[x\]' is no position"),
    ({"fields": ["tags[0"]}, r"'\[0' is no position"),
    ({"fields": ["{title"]}, "names no fields"),
    ({"fields": "text"}, "must be None, False or a list of field paths"),
    ({"index_rules": [{"index": ["$.text"]}]}, r"index_rules\[0\]\['index'\] has a path that can never match"),
]

RIGHT = ["$", "text", "author.name", "tags[*]", "tags[-1].text", "tags[0]", "{title,text}", "*", "a.{b,c}", "price ($)"]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[str(change) for change, _ in WRONG])
def test_it_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Store(index={"dims": 4, "embed": embed, "fields": ["text"]} | change if "text_fields" not in change else
              {"dims": 4, "embed": embed} | change)  # fmt: skip


@pytest.mark.parametrize("path", RIGHT)
def test_paths_that_can_match(path: str) -> None:
    with Store(index={"dims": 4, "embed": embed, "fields": [path]}) as store:
        assert store.index_config is not None


def test_what_other_stores_know_may_move_in() -> None:
    index = {
        "dims": 4,
        "embed": embed,
        "fields": ["text"],
        "text_fields": ["text"],
        "ann_index_config": {"kind": "hnsw"},
    }
    with Store(index=index):
        pass


@pytest.mark.parametrize("path", ["sqlite:///memories.db", "~/memories"])
def test_a_path_that_is_none(path: str) -> None:
    with pytest.raises(InvalidInputError):
        Store(path)
    with pytest.raises(InvalidInputError):
        Store.from_conn_string(path)
