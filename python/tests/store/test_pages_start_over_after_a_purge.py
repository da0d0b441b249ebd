"""A caller that asks for page after page meets no error when a purge ends its list: the next page is of a new list."""

from __future__ import annotations

import pytest
from langgraph.store.base import PutOp

import vecmem
from vecmem import contract

NOTES = ("notes",)


@pytest.fixture(params=[None, "asked"])
def query(request: pytest.FixtureRequest) -> str | None:
    found: str | None = request.param
    return found


@pytest.fixture
def store() -> vecmem.Store:
    store = vecmem.Store(index={"dims": 2, "embed": lambda texts: [[1.0, len(text)] for text in texts]})
    store.batch([PutOp(NOTES, f"{number:02}", {"text": "t" * (number + 1)}) for number in range(40)])
    return store


def test_between_pages(store: vecmem.Store, query: str | None) -> None:
    everything = [hit.key for hit in store.search(NOTES, query=query, limit=100)]
    store.search(NOTES, query=query, limit=10)
    # Not by this thread's store, which would forget its lists.
    store._core.engine.delete(NOTES, everything[20])
    assert len(store._core.pages) == 1
    store._core.engine.purge(NOTES, keep_living=True, grace=0)
    found = [[hit.key for hit in store.search(NOTES, query=query, limit=10, offset=offset)] for offset in (10, 20, 30)]
    left = [key for key in everything if key != everything[20]]
    assert found == [left[10:20], left[20:30], left[30:]]


def test_amid_a_page(store: vecmem.Store, query: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is taken out of the memory, and only then a purge ends it."""
    everything = [hit.key for hit in store.search(NOTES, query=query, limit=100)]
    store.search(NOTES, query=query, limit=10)
    pages, take = store._core.pages, store._core.pages.take
    taken = []

    def take_and_purge(*asked):  # type: ignore[no-untyped-def]
        taken.append(take(*asked))
        store._core.engine.delete(NOTES, everything[20])
        store._core.engine.purge(NOTES, keep_living=True, grace=0)
        return taken[-1]

    monkeypatch.setattr(pages, "take", take_and_purge)
    found = [hit.key for hit in store.search(NOTES, query=query, limit=10, offset=10)]
    assert taken[0] is not None and found == everything[10:20]
    assert len(pages) == 1, "the new list is kept"
    monkeypatch.undo()
    found = [hit.key for hit in store.search(NOTES, query=query, limit=10, offset=20)]
    assert found == everything[21:31]


def test_what_is_kept_beyond_a_call_can_be_let_go_of(store: vecmem.Store) -> None:
    store.search(NOTES, limit=10)
    assert len(store._core.pages) == 1 and contract._check_known_labels.cache_info().currsize > 0
    with store._core.purging():
        assert len(store._core.pages) == 0 and contract._check_known_labels.cache_info().currsize == 0
        store.search(NOTES, limit=10)
    assert len(store._core.pages) == 0 and contract._check_known_labels.cache_info().currsize == 0
    assert store._core.engine.stats()["memory"]["open_cursors"] == 0


def test_a_purge_by_the_store_waits_for_none_of_its_lists(store: vecmem.Store, query: str | None) -> None:
    """Its lists go before, so that the grace is not used up; what others hold is ended after it."""
    everything = [hit.key for hit in store.search(NOTES, query=query, limit=100)]
    store.put(("others",), "stays", {"text": "here"})
    store.search(NOTES, query=query, limit=10)
    assert len(store._core.pages) == 1
    receipt = store.purge(NOTES, grace=60)
    assert (receipt["items"], receipt["scope"]) == (len(everything), "notes/")
    holders = receipt["holders"]
    assert holders["waited_seconds"] < 30 and (holders["ended"], holders["left"]) == ([], 0)
    assert store.search(NOTES, query=query, limit=10, offset=10) == []
    assert store.count() == 1 and store.get(("others",), "stays") is not None
    with pytest.raises(vecmem.InvalidInputError, match="purge needs at least one label"):
        store.purge(())


def test_what_lives_may_stay(store: vecmem.Store) -> None:
    store.delete(NOTES, "07")
    receipt = store.purge(("notes",), keep_living=True, grace=0)
    assert receipt["items"] == 0 and store.count(NOTES) == 39
    assert store.check() == {**store.check(), "problems": []}
