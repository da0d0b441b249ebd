"""Probes of search by meaning and of times to live; see `facts`."""

from __future__ import annotations

import contextlib
import time

from facts import DIMS, Place, Probe, Trigrams, expect
from langgraph.store.base import BaseStore, PutOp

TEN = [f"memory number {number}" for number in range(10)]


def in_pages(store: BaseStore, place: Place, query: str, size: int, pages: int) -> list[list[str]]:
    """The keys of that many pages of a search, page by page."""
    return [
        [item.key for item in store.search(place.below(), query=query, limit=size, offset=page * size)]
        for page in range(pages)
    ]


def ranked_pages(place: Place) -> None:
    """pages of a search by meaning join to the whole: 10 items in pages of 2."""
    with place.indexed() as store:
        for text in TEN:
            store.put(place.below(), text, {"text": text})
        pages = in_pages(store, place, "memory", 2, 5)
        expect([len(page) for page in pages], [2] * 5, "pages of {found}")
        expect(len({key for page in pages for key in page}), 10, "{found} different items")


def tail(place: Place) -> None:
    """items without a vector follow the scored ones, once, over all pages."""
    with place.indexed() as store:
        for number, text in enumerate(TEN[:6]):
            store.put(place.below(), text, {"text": text}, index=None if number < 3 else False)
        pages = in_pages(store, place, "memory", 2, 4)
        expect(sorted(len(page) for page in pages), [0, 2, 2, 2], "pages of {found}")
        expect(len({key for page in pages for key in page}), 6, "{found} of 6 items")
        expect(set(pages[0]) < set(TEN[:3]), True, "unscored ones come first")


def exactly_k(place: Place) -> None:
    """exactly as many results as asked for, also when one item has 50 vectors."""
    with place.indexed(fields=["text", "parts[*]"]) as store:
        store.put(place.below(), "many", {"text": "memory", "parts": [f"memory {number}" for number in range(50)]})
        for text in TEN:
            store.put(place.below(), text, {"text": text})
        found = store.search(place.below(), query="memory", limit=5)
        expect(len({item.key for item in found}), 5, "{found} of 5")


def stale(place: Place) -> None:
    """a replaced text no longer answers, nor one put again with `index=False`."""
    with place.indexed(fields=["parts[*]"]) as store:
        store.put(place.below(), "shrunk", {"parts": ["green tea", "rain"]})
        store.put(place.below(), "shrunk", {"parts": ["rain"]})
        store.put(place.below(), "hidden", {"parts": ["green tea"]})
        store.put(place.below(), "hidden", {"parts": ["green tea"]}, index=False)
        best = max((item.score or 0.0 for item in store.search(place.below(), query="green tea")), default=0.0)
        expect(best < 0.99, True, f"a text that is gone scores {best:.2f}")


def duplicates(place: Place) -> None:
    """the same text in two items of one batch."""
    with place.indexed() as store:
        store.batch([PutOp(place.below(), key, {"text": "green tea"}) for key in ("a", "b")])
        scores = [item.score for item in store.search(place.below(), query="green tea")]
        expect(len(scores) == 2 and scores[0] == scores[1], True, f"scores {scores}")


def configured_fields(place: Place) -> None:
    """the `fields` of the index are what is embedded, and nothing else."""
    with place.indexed(fields=["text"], text_fields=None) as store:
        store.put(place.below(), "tea", {"text": "green tea", "noise": "a house by the sea " * 20})
        score = store.search(place.below(), query="green tea")[0].score
        expect(score is not None and score > 0.99, True, f"the text itself scores {score:.2f}")


def query_embedding(place: Place) -> None:
    """queries are embedded by `embed_query`."""
    embeddings = Trigrams()
    with place.indexed(embed=embeddings) as store:
        store.put(place.below(), "tea", {"text": "green tea"})
        store.search(place.below(), query="tea")
        expect(embeddings.queries, ["tea"], "as a document")


def whole_document(place: Place) -> None:
    """`index=["$"]` of a put embeds the whole value."""
    with place.indexed() as store:
        store.put(place.below(), "tea", {"drink": "green tea"}, index=["$"])
        expect(store.search(place.below(), query="green tea")[:1] != [], True, "not found")
        expect(store.search(place.below(), query="green tea")[0].score is not None, True, "no vector")


def failed_embedding(place: Place) -> None:
    """a failing embedding leaves nothing written."""

    class Failing(Trigrams):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise ConnectionError("no network")

    with place.indexed(embed=Failing()) as store:
        with contextlib.suppress(ConnectionError):
            store.batch([PutOp(place.below(), "a", {"no": 1}, index=False), PutOp(place.below(), "b", {"text": "tea"})])
        expect(store.search(place.below()), [], "{found}")


def zeros(place: Place) -> None:
    """an embedding of all zeros scores a number, not NaN."""

    class Zeros(Trigrams):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[0.0] * DIMS for _ in texts]

    with place.indexed(embed=Zeros()) as store:
        store.put(place.below(), "tea", {"text": "tea"})
        found = store.search(place.below(), query="tea")
        expect(len(found) == 1 and found[0].score == 0.0, True, f"{[item.score for item in found]}")


def euclidean(place: Place) -> None:
    """`distance_type: l2` puts the nearest first."""
    with place.indexed(distance_type="l2") as store:
        for text in ["green tea", "a house by the sea"]:
            store.put(place.below(), text, {"text": text})
        found = store.search(place.below(), query="green tea")
        expect(found[0].key, "green tea", "the farthest")
        expect(found[0].score <= 0.0, True, "not a distance: ignored")


def fractions(place: Place) -> None:
    """times to live, in fractions of a minute too."""
    with place.plain(ttl={"default_ttl": 10}) as store:
        store.put(place.below(), "key", {"text": "tea"}, ttl=0.4)
        store.get(place.below(), "key")  # refreshes: 24 more seconds
        if hasattr(store, "sweep_ttl"):
            store.sweep_ttl()
        expect(store.get(place.below(), "key") is not None, True, "0.4 minutes become 0")


def omit_expired(place: Place) -> None:
    """with `omit_expired`, expired items are out of sight before they are swept."""
    with place.plain(ttl={"default_ttl": 10, "omit_expired": True, "refresh_on_read": False}) as store:
        store.put(place.below("gone"), "key", {"text": "tea"}, ttl=0.01)
        time.sleep(1.7)
        expect(store.get(place.below("gone"), "key"), None, "still there")
        expect(store.search(place.below()), [], "still found")
        expect(store.list_namespaces(prefix=place.below()), [], "still listed")


FACTS: list[Probe] = [
    ranked_pages,
    tail,
    exactly_k,
    stale,
    duplicates,
    configured_fields,
    query_embedding,
    whole_document,
    failed_embedding,
    zeros,
    euclidean,
    fractions,
    omit_expired,
]
