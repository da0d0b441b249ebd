"""``help`` of every class, method and function of the extension says at run time what each argument is, what is raised,
and shows an example that runs."""

import doctest
import inspect
from typing import Any

import pytest

import vecmem
from vecmem import _vecmem
from vecmem._vecmem import Reader

CLASSES = {name: value for name, value in vars(_vecmem).items() if isinstance(value, type)}
METHODS = {
    f"{name}.{member}": (value, method)
    for name, value in CLASSES.items()
    for member, method in vars(value).items()
    if not member.startswith("_") and inspect.isroutine(method)
}
READS = [member for member in vars(Reader) if not member.startswith("_")]

# What takes no argument and fails in no way of its own.
SIMPLE = {"Item.to_dict", "Columns.to_dicts", "Snapshot.close"}


def examples_of(name: str, text: str) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(text, name)


def run(name: str, text: str) -> None:
    found = doctest.DocTest(examples_of(name, text), {}, name, None, None, text)
    said: list[str] = []
    results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(found, out=said.append)
    assert results.attempted and not results.failed, "".join(said)


@pytest.mark.parametrize("name", METHODS)
def test_the_example_of_a_method_runs(name: str) -> None:
    run(name, inspect.getdoc(METHODS[name][1]) or "")


@pytest.mark.parametrize("name", METHODS)
def test_each_argument_and_error_is_told(name: str) -> None:
    method = METHODS[name][1]
    text = inspect.getdoc(method) or ""
    for argument in inspect.signature(method).parameters:
        assert argument == "self" or argument in text, f"nothing is said of {argument}"
    assert name in SIMPLE or "Raises" in text


@pytest.mark.parametrize("name", ["Columns", "Delete", "Engine", "Filter", "Put"])
def test_the_example_of_a_class_runs(name: str) -> None:
    run(name, inspect.getdoc(CLASSES[name]) or "")


def test_the_examples_of_salvage_and_restore_run() -> None:
    run("salvage", inspect.getdoc(vecmem.salvage) or "")
    run("restore", inspect.getdoc(vecmem.restore) or "")


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("reader", [vecmem.Engine, vecmem.Snapshot])
def test_the_reads_are_described_where_they_are_looked_up(reader: Any, name: str) -> None:
    assert inspect.getdoc(getattr(reader, name)) == inspect.getdoc(getattr(Reader, name))


def test_vectors_have_shapes_and_times_have_units() -> None:
    for name in ("search", "search_many", "put", "build_graph", "purge"):
        text = inspect.getdoc(getattr(vecmem.Engine, name)) or ""
        has = {word for word in ("shape", "dims", "econds", "on_progress") if word in text}
        assert has, name
    assert "of shape (n, dims)" in (inspect.getdoc(vecmem.Engine.search_many) or "").lower()
    assert "Seconds" in (inspect.getdoc(vecmem.Engine.put) or "")


def test_every_option_of_the_engine_is_told() -> None:
    text = inspect.getdoc(vecmem.Engine) or ""
    assert all(f"{option}:" in text for option in inspect.signature(vecmem.Engine).parameters)
