"""Every class, method, argument and default in ``_vecmem.pyi`` is that of the extension, and the other way round."""

import ast
import inspect
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import vecmem
from vecmem import _vecmem, reports

PACKAGE = Path(vecmem.__file__).parent
STUB = ast.parse((PACKAGE / "_vecmem.pyi").read_text())
OPTIONS = ast.parse((PACKAGE / "options.py").read_text())
CLASSES = {node.name: node for node in [*STUB.body, *OPTIONS.body] if isinstance(node, ast.ClassDef)}
AT_RUNTIME = [name for name, value in vars(_vecmem).items() if isinstance(value, type)]

# What every class has at runtime, or what the interpreter adds to one with such a method.
IMPLIED = {"__doc__", "__module__", "__weakref__", "__dict__", "__repr__", "__abstractmethods__", "__weaklistoffset__"}
# A class that says what is equal has all comparisons.
IMPLIED |= {"__ne__", "__lt__", "__le__", "__gt__", "__ge__"}
# What an attempt to pickle or copy an object leaves in its class.
IMPLIED |= {"__slotnames__"}


def options_of(name: str) -> set[str]:
    """The fields of a TypedDict of the stub, those of its bases included."""
    node = CLASSES[name]
    own = {
        field.target.id
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }
    bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in CLASSES]
    return own.union(*(options_of(base) for base in bases))


def arguments_of(function: ast.FunctionDef) -> tuple[list[str], set[str], dict[str, Any]]:
    """Positional names in order, keyword-only names, and the defaults that are written out."""
    arguments = function.args
    keywords = {argument.arg for argument in arguments.kwonlyargs}
    if arguments.kwarg is not None:
        unpacked = arguments.kwarg.annotation
        assert isinstance(unpacked, ast.Subscript) and isinstance(unpacked.slice, ast.Name)
        keywords |= options_of(unpacked.slice.id)
    positional = [argument.arg for argument in arguments.args if argument.arg not in ("self", "cls")]
    late = list(zip(reversed(positional), reversed(arguments.defaults), strict=False))
    early = [(a.arg, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
    return positional, keywords, {name: ast.literal_eval(default) for name, default in late + early}


def functions_of(node: ast.ClassDef) -> list[ast.FunctionDef]:
    return [member for member in node.body if isinstance(member, ast.FunctionDef)]


def test_all_classes_are_there() -> None:
    typed_dicts = {name for name in CLASSES if name not in AT_RUNTIME}
    assert typed_dicts == {
        "PutOptions", "UpdateOptions", "_PutRequired", "PutArguments", "ReadOptions", "ListingOptions", "ListOptions",
        "SearchOptions", "RestoreOptions", "BackupOptions", "ScopeOptions", "QuotaScopeOptions", "QuotaOptions",
        "IterateOptions", "ScopeStatsOptions", "NamespaceOptions", "FieldRules",
        "CountOptions", "DistinctOptions", "_PartOptions", "DeleteWhereOptions", "KeepNewestOptions", "RenameOptions",
    }  # fmt: skip
    assert set(AT_RUNTIME) <= set(CLASSES)


@pytest.mark.parametrize("name", AT_RUNTIME)
def test_members(name: str) -> None:
    wanted = {function.name for function in functions_of(CLASSES[name])}
    found = set(vars(getattr(_vecmem, name))) - IMPLIED
    # A stub says `__new__` where the runtime has both it and, from `object`, `__init__`.
    assert {member for member in found if member != "__init__"} == wanted


@pytest.mark.parametrize("name", AT_RUNTIME)
def test_signatures(name: str) -> None:
    for function in functions_of(CLASSES[name]):
        is_dunder = function.name.startswith("__") and function.name != "__new__"
        if is_dunder or any(isinstance(d, ast.Name) and d.id == "property" for d in function.decorator_list):
            continue
        runtime = getattr(_vecmem, name)
        signature = inspect.signature(runtime if function.name == "__new__" else getattr(runtime, function.name))
        parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
        positional, keywords, defaults = arguments_of(function)
        assert [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD] == positional, function.name
        assert {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} == keywords, function.name
        assert {p.name for p in parameters if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} == set()
        for parameter in parameters:
            if parameter.name in defaults:
                assert parameter.default == defaults[parameter.name], (function.name, parameter.name)


def test_functions() -> None:
    functions = [node for node in STUB.body if isinstance(node, ast.FunctionDef)]
    found = {name for name, value in vars(_vecmem).items() if inspect.isbuiltin(value)}
    assert {function.name for function in functions} == found
    for function in functions:
        if not function.name.startswith("_"):
            parameters = inspect.signature(getattr(_vecmem, function.name)).parameters
            positional, keywords, _ = arguments_of(function)
            assert list(parameters)[: len(positional)] == positional, function.name
            assert set(parameters) == {*positional, *keywords}, function.name
            assert getattr(_vecmem, function.name).__doc__ and function.name in vecmem.__all__


def report_of(engine: vecmem.Engine, name: str) -> Any:
    engine.put(("a",), "k", {"x": 1}, vector=[1, 2, 3])
    return {
        "CheckReport": lambda: engine.check(accept_loss=True),
        "CompactReport": engine.compact,
        "DistinctValue": lambda: engine.distinct("x", ("a",))["values"][0],
        "DistinctValues": lambda: engine.distinct("x", ("a",)),
        "GraphBuild": lambda: engine.build_graph(everything=True),
        "ImportReport": lambda: engine.import_items([]),
        "LossReport": lambda: engine.check(accept_loss=True)["loss"],
        "PurgeReceipt": lambda: engine.purge(("a",)),
        "PruneReceipt": lambda: engine.keep_newest(1, ("a",)),
        "RenameReceipt": lambda: engine.rename(("a",), ("b",)),
        "ScopeStats": lambda: engine.scope_stats(("a",)),
        "HoldersReport": lambda: engine.purge(("a",))["holders"],
        "StillHeld": lambda: engine.purge(("a",))["holders"]["still_held"],
    }[name]()


@pytest.mark.parametrize(
    "name",
    ["CheckReport", "CompactReport", "DistinctValue", "DistinctValues", "GraphBuild", "HoldersReport", "ImportReport",
     "LossReport", "PruneReceipt", "PurgeReceipt", "RenameReceipt", "ScopeStats", "StillHeld"],
)  # fmt: skip
def test_reports_have_the_fields_of_their_types(engine: vecmem.Engine, name: str) -> None:
    report = report_of(engine, name)
    wanted = get_type_hints(getattr(reports, name))
    assert set(report) == set(wanted)


def test_public_things_are_described() -> None:
    for name in AT_RUNTIME:
        runtime = getattr(_vecmem, name)
        undescribed = [m for m, value in vars(runtime).items() if not m.startswith("_") and not value.__doc__]
        assert runtime.__doc__ and undescribed == []


def test_everything_is_exported() -> None:
    assert set(AT_RUNTIME) - {"Reader"} <= set(vecmem.__all__)
    assert all(hasattr(vecmem, name) for name in vecmem.__all__)
    assert vecmem.__all__ == sorted(vecmem.__all__, key=str)
