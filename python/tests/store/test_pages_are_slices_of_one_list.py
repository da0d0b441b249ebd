"""Who lists by offset sees one list: no row is lost or comes twice, whatever others write between the pages."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any

import pytest

import vecmem

FILES = ("files",)
SIZE = 100


def pages(store: vecmem.Store, between: Any = lambda: None, **asked: Any) -> list[tuple[str, Any]]:
    """All files, as Deep Agents reads them: until a page is short."""
    found: list[tuple[str, Any]] = []
    while True:
        page = store.search(FILES, limit=SIZE, offset=len(found), **asked)
        found += [(item.key, item.value) for item in page]
        if len(page) < SIZE:
            return found
        between()


def fill(store: vecmem.Store, number: int) -> dict[str, dict[str, Any]]:
    files = {f"/{place}": {"n": place, "odd": place % 2 == 1} for place in range(number)}
    for key, value in files.items():
        store.put(FILES, key, value)
    return files


def elsewhere(step: Any) -> None:
    """Runs it on another thread, and waits."""
    thread = threading.Thread(target=step)
    thread.start()
    thread.join()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("conditions", [None, {"odd": True}], ids=["all", "filtered"])
def test_others_write_between_the_pages(plain_store: vecmem.Store, seed: int, conditions: Any) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    files = fill(plain_store, 1_050)

    def write() -> None:
        for _ in range(20):
            key = f"/{chance.randrange(1_200)}"
            if chance.random() < 0.4:
                plain_store.delete(FILES, key)
            else:
                plain_store.put(FILES, key, {"n": -1, "odd": chance.random() < 0.5})

    wanted = [(key, value) for key, value in reversed(files.items()) if conditions is None or value["odd"]]
    assert pages(plain_store, lambda: elsewhere(write), filter=conditions) == wanted
    again = pages(plain_store, filter=conditions)
    assert again != wanted and len(again) == len(dict(again))


def test_others_write_all_the_while(plain_store: vecmem.Store) -> None:
    files = fill(plain_store, 1_050)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            plain_store.put(FILES, f"/{number % 500}", {"n": -number})
            plain_store.put(FILES, f"/new {number}", {"n": -number})
            plain_store.delete(FILES, f"/new {number - 1}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            found = pages(plain_store)
            assert len(found) == len(dict(found))
            assert files.keys() <= dict(found).keys()
    finally:
        stop.set()
        writer.join()


def test_tasks_have_lists_of_their_own(plain_store: vecmem.Store) -> None:
    fill(plain_store, 3 * SIZE)

    async def listing(writes: bool) -> list[str]:
        found: list[str] = []
        while True:
            page = await plain_store.asearch(FILES, limit=SIZE, offset=len(found))
            found += [item.key for item in page]
            if len(page) < SIZE:
                return found
            if writes:
                await asyncio.create_task(plain_store.aput(FILES, f"/new {len(found)}", {}))

    async def both() -> tuple[list[str], list[str]]:
        return tuple(await asyncio.gather(listing(True), listing(False)))  # type: ignore[return-value]

    for found in asyncio.run(both()):
        assert len(found) == len(set(found)) and len(found) >= 3 * SIZE


def test_own_writes_show_in_the_next_page(plain_store: vecmem.Store) -> None:
    fill(plain_store, 3 * SIZE)
    first = [item.key for item in plain_store.search(FILES, limit=SIZE)]
    plain_store.delete(FILES, first[0])
    second = [item.key for item in plain_store.search(FILES, limit=SIZE, offset=SIZE)]
    assert second[0] == f"/{2 * SIZE - 2}"  # one further, since one before it is gone


def test_a_page_that_goes_on_in_no_other_is_read_afresh(plain_store: vecmem.Store) -> None:
    fill(plain_store, 3 * SIZE)
    plain_store.search(FILES, limit=SIZE)
    elsewhere(lambda: plain_store.put(FILES, "/new", {}))
    for limit, offset in [(SIZE, 0), (SIZE, 1), (SIZE - 1, SIZE)]:
        keys = [item.key for item in plain_store.search(FILES, limit=limit, offset=offset)]
        everything = ["/new", *(f"/{place}" for place in reversed(range(3 * SIZE)))]
        assert keys == everything[offset : offset + limit]
