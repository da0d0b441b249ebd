"""Which texts of a value are embedded: by the fields, by ``index`` of the put, or by the first index rule that fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from embeddings import DIMS, index, vector_of
from langgraph.store.base import PutOp

import vecmem

VALUE = {"text": "tea", "tags": ["green", "hot"], "place": {"city": "Kyoto"}, "n": 5, "none": None}
WHOLE = json.dumps(VALUE, sort_keys=True, ensure_ascii=False)

PATHS: list[tuple[list[str] | None, dict[str, str]]] = [
    (None, {"$": WHOLE}),
    (["$"], {"$": WHOLE}),
    (["text"], {"text": "tea"}),
    (["text", "place.city"], {"text": "tea", "place.city": "Kyoto"}),
    (["tags[*]"], {"tags[*].0": "green", "tags[*].1": "hot"}),
    (["tags[-1]", "n"], {"tags[-1]": "hot", "n": "5"}),
    (["{text,place.city}"], {"{text,place.city}.0": "tea", "{text,place.city}.1": "Kyoto"}),
    (["missing", "none", "tags[7]"], {}),
    ([], {}),
]


def vectors(store: vecmem.Store, key: str = "k", namespace: tuple[str, ...] = ("a",)) -> dict[str, list[float]]:
    """The vectors of an item, by name."""
    item = store._core.engine.get(namespace, key, include_vectors=True)
    return {path: vector.tolist() for path, vector in item.vectors}


@pytest.mark.parametrize(("fields", "texts"), PATHS, ids=[str(fields) for fields, _ in PATHS])
def test_fields(fields: list[str] | None, texts: dict[str, str]) -> None:
    if fields == []:
        return  # of the configuration, no fields are the default ones; of a put, none
    with vecmem.Store(index=index(fields=fields)) as store:
        store.put(("a",), "k", VALUE)
        assert vectors(store) == {name: vector_of(text) for name, text in texts.items()}


@pytest.mark.parametrize(("paths", "texts"), PATHS[1:], ids=[str(paths) for paths, _ in PATHS[1:]])
def test_paths_of_a_put(paths: list[str], texts: dict[str, str]) -> None:
    with vecmem.Store(index=index(fields=["n"])) as store:
        store.put(("a",), "k", VALUE, index=paths)
        assert vectors(store) == {name: vector_of(text) for name, text in texts.items()}


def test_a_put_replaces_all_vectors(store: vecmem.Store) -> None:
    store.put(("a",), "k", {"text": "old", "tags": ["x", "y", "z"]}, index=["tags[*]"])
    assert len(vectors(store)) == 3
    store.put(("a",), "k", {"text": "old", "tags": ["x", "y"]}, index=["tags[*]"])
    assert len(vectors(store)) == 2
    store.put(("a",), "k", {"text": "old"}, index=False)
    assert vectors(store) == {}
    assert [item.score for item in store.search(("a",), query="x")] == [None]


def test_an_item_scores_like_its_best_text(store: vecmem.Store) -> None:
    store.put(("a",), "two", {"tags": ["coffee", "tea"]}, index=["tags[*]"])
    store.put(("a",), "one", {"tags": ["tea"]}, index=["tags[*]"])
    store.put(("a",), "none", {"tags": []}, index=["tags[*]"])
    found = store.search(("a",), query="tea")
    assert [item.key for item in found] == ["one", "two", "none"]
    assert found[0].score == found[1].score == pytest.approx(1.0, abs=1e-6) and found[2].score is None
    assert all(type(item.score) is float for item in found[:2])


def test_each_text_is_embedded_once(store: vecmem.Store) -> None:
    same = [PutOp(("a",), f"{number}", {"text": "same"}) for number in range(5)]
    store.batch([*same, PutOp(("a",), "other", {"text": "other"}), PutOp(("a",), "0", {"text": "last"})])
    assert sorted(store.embeddings.documents) == ["last", "other", "same"]
    assert store.search((), query="last", limit=1)[0].key == "0" and store.embeddings.queries == ["last"]


@pytest.mark.parametrize("metric", ["cosine", "l2", "inner_product"])
def test_metrics(metric: str, tmp_path: Path) -> None:
    with vecmem.Store(tmp_path / "store", index=index(fields=["text"], distance_type=metric)) as store:
        texts = ["", "tea", "green tea", "coffee"]
        for text in texts:
            store.put(("a",), text, {"text": text})
        query = vector_of("tea")
        wanted = {}
        for text in texts:
            other = vector_of(text)
            dot = sum(a * b for a, b in zip(query, other, strict=True))
            norms = sum(a * a for a in query) ** 0.5 * sum(a * a for a in other) ** 0.5
            distance = sum((a - b) ** 2 for a, b in zip(query, other, strict=True)) ** 0.5
            scores = {"cosine": dot / norms if norms else 0.0, "l2": -distance, "inner_product": dot}
            wanted[text] = pytest.approx(scores[metric], rel=1e-6)
        found = store.search((), query="tea")
        assert {item.key: item.score for item in found} == wanted
        assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)


RULES: list[dict[str, Any]] = [
    {"prefix": ["files", "raw"], "index": False},
    {"prefix": ["files"], "larger_than": 60, "index": ["text"]},
    {"encoding": ["base64", "hex"], "index": False},
    {"larger_than": 100, "index": ["title", "text"]},
]

FITS: list[tuple[tuple[str, ...], dict[str, Any], set[str]]] = [
    (("files", "raw"), {"text": "x"}, set()),
    (("files", "raw", "more"), {"text": "x"}, set()),
    (("files", "rawer"), {"text": "x"}, {"$"}),
    (("files",), {"text": "x" * 60}, {"text"}),
    (("files",), {"text": "x", "encoding": "base64"}, set()),
    (("files",), {"text": "x" * 60, "encoding": "base64"}, {"text"}),
    (("notes",), {"text": "x", "encoding": "hex"}, set()),
    (("notes",), {"text": "x", "encoding": ["hex"]}, {"$"}),
    (("notes",), {"text": "x" * 89}, {"$"}),  # with {"text":""}, 100 bytes
    (("notes",), {"text": "é" * 50}, {"text"}),
]


@pytest.mark.parametrize("place", range(len(FITS)))
def test_the_first_rule_that_fits_decides(place: int) -> None:
    namespace, value, names = FITS[place]
    with vecmem.Store(index=index(index_rules=RULES)) as store:
        store.put(namespace, "k", value)
        assert vectors(store, namespace=namespace).keys() == names
        store.put(namespace, "k", value, index=["$"])
        assert vectors(store, namespace=namespace).keys() == {"$"}, "a put that says what to embed is not asked"


def test_binary_files_are_not_embedded_by_default(store: vecmem.Store) -> None:
    assert store.index_rules == [{"encoding": ["base64"], "index": False}]
    store.put(("a",), "image", {"text": "aGVsbG8=", "encoding": "base64"})
    store.put(("a",), "text", {"text": "hello", "encoding": "utf-8"})
    assert vectors(store, "image") == {} and vectors(store, "text").keys() == {"text"}
    store.index_rules = []
    store.put(("a",), "image", {"text": "aGVsbG8=", "encoding": "base64"})
    assert vectors(store, "image").keys() == {"text"}


def test_rules_are_kept_in_the_store(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with vecmem.Store(path, index=index()) as store:
        store.index_rules = RULES
        assert store.index_rules == RULES
    with vecmem.Store(path) as store:
        assert store.index_rules == RULES
    with vecmem.Store(path, index=index(index_rules=RULES[:1])) as store:
        assert store.index_rules == RULES[:1]
    with vecmem.Store(path, index=index()) as store:
        assert store.index_rules == RULES[:1]


WRONG_RULES: list[tuple[Any, str]] = [
    ({"index": False}, "must be a list of rules"),
    (["rule"], r"index_rules\[0\] must be a dict"),
    ([{"index": False}, {"larger_than": 5}], r"index_rules\[1\] does not say what to do"),
    ([{"index": False, "size": 5}], "unknown key 'size'; there are prefix, larger_than"),
    ([{"index": True}], r"\['index'\] must be a list of strings"),
    ([{"index": []}], r"\['index'\] must be False or name at least one"),
    ([{"index": ["text", 5]}], r"\['index'\] must be a list of strings"),
    ([{"index": False, "prefix": "files"}], r"\['prefix'\] must be a list of strings"),
    ([{"index": False, "larger_than": "5"}], r"\['larger_than'\] must be a number of bytes"),
    ([{"index": False, "larger_than": True}], r"\['larger_than'\] must be a number of bytes"),
    ([{"index": False, "encoding": "base64"}], r"\['encoding'\] must be a list of strings"),
]


@pytest.mark.parametrize(("rules", "message"), WRONG_RULES, ids=[message for _, message in WRONG_RULES])
def test_wrong_rules_are_refused(store: vecmem.Store, rules: Any, message: str) -> None:
    before = store.index_rules
    with pytest.raises(vecmem.InvalidInputError, match=message):
        store.index_rules = rules
    with pytest.raises(vecmem.InvalidInputError, match=message):
        vecmem.Store(index=index(index_rules=rules))
    assert store.index_rules == before


WRONG_INDEX: list[tuple[Any, str]] = [
    ("openai", "index must be a dict"),
    ({"embed": vector_of}, r"index\['dims'\]"),
    ({"dims": "384", "embed": vector_of}, r"index\['dims'\]"),
    ({"dims": 0, "embed": vector_of}, r"index\['dims'\]"),
    ({"dims": DIMS}, "index has no 'embed'"),
    ({"dims": DIMS, "embed": vector_of, "distance_type": "hamming"}, "must be one of cosine, l2, inner_product"),
    ({"dims": DIMS, "embed": vector_of, "fields": "text"}, "list of field paths"),
]


@pytest.mark.parametrize(("configuration", "message"), WRONG_INDEX, ids=[message for _, message in WRONG_INDEX])
def test_wrong_configurations_are_refused(configuration: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vecmem.Store(index=configuration)


class Changing(dict):  # type: ignore[type-arg]
    """Holds one thing, and says another when asked again, as if another thread had changed it meanwhile."""

    def __getitem__(self, key: Any) -> Any:
        return "changed"

    def get(self, key: Any, default: Any = None) -> Any:
        return "base64" if key == "encoding" else "changed"


def test_texts_are_those_of_the_value_as_written(store: vecmem.Store) -> None:
    store.put(("a",), "k", Changing(text="written"))
    item = store.get(("a",), "k")
    assert item is not None and item.value == {"text": "written"}
    assert vectors(store) == {"text": vector_of("written")}
