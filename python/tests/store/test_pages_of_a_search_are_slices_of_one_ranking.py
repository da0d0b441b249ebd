"""Pages of a search by meaning join to the whole: nothing is lost or repeated, though the first one walks a graph and
others write between them."""

from __future__ import annotations

import asyncio
import functools
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
from langgraph.store.base import PutOp

import vecmem
from vecmem.ranking import Ranking

NOTES = ("notes",)
ITEMS, UNSCORED, DIMS, SIZE = 12_000, 30, 16, 100
SEED = 11


@functools.cache
def vector_of(text: str) -> list[float]:
    """A direction of its own for each text."""
    vector: list[float] = numpy.random.default_rng(list(text.encode())).normal(size=DIMS).tolist()
    return vector


def embed(texts: list[str]) -> list[list[float]]:
    return [vector_of(text) for text in texts]


@pytest.fixture(scope="module")
def filled() -> Iterator[vecmem.Store]:
    """A namespace with a graph, and some items without vectors."""
    with vecmem.Store(index={"dims": DIMS, "embed": embed, "fields": ["text"]}) as store:
        texts = [f"note {number}" for number in range(ITEMS)]
        store.batch([PutOp(NOTES, text, {"text": text, "odd": place % 2 == 1}) for place, text in enumerate(texts)])
        store.batch([PutOp(NOTES, f"plain {number}", {"odd": True}) for number in range(UNSCORED)])
        engine = store._core.engine
        engine.compact()
        assert engine.build_graph(NOTES)["nodes"] == ITEMS
        parts = engine.search(NOTES, vector_of("asked"), include_unscored=True, limit=SIZE, explain=True).explain
        assert [part["path"] for part in parts] == ["graph"]
        yield store


def scores_of(query: str, keep: Callable[[int], bool] = lambda place: True) -> dict[str, float]:
    """The keys of scored items and their scores by the oracle, best first."""
    numbers = [number for number in range(ITEMS) if keep(number)]
    rows = numpy.array([vector_of(f"note {number}") for number in numbers])
    asked = numpy.array(vector_of(query))
    scores = rows @ asked / numpy.linalg.norm(rows, axis=1) / numpy.linalg.norm(asked)
    return {f"note {numbers[place]}": float(scores[place]) for place in numpy.argsort(-scores)}


def wanted(query: str) -> list[str]:
    return list(scores_of(query))


def pages(store: vecmem.Store, between: Callable[[], Any] = lambda: None, **asked: Any) -> list[list[str]]:
    found: list[list[str]] = []
    while not found or len(found[-1]) == SIZE:
        hits = store.search(NOTES, limit=SIZE, offset=len(found) * SIZE, **asked)
        found.append([hit.key for hit in hits])
        between()
    return found


def miss(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Makes walks miss items of their answer, as they may: here half of them."""
    chance = random.Random(seed)
    search = Ranking._search

    def missing(self: Ranking, offset: int, limit: int, exact: bool) -> list[Any]:
        if exact:
            return search(self, offset, limit, exact=True)
        return [hit for hit in search(self, 0, 3 * limit, exact=True) if chance.random() < 0.5][:limit]

    monkeypatch.setattr(Ranking, "_search", missing)


@pytest.mark.parametrize("walk", ["as it is", "that misses"])
@pytest.mark.parametrize("conditions", [None, {"odd": True}], ids=["all", "filtered"])
def test_the_union_is_the_whole(
    filled: vecmem.Store, conditions: Any, walk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    print("seed", SEED)
    if walk == "that misses":
        miss(monkeypatch, SEED)
    chance = random.Random(SEED)

    def elsewhere() -> None:
        """Another thread writes, which shifts what a page at an offset would be."""
        puts = [PutOp(NOTES, "new", {"text": "asked", "odd": True})]
        gone = [PutOp(NOTES, "new", None)]
        thread = threading.Thread(target=filled.batch, args=(chance.choice([puts, gone]),))
        thread.start()
        thread.join()

    found = pages(filled, elsewhere, query="asked", filter=conditions)
    filled.delete(NOTES, "new")
    scores = scores_of("asked", lambda place: conditions is None or place % 2 == 1)
    keys = [key for page in found for key in page]
    assert len(keys) == len(set(keys))
    assert keys[len(scores) :] == [f"plain {number}" for number in reversed(range(UNSCORED))]
    assert set(keys[: len(scores)]) == set(scores)
    in_order = pytest.approx(list(scores.values())[3 * SIZE :], abs=1e-6)
    assert [scores[key] for key in keys[3 * SIZE : len(scores)]] == in_order, "what a walk missed comes soon after it"
    for page in found[: len(scores) // SIZE]:
        assert [scores[key] for key in page] == pytest.approx(
            sorted((scores[key] for key in page), reverse=True), abs=1e-6
        )


def test_a_walk_is_asked_first(filled: vecmem.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    miss(monkeypatch, SEED)
    first = [hit.key for hit in filled.search(NOTES, query="walk", limit=SIZE)]
    assert first != wanted("walk")[:SIZE], "the test's own walk, which misses"
    second = [hit.key for hit in filled.search(NOTES, query="walk", limit=SIZE, offset=SIZE)]
    assert second == [key for key in wanted("walk")[: 2 * SIZE] if key not in first][:SIZE]


def test_own_writes_show_in_the_next_page(filled: vecmem.Store) -> None:
    filled.search(NOTES, query="mine", limit=SIZE)
    filled.put(NOTES, "mine", {"text": "mine"})
    page = [hit.key for hit in filled.search(NOTES, query="mine", limit=SIZE, offset=SIZE)]
    filled.delete(NOTES, "mine")
    assert page == ["mine", *wanted("mine")][SIZE : 2 * SIZE]


def test_tasks_and_questions_have_rankings_of_their_own(filled: vecmem.Store) -> None:
    async def paged(query: str) -> list[str]:
        found: list[str] = []
        for place in range(4):
            found += [hit.key for hit in await filled.asearch(NOTES, query=query, limit=SIZE, offset=place * SIZE)]
        return found

    async def several() -> list[list[str]]:
        return list(await asyncio.gather(*(paged(f"query {number}") for number in range(6))))

    for number, keys in enumerate(asyncio.run(several())):
        assert sorted(keys) == sorted(wanted(f"query {number}")[: 4 * SIZE])
