"""``migrate``: all namespaces and items of any store, times kept, nothing lost between pages, resumable, newer items
kept."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from embeddings import Recorded, index
from langgraph.store.base import BaseStore, Item, ListNamespacesOp, SearchItem, SearchOp
from langgraph.store.memory import InMemoryStore

import vecmem


def rows(store: BaseStore) -> dict[tuple[tuple[str, ...], str], tuple[Any, datetime, datetime]]:
    """All items of a small store."""
    items = store.search((), limit=1_000_000, refresh_ttl=False)
    return {(item.namespace, item.key): (item.value, item.created_at, item.updated_at) for item in items}


def filled(store: BaseStore, namespaces: int = 130, seed: int = 1) -> BaseStore:
    chance = random.Random(seed)
    for number in range(namespaces):
        namespace = ("users", f"u{number}") if number % 3 else ("users", f"u{number}", "facts")
        for key in range(chance.randrange(1, 8)):
            store.put(namespace, f"{key}", {"text": f"text {chance.randrange(50)}", "n": key})
    store.put(("users",), "at the top", {"text": "x"})
    store.put(("*", "odd %_"), "/notes.txt", {"text": "x"})
    return store


class Shuffled(InMemoryStore):
    """Orders items of one time anew for each search, like a database whose ORDER BY leaves them open."""

    def batch(self, ops: Any) -> Any:
        ops = list(ops)
        results = super().batch([op._replace(limit=10**9, offset=0) if isinstance(op, SearchOp) else op for op in ops])
        for place, op in enumerate(ops):
            if isinstance(op, SearchOp):
                random.shuffle(results[place])
                results[place] = results[place][op.offset : op.offset + op.limit]
        return results


@pytest.mark.parametrize("make", [InMemoryStore, Shuffled, vecmem.Store])
@pytest.mark.parametrize("batch_size", [1, 7, 1_000])
def test_everything_is_there(make: type[BaseStore], batch_size: int) -> None:
    source = filled(make())
    with vecmem.Store(index=index(fields=["text"])) as target:
        done = vecmem.migrate(source, target, batch_size=batch_size, progress=False)
        assert rows(target) == rows(source)
        assert (done.items, done.copied, done.present) == (len(rows(source)), len(rows(source)), 0)
        assert done.namespaces == len(source.list_namespaces(limit=10_000))
        texts = target.search((), query="text 7", limit=3)
        assert texts[0].value["text"] == "text 7" and texts[0].score == pytest.approx(1.0, abs=1e-6)


def test_it_goes_on_where_it_was() -> None:
    source, total = filled(InMemoryStore()), 0

    class Breaks(Recorded):
        left = 100

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            self.left -= len(texts)
            if self.left < 0:
                raise OSError("the model went away")
            return super().embed_documents(texts)

    model = Breaks()
    with vecmem.Store(index={**index(fields=["text"]), "embed": model}) as target:
        with pytest.raises(OSError, match="went away"):
            vecmem.migrate(source, target, batch_size=4, progress=False)
        total = target.count()
        assert 0 < total < len(rows(source))
        model.left, before = 10_000, len(model.documents)
        done = vecmem.migrate(source, target, batch_size=16, progress=False)
        assert rows(target) == rows(source)
        assert (done.present, done.copied) == (total, len(rows(source)) - total)
        assert len(model.documents) - before <= done.copied
        assert vecmem.migrate(source, target, progress=False).copied == 0


def test_what_is_newer_in_the_target_stays() -> None:
    source = InMemoryStore()
    source.put(("a",), "k", {"n": "old"})
    with vecmem.Store() as target:
        target.put(("a",), "k", {"n": "new"})
        target.put(("a",), "own", {"n": "own"})
        assert vecmem.migrate(source, target, progress=False).present == 1
        assert target.get(("a",), "k").value == {"n": "new"}
        source.put(("a",), "k", {"n": "newest"})
        assert vecmem.migrate(source, target, progress=False).copied == 1
        assert target.get(("a",), "k").value == {"n": "newest"} and target.count() == 2


def test_only_some_prefixes() -> None:
    source = InMemoryStore()
    for namespace in [("a",), ("a", "x"), ("a", "y", "z"), ("ab",), ("b", "*"), ("b", "c")]:
        source.put(namespace, "k", {})
    with vecmem.Store() as target:
        done = vecmem.migrate(source, target, prefixes=[("a",), ["a", "x"], ("b", "*"), ("none",)], progress=False)
        assert target.list_namespaces() == [("a",), ("a", "x"), ("a", "y", "z"), ("b", "*")]
        assert (done.namespaces, done.copied) == (4, 4)


def test_items_that_cannot_be_held() -> None:
    source = InMemoryStore()
    source.put(("a",), "good", {"n": 1})
    source.put(("a",), "bad", {"n": {1, 2}})
    source.put(("a",), "nan", {"n": float("nan")})
    with vecmem.Store() as target:
        with pytest.raises(vecmem.InvalidValueError, match="n"):
            vecmem.migrate(source, target, progress=False)
        assert target.count() == 0
        done = vecmem.migrate(source, target, skip_refused=True, progress=False)
        assert {key for _, key, _ in done.refused} == {"bad", "nan"} and done.copied == 1
        assert "set" in next(why for _, key, why in done.refused if key == "bad")


def test_items_that_no_address_reaches() -> None:
    wrong = [(("a",), "\ud800"), (("a",), "x" * (1 << 25)), (("a.b",), "k"), (("\udfff",), "k"), ((), "k")]

    class Odd(BaseStore):
        def batch(self, ops: Any) -> Any:
            now = datetime.now(timezone.utc)
            addresses = [(("a",), f"{number}") for number in range(20)]
            for place, address in enumerate(wrong):
                addresses.insert(3 * place, address)
            items = [SearchItem(namespace, key, {"n": 1}, now, now) for namespace, key in addresses]
            return [
                [("a",)] if isinstance(op, ListNamespacesOp) else items[op.offset : op.offset + op.limit] for op in ops
            ]

        async def abatch(self, ops: Any) -> Any:
            raise NotImplementedError

    with vecmem.Store() as target:
        with pytest.raises(ValueError):
            vecmem.migrate(Odd(), target, progress=False)
        assert target.count() == 0
        for batch_size in (7, 1_000):
            done = vecmem.migrate(Odd(), target, skip_refused=True, progress=False, batch_size=batch_size)
            assert sorted((namespace, key) for namespace, key, _ in done.refused) == sorted(wrong)
            assert (target.count(), done.items, done.copied + done.present) == (20, 25, 20)


@pytest.mark.parametrize("failure", ["raises", "returns rows of another length", "returns NaN"])
def test_a_failing_model_is_no_refusal(failure: str) -> None:
    def embed(texts: list[str]) -> list[list[float]]:
        if failure == "raises":
            raise ValueError("the model does not like it")
        return [[1.0] if failure == "returns rows of another length" else [float("nan")] * 4 for _ in texts]

    source = InMemoryStore()
    source.put(("a",), "k", {"text": "x"})
    with vecmem.Store(index={"dims": 4, "embed": embed, "fields": ["text"]}) as target:
        with pytest.raises(ValueError):
            vecmem.migrate(source, target, skip_refused=True, progress=False)
        assert target.count() == 0


def test_naive_times_count_as_utc_and_ttl_is_told() -> None:
    naive = datetime(2025, 1, 2, 3, 4, 5)

    class Naive(BaseStore):
        def batch(self, ops: Any) -> Any:
            items = [SearchItem(("a",), "k", {"n": 1}, naive, naive + timedelta(days=1))]
            return [[("a",)] if isinstance(op, ListNamespacesOp) else items[op.offset :] for op in ops]

        async def abatch(self, ops: Any) -> Any:
            raise NotImplementedError

    with vecmem.Store(ttl={"default_ttl": 60}) as target:
        vecmem.migrate(Naive(), target, progress=False)
        item = target.get(("a",), "k")
        assert isinstance(item, Item) and item.created_at == naive.replace(tzinfo=timezone.utc)
        assert item.updated_at == naive.replace(tzinfo=timezone.utc) + timedelta(days=1)
        assert target._core.engine.get(("a",), "k").ttl == 3600
    with vecmem.Store(ttl={"default_ttl": 60}) as target:
        vecmem.migrate(Naive(), target, ttl=None, progress=False)
        assert target._core.engine.get(("a",), "k").ttl is None


def test_progress_is_told(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    source, told = filled(InMemoryStore()), []
    with vecmem.Store() as target:
        done = vecmem.migrate(source, target, batch_size=10, progress=told.append)
        assert told[-1] == done and [state.items for state in told] == sorted(state.items for state in told)
        assert done.seconds > 0 and capfd.readouterr().err == ""
        vecmem.migrate(source, target, progress=True)
        assert "migrating" in capfd.readouterr().err
        monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
        vecmem.migrate(source, target, progress=True)
        assert "1 item read, 0 copied" in capfd.readouterr().err


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"batch_size": -1}, {"batch_size": "10"}, {"prefixes": ["abc"]}, {"ttl": 0}]
)
def test_wrong_arguments(wrong: dict[str, Any]) -> None:
    with vecmem.Store() as target, pytest.raises(ValueError):
        vecmem.migrate(InMemoryStore(), target, progress=False, **wrong)


def test_into_itself() -> None:
    with vecmem.Store() as store, pytest.raises(vecmem.InvalidInputError, match="the source is the target"):
        vecmem.migrate(store, store)
