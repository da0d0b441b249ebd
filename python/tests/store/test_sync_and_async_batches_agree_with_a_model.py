"""Random batches give what a dict gives, through ``batch``, through ``abatch``, and after a reopen."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from embeddings import index
from langgraph.store.base import GetOp, Item, ListNamespacesOp, MatchCondition, PutOp, SearchItem, SearchOp
from model import Model

import vecmem

LABELS = ["a", "b", "a-b", "ü", "*", "x%_[y]"]
KEYS = ["", "1", "/notes.txt", "*", "new\nline", "\x00"]
WORDS = ["tea", "green tea", "coffee", "cat", "a cat called Bit", ""]


class Chance(random.Random):
    """What a random client asks for."""

    def namespace(self, least: int = 1) -> tuple[str, ...]:
        return tuple(self.choices(LABELS, k=self.randint(least, 3)))

    def page(self) -> dict[str, int]:
        return {"limit": self.choice([0, 1, 2, 3, 10, 1000, 10**30]), "offset": self.choice([0, 0, 0, 1, 3, 1000])}

    def operation(self) -> Any:
        kind = self.randrange(10)
        if kind < 4:
            value = {"text": self.choice(WORDS), "kind": self.choice("xyz"), "n": self.randrange(5)}
            return PutOp(self.namespace(), self.choice(KEYS), value, index=self.choice([None, None, False]))
        if kind == 4:
            return PutOp(self.namespace(), self.choice(KEYS), None)
        if kind == 5:
            return GetOp(self.namespace(), self.choice(KEYS))
        if kind < 9:
            conditions = self.choice([None, {}, {"kind": "x"}, {"kind": "y", "n": 1}])
            return SearchOp(self.namespace(0), conditions, query=self.choice([None, "", *WORDS]), **self.page())
        path = tuple(self.choice([label, "*"]) for label in self.namespace())
        conditions = [MatchCondition(self.choice(["prefix", "suffix"]), path) for _ in range(self.randrange(3))]
        return ListNamespacesOp(tuple(conditions), self.choice([None, 0, 1, 2]), **self.page())


def plain(result: Any) -> Any:
    """A store's result in the words of the model."""
    if isinstance(result, Item):
        return result.value
    if isinstance(result, list) and result and isinstance(result[0], SearchItem):
        return [((item.namespace, item.key), item.value, item.score) for item in result]
    return result


def agree(found: list[Any], wanted: list[Any]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(map(plain, found), wanted, strict=True):
        if not (isinstance(one, list) and one and len(one[0]) == 3 and isinstance(one[0][1], dict)):
            assert one == other
            continue
        # Items of equal score may come in either order; the scores must not, nor what follows without one.
        assert [score for *_, score in one] == pytest.approx([score for *_, score in other], abs=1e-6)
        unscored = [pair for *pair, score in one if score is None]
        assert unscored == [pair for *pair, score in other if score is None]


@pytest.mark.parametrize("seed", range(12))
def test_random_batches(seed: int, tmp_path: Path) -> None:
    print("seed", seed)
    chance, model = Chance(seed), Model()
    with vecmem.Store(tmp_path / "store", index=index(fields=["text"])) as store:
        for _ in range(60):
            ops = [chance.operation() for _ in range(chance.choice([1, 1, 2, 8]))]
            wanted = model.batch(ops)
            found = asyncio.run(store.abatch(ops)) if chance.random() < 0.5 else store.batch(iter(ops))
            agree(found, wanted)
    everything = SearchOp((), limit=10_000)
    with vecmem.Store(tmp_path / "store", index=index(fields=["text"])) as store:
        agree(store.batch([everything]), [model.read(everything)])
