"""Probes of items, batches, listings and filters; see `facts`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable

from facts import Place, Probe, Wrong, expect
from langgraph.store.base import PutOp, SearchOp


def durable(place: Place) -> None:
    """items are on disk, and there when the store is opened again."""
    with place.plain() as store:
        store.put(place.below(), "key", {"text": "tea"})
    with place.plain() as store:
        expect(store.get(place.below(), "key") is not None, True, "gone with the process")


def sync_and_async(place: Place) -> None:
    """one object serves sync and async code."""
    with place.plain() as store:
        asyncio.run(store.aput(place.below(), "key", {"text": "tea"}))
        expect(store.get(place.below(), "key").value, {"text": "tea"}, "{found}")


def threads(place: Place) -> None:
    """threads may share it: two put and two search for a second."""
    errors: list[Exception] = []
    end = time.monotonic() + 1.0

    def repeat(work: Callable[[int], object]) -> None:
        try:
            for number in itertools.takewhile(lambda _: time.monotonic() < end, itertools.count()):
                work(number)
        except Exception as error:
            errors.append(error)

    with place.plain() as store:
        put = lambda number: store.put(place.below(), uuid.uuid4().hex, {"number": number})  # noqa: E731
        search = lambda number: store.search(place.below(), filter={"number": number})  # noqa: E731
        workers = [threading.Thread(target=repeat, args=(work,)) for work in (put, put, search, search)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    if errors:
        raise Wrong(str(errors[0]))


def prefixes(place: Place) -> None:
    """`search(("foo",))` does not reach `("foobar",)`, nor `("a_b",)` `("a-b",)`."""
    with place.plain() as store:
        for label in ["foo", "foobar", "a_b", "a-b"]:
            store.put(place.below(label), label, {"text": label})
        for label in ["foo", "a_b"]:
            expect([item.key for item in store.search(place.below(label))], [label], "{found}")


def ghosts(place: Place) -> None:
    """a namespace whose last item is deleted is no longer listed."""
    with place.plain() as store:
        store.put(place.below("a"), "key", {"text": "tea"})
        store.delete(place.below("a"), "key")
        store.get(place.below("b"), "key")
        expect(len(store.list_namespaces(prefix=place.below())), 0, "{found} ghosts")


def validated(place: Place) -> None:
    """a batch with an impossible namespace is refused before anything is written."""
    with place.plain() as store:
        with contextlib.suppress(ValueError):
            store.batch([PutOp(place.below("ok"), "key", {}), PutOp(place.below("a.b"), "key", {})])
        expect(store.get(place.below("ok"), "key"), None, "half of it is written")


def batch_order(place: Place) -> None:
    """reads of a batch see the moment before its writes."""
    with place.plain() as store:
        found = store.batch([PutOp(place.below(), "key", {}), SearchOp(place.below())])
        expect(found[1], [], "sees its own writes")


def copies(place: Place) -> None:
    """what the caller does to a value later does not change the store."""
    with place.plain() as store:
        value = {"tags": ["tea"]}
        store.put(place.below(), "key", value)
        value["tags"].append("rain")
        store.get(place.below(), "key").value["tags"].append("sea")
        expect(store.get(place.below(), "key").value, {"tags": ["tea"]}, "{found}")


def unchanged(place: Place) -> None:
    """a value comes back as it was put, or is refused: `2**80`, NaN, tuples."""
    with place.plain() as store:
        for name, value in {"big": 2**80, "NaN": float("nan"), "tuple": (1, 2)}.items():
            try:
                store.put(place.below(), name, {"value": value})
            except Exception:
                continue
            back = store.get(place.below(), name).value["value"]
            expect(repr(back), repr(value), f"{name} becomes {{found}}")


def created(place: Place) -> None:
    """`created_at` stays when an item is replaced, and `updated_at` rises."""
    with place.plain() as store:
        times = []
        for number in range(3):
            store.put(place.below(), "key", {"number": number})
            times.append(store.get(place.below(), "key"))
        if not all(a.updated_at < b.updated_at for a, b in itertools.pairwise(times)):
            raise Wrong("`updated_at` stands still")
        expect({item.created_at for item in times}, {times[0].created_at}, "`created_at` moves")


def time_zone(place: Place) -> None:
    """times have a time zone."""
    with place.plain() as store:
        store.put(place.below(), "key", {})
        expect(store.get(place.below(), "key").updated_at.tzinfo is not None, True, "naive")


def pages(place: Place) -> None:
    """1,000 items of one batch, listed in pages of 100: each once, newest first."""
    with place.plain() as store:
        store.batch([PutOp(place.below(), f"{number:04}", {"number": number}) for number in range(1000)])
        time.sleep(1.1)  # past the next tick of stores that count seconds
        store.put(place.below(), "0500", {"number": 0})
        keys = [i.key for start in range(0, 1000, 100) for i in store.search(place.below(), limit=100, offset=start)]
        if len(set(keys)) != 1000 or len(keys) != 1000:
            raise Wrong(f"{len(set(keys))} of 1,000 came")
        expect(keys[0], "0500", "in the order of insertion")


def negative(place: Place) -> None:
    """a negative limit is a `ValueError`."""
    with place.plain() as store:
        store.put(place.below(), "key", {})
        try:
            found = store.search(place.below(), limit=-1)
        except ValueError:
            return
        raise Wrong(f"{len(found)} items")


def keys_that_match(place: Place, values: dict, filter_: dict) -> list[str]:
    """Puts the values, each as `{"v": value}` under its key, and returns the keys that the filter finds."""
    with place.plain() as store:
        for key, value in values.items():
            store.put(place.below(), key, {"v": value})
        return sorted(item.key for item in store.search(place.below(), filter=filter_))


def numbers(place: Place) -> None:
    """numbers compare as numbers: `$gte 10` over 2, 9, 10, 100."""
    values = {str(number): number for number in (2, 9, 10, 100)}
    expect(keys_that_match(place, values, {"v": {"$gte": 10}}), ["10", "100"], "{found}")


def mixed(place: Place) -> None:
    """a range over mixed types leaves out what it cannot compare."""
    values = {"text": "tea", "nothing": None, "list": [7], "seven": 7}
    expect(keys_that_match(place, values, {"v": {"$gt": 5}}), ["seven"], "{found}")


def dates(place: Place) -> None:
    """dates as text compare: `$gte "2026-01-01"`."""
    values = {"old": "2025-12-31", "new": "2026-03-01"}
    expect(keys_that_match(place, values, {"v": {"$gte": "2026-01-01"}}), ["new"], "{found}")


def booleans(place: Place) -> None:
    """`True` is not 1."""
    expect(keys_that_match(place, {"one": 1, "true": True}, {"v": True}), ["true"], "{found}")


def nested(place: Place) -> None:
    """nested filters and dotted paths."""
    values = {"yes": {"a": {"b": 1}}, "no": {"a": {"b": 2}}}
    expect(keys_that_match(place, values, {"v": {"a": {"b": 1}}}), ["yes"], "nested: {found}")
    expect(keys_that_match(place, values, {"v.a.b": 1}), ["yes"], "dotted: {found}")


def logic(place: Place) -> None:
    """`$in`, `$and`, `$or`."""
    values = {str(number): number for number in range(5)}
    either = {"$or": [{"v": 1}, {"v": {"$in": [3, 4]}}]}
    expect(keys_that_match(place, values, {"$and": [either, {"v": {"$lt": 4}}]}), ["1", "3"], "{found}")


FACTS: list[Probe] = [
    durable,
    sync_and_async,
    threads,
    prefixes,
    ghosts,
    validated,
    batch_order,
    copies,
    unchanged,
    created,
    time_zone,
    pages,
    negative,
    numbers,
    mixed,
    dates,
    booleans,
    nested,
    logic,
]
