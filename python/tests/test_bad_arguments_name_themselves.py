"""Whatever an argument is, a call ends in a result or in an error that names the argument; nothing crashes or
overflows.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy
import pytest

from vecmem import Delete, Engine, InvalidInputError, InvalidValueError, LimitError, Put, VecmemError

A = ("a",)
HUGE = 10**30

BAD: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda e: e.put("abc", "k", {}), InvalidValueError, "namespace must be a sequence of str"),
    (lambda e: e.put(b"abc", "k", {}), InvalidValueError, "namespace must be a sequence of str"),
    (lambda e: e.put({"a": 1}, "k", {}), InvalidValueError, "namespace must be a sequence of str"),
    (lambda e: e.put(5, "k", {}), InvalidValueError, "namespace must be a sequence of str"),
    (lambda e: e.put(None, "k", {}), InvalidValueError, "namespace must be a sequence of str"),
    (lambda e: e.put((), "k", {}), InvalidInputError, "at least one label"),
    (lambda e: e.put(("a", ""), "k", {}), InvalidInputError, "label 2 of the namespace is empty"),
    (lambda e: e.put(("a", 1), "k", {}), InvalidValueError, "a label of namespace must be a str, not an int"),
    (lambda e: e.put(("\ud800",), "k", {}), InvalidValueError, "a label of namespace holds a lone surrogate"),
    (lambda e: e.put(("a" * 5000,), "k", {}), LimitError, "bytes of a label"),
    (lambda e: e.put(["a"] * 65, "k", {}), LimitError, "labels of a namespace"),
    (lambda e: e.put(iter(lambda: "a", "b"), "k", {}), LimitError, "labels of a namespace"),
    (lambda e: e.put(A, 5, {}), InvalidValueError, "key must be a str, not an int"),
    (lambda e: e.put(A, None, {}), InvalidValueError, "key must be a str"),
    (lambda e: e.put(A, "\udc00", {}), InvalidValueError, "key holds a lone surrogate"),
    (lambda e: e.put(A, "k" * (1 << 21), {}), LimitError, "bytes of the key"),
    (lambda e: e.put(A, "k", {}, ttl=0), InvalidInputError, "time to live is zero"),
    (lambda e: e.put(A, "k", {}, ttl=-1), InvalidInputError, "ttl must be 0 seconds or more"),
    (lambda e: e.put(A, "k", {}, ttl=float("nan")), InvalidInputError, "ttl is NaN"),
    (lambda e: e.put(A, "k", {}, ttl="5"), InvalidValueError, "ttl must be a float, not a str"),
    (lambda e: e.put(A, "k", {}, ttl=True), InvalidValueError, "ttl must be a float, not a bool"),
    (lambda e: e.put(A, "k", {}, created_at=HUGE), InvalidInputError, "created_at must be a number of microseconds"),
    (lambda e: e.put(A, "k", {}, updated_at=1.5), InvalidValueError, "updated_at must be an int, not a float"),
    (lambda e: e.put(A, "k", {}, if_absent=1), InvalidValueError, "if_absent must be a bool"),
    (lambda e: e.put(A, "k", {}, if_version=-1), InvalidInputError, "if_version is no version"),
    (lambda e: e.put(A, "k", {}, if_version=HUGE), InvalidInputError, "if_version is no version"),
    (lambda e: e.put(A, "k", {}, if_version=1, if_absent=True), InvalidInputError, "at most one of if_absent"),
    (lambda e: e.put(A, "k", {}, vector=[1, 0, 0], vectors=[]), InvalidInputError, "at most one of vector and"),
    (lambda e: e.put(A, "k", {}, vectors=[1]), InvalidValueError, "vectors must be a sequence of .path, vector."),
    (lambda e: e.put(A, "k", {}, index_paths="text"), InvalidValueError, "index_paths must be a sequence of str"),
    (lambda e: e.put(A, "k", {}, vectro=[1]), TypeError, "unexpected keyword argument 'vectro'"),
    (lambda e: e.put(A, "k", {}, vector=[1, 0]), InvalidInputError, "2 dimensions, the store's vectors have 3"),
    (lambda e: e.put(A, "k", {}, vector=[[1, 0, 0]]), InvalidInputError, r"one row of numbers, not of shape \[1, 3\]"),
    (lambda e: e.put(A, "k", {}, vector=5), InvalidInputError, "one row of numbers"),
    (lambda e: e.put(A, "k", {}, vector="abc"), InvalidValueError, "a str cannot be read as a vector"),
    (lambda e: e.put(A, "k", {}, vector=["1", "2", "3"]), InvalidValueError, "cannot be read as a vector"),
    (lambda e: e.put(A, "k", {}, vector=[1, 2j, 3]), InvalidValueError, "complex128"),
    (lambda e: e.put(A, "k", {}, vector=[[1], [2, 3], 4]), InvalidValueError, "cannot be read as a vector"),
    (lambda e: e.put(A, "k", {}, vector=[1, None, 3]), InvalidValueError, "cannot be read as a vector"),
    (lambda e: e.put(A, "k", {}, vector=[1, float("nan"), 3]), InvalidInputError, "element 1 of a vector is NaN"),
    (lambda e: e.put(A, "k", {}, vector=[1e300, 0.0, 0.0]), InvalidInputError, "element 0 of a vector is inf"),
    (lambda e: e.put(A, "k", {}, vector=[1e19, 0.0, 0.0]), InvalidInputError, "squared norm"),
    (lambda e: e.search(), InvalidInputError, "exactly one of namespace, prefix and everything"),
    (lambda e: e.search(A, prefix=A), InvalidInputError, "exactly one of namespace, prefix and everything"),
    (lambda e: e.search(prefix=()), InvalidInputError, "prefix is empty; everything=True"),
    (lambda e: e.search(A, limit=-1), InvalidInputError, "limit must be 0 or more"),
    (lambda e: e.search(A, limit=-HUGE), InvalidInputError, "limit must be 0 or more"),
    (lambda e: e.search(A, limit=True), InvalidValueError, "limit must be an int, not a bool"),
    (lambda e: e.search(A, limit=1.0), InvalidValueError, "limit must be an int, not a float"),
    (lambda e: e.search(A, limit="5"), InvalidValueError, "limit must be an int, not a str"),
    (lambda e: e.search(A, offset=-1), InvalidInputError, "offset must be 0 or more"),
    (lambda e: e.search(A, deadline=-1.0), InvalidInputError, "deadline must be 0 seconds or more"),
    (lambda e: e.search(A, [1, 0, 0], recall=0), InvalidInputError, "recall"),
    (lambda e: e.search(A, [1, 0, 0], recall=float("nan")), InvalidInputError, "recall is NaN"),
    (lambda e: e.search(A, [1, 0, 0], min_score="x"), InvalidValueError, "min_score must be a float"),
    (lambda e: e.search(A, min_score=0.5), InvalidInputError, "min_score needs a vector"),
    (lambda e: e.search(A, exact="no"), InvalidValueError, "exact must be a bool"),
    (lambda e: e.search(A, limits=5), TypeError, r"search\(\) got an unexpected keyword argument 'limits'"),
    (lambda e: e.list(A, recall=0.5), TypeError, r"list\(\) got an unexpected keyword argument 'recall'"),
    (lambda e: e.search(A, filter=[]), InvalidValueError, "filter must be a dict, not a list"),
    (lambda e: e.search(A, filter={"$near": 1}), InvalidInputError, r"Unsupported operator: \$near"),
    (lambda e: e.search(A, filter={"a": {"$gt": {}, "b": 1}}), InvalidInputError, "filter.a"),
    (lambda e: e.search(A, filter={1: 2}), InvalidValueError, "a key of filter must be a str"),
    (lambda e: e.search(A, filter={"a": {1, 2}}), InvalidValueError, "filter.a is a set; use dict, list"),
    (lambda e: e.search(A, filter={"a": "\ud800"}), InvalidValueError, "lone surrogate"),
    (lambda e: e.search(A, filter={"a": list(range(100_000))}), VecmemError, "filter"),
    (lambda e: e.search_many([1, 0, 0], A), InvalidInputError, r"array of \(n, dims\), not of shape \[3\]"),
    (lambda e: e.search_many([[]], A), InvalidInputError, r"array of \(n, dims\)"),
    (lambda e: e.get_many([("a", "k", 1)]), InvalidValueError, "addresses must be"),
    (lambda e: e.list_namespaces(max_depth=0), InvalidInputError, "max_depth must be 1 or more"),
    (lambda e: e.put_many([Delete(A, "k")]), InvalidValueError, "item 0 must be a Put or a dict"),
    (lambda e: e.put_many([{"namespace": A, "key": "k"}]), InvalidInputError, "item 0 has no \"value\""),
    (lambda e: e.write([Put(A, "k", {}), 5]), InvalidValueError, "item 1 must be a Put or a dict"),
    (lambda e: e.write(5), TypeError, "not iterable"),
    (lambda e: Engine(dims=0), InvalidInputError, "at least 1 dimension"),
    (lambda e: Engine(dims=HUGE), LimitError, "dimensions of the vector space"),
    (lambda e: Engine(dims=3, metric="euclid"), InvalidInputError, "metric must be one of cosine, dot, l2"),
    (lambda e: Engine(metric="dot"), InvalidInputError, "give dims too"),
    (lambda e: Engine(durability="maybe"), InvalidInputError, "durability must be one of sync, periodic, manual"),
    (lambda e: Engine(5), InvalidValueError, "path must be a str or os.PathLike, not an int"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BAD)))
def test_it_is_named(engine: Engine, number: int) -> None:
    call, error, message = BAD[number]
    with pytest.raises(error, match=message) as caught:
        call(engine)
    assert type(caught.value) is error or error is VecmemError
    assert engine.count(everything=True) == 0


def test_huge_numbers_mean_all_there_is(engine: Engine) -> None:
    engine.put_many([{"namespace": A, "key": str(n), "value": {}, "vector": [1, n, 0]} for n in range(5)])
    assert len(engine.search(A, limit=HUGE)) == 5
    assert len(engine.search(A, [1, 0, 0], limit=HUGE, ef_search=HUGE, deadline=1e300)) == 5
    assert len(engine.search(A, limit=numpy.int64(2))) == 2
    assert engine.search(A, limit=0) == [] == engine.search(A, offset=HUGE)
    assert len(list(engine.iterate(A, limit=HUGE))) == 5
    assert engine.list_namespaces(limit=HUGE, max_depth=HUGE) == [A]
    assert engine.put(A, "long", {}, ttl=float("inf")) > 0


def test_a_filter_that_contains_itself_ends(engine: Engine) -> None:
    filter: dict[str, Any] = {}
    filter["a"] = filter
    with pytest.raises(InvalidInputError, match="nests too deep or contains itself"):
        engine.search(A, filter=filter)


def test_numbers_in_filters_may_be_of_any_size(engine: Engine) -> None:
    engine.put(A, "k", {"n": 2**70, "m": 5})
    assert len(engine.search(A, filter={"n": 2**70})) == 1
    assert len(engine.search(A, filter={"m": {"$lt": 10**1000}})) == 1
    assert len(engine.search(A, filter={"m": {"$gt": -(10**1000)}})) == 1
    assert len(engine.search(A, filter={"m": {"$lt": float("inf")}})) == 1
    assert engine.search(A, filter={"m": float("nan")}) == []
    assert len(engine.search(A, filter={"m": numpy.int32(5)})) == 1


def test_an_exception_of_an_iterator_arrives_unchanged(engine: Engine) -> None:
    def items() -> Any:
        yield {"namespace": A, "key": "k", "value": {}}
        raise threading.BrokenBarrierError("mine")

    for write in (engine.put_many, engine.write, engine.import_items):
        with pytest.raises(threading.BrokenBarrierError, match="mine"):
            write(items())
    assert engine.count(everything=True) == 0
