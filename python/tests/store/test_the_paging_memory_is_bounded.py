"""Lists are kept for 10 seconds, for at most 64 questions, and not longer than whoever asked."""

from __future__ import annotations

import gc
import threading

import pytest

import vecmem
from vecmem.paging import LISTINGS, SECONDS, PagingMemory, current_owner


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Listing:
    pass


def test_time() -> None:
    clock = Clock()
    memory, me = PagingMemory(clock), current_owner()
    memory.keep(me, "question", Listing(), 100)
    clock.now = SECONDS - 0.001
    kept = memory.take(me, "question", 100)
    assert isinstance(kept, Listing) and len(memory) == 0
    memory.keep(me, "question", kept, 200)
    clock.now += SECONDS
    assert memory.take(me, "question", 200) is None and len(memory) == 0


def test_what_is_over_goes_with_any_use() -> None:
    clock = Clock()
    memory, me = PagingMemory(clock), current_owner()
    memory.keep(me, "early", Listing(), 100)
    clock.now = SECONDS / 2
    memory.keep(me, "late", Listing(), 100)
    clock.now = SECONDS
    memory.expire()
    assert len(memory) == 1 and memory.take(me, "late", 100) is not None


def test_what_is_older_than_a_purge_goes_with_any_use() -> None:
    epoch = 5
    memory, me = PagingMemory(purge_epoch=lambda: epoch), current_owner()
    memory.keep(me, "first", Listing(), 100)
    memory.keep(me, "second", Listing(), 100, epoch)
    epoch = 6
    memory.keep(me, "found before", Listing(), 100, 5)
    assert len(memory) == 2, "what was found before a purge is not kept after it"
    assert memory.take(me, "second", 100) is None and len(memory) == 0
    memory.keep(me, "third", Listing(), 100, epoch)
    epoch = 7
    memory.expire()
    assert len(memory) == 0


def test_number() -> None:
    memory, me = PagingMemory(), current_owner()
    for question in range(LISTINGS + 10):
        memory.keep(me, question, Listing(), 100)
    assert len(memory) == LISTINGS
    assert memory.take(me, 9, 100) is None and memory.take(me, 10, 100) is not None


def test_owners() -> None:
    memory, me = PagingMemory(), current_owner()
    memory.keep(me, "question", Listing(), 100)

    def other() -> None:
        assert current_owner() is current_owner() is not me
        assert memory.take(current_owner(), "question", 100) is None
        memory.keep(current_owner(), "theirs", Listing(), 100)
        memory.forget(current_owner())
        memory.keep(current_owner(), "theirs", Listing(), 100)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    del thread
    gc.collect()
    memory.expire()
    assert len(memory) == 1, "the other thread has ended"
    memory.forget(me)
    assert len(memory) == 0


def test_other_offsets() -> None:
    memory, me = PagingMemory(), current_owner()
    memory.keep(me, "question", Listing(), 100)
    assert memory.take(me, "question", 200) is None
    assert memory.take(me, "question", 100) is None, "the list was given up"


@pytest.mark.parametrize("use", ["flush", "compact", "stats", "sweep_ttl"])
def test_upkeep_lets_go_of_what_is_over(plain_store: vecmem.Store, use: str) -> None:
    for number in range(2):
        plain_store.put(("a",), f"{number}", {})
    pages, clock = plain_store._core.pages, Clock()
    pages._clock = clock
    plain_store.search(("a",), limit=1)
    getattr(plain_store, use)()
    assert len(pages) == 1
    clock.now = SECONDS
    getattr(plain_store, use)()
    assert len(pages) == 0
