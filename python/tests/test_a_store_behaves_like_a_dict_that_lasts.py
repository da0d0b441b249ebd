"""Puts, deletes, batches and reopens agree with a dict, whatever their order: what is read, listed, counted and
scanned.
"""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from vecmem import ConditionFailedError, Delete, Engine, Put

Address = tuple[tuple[str, ...], str]
LABELS = ["a", "b", "a\0", "a/b", "é", "😀"]


def address(random: Random) -> Address:
    labels = tuple(random.choice(LABELS) for _ in range(random.randrange(1, 4)))
    return labels, random.choice(["", "k", "k/1", "\0", "ключ", str(random.randrange(5))])


class Model:
    """The store as a dict from address to (value, version)."""

    def __init__(self) -> None:
        self.items: dict[Address, tuple[dict[str, Any], int]] = {}
        self.newest: list[Address] = []

    def put(self, where: Address, value: dict[str, Any], version: int) -> None:
        self.delete(where)
        self.items[where] = value, version
        self.newest.insert(0, where)

    def delete(self, where: Address) -> bool:
        if where not in self.items:
            return False
        del self.items[where]
        self.newest.remove(where)
        return True

    def agrees(self, engine: Engine, random: Random) -> None:
        where = address(random)
        item = engine.get(*where)
        assert (item and (item.value, item.version)) == self.items.get(where)
        listed = engine.list(everything=True, limit=1000)
        assert [(item.namespace, item.key) for item in listed] == self.newest
        prefix = where[0][: random.randrange(1, 3)]
        below = [at for at in self.newest if at[0][: len(prefix)] == prefix]
        assert [(item.namespace, item.key) for item in engine.list(prefix=prefix, limit=1000)] == below
        assert engine.count(prefix=prefix) == len(below)
        in_order = sorted(self.items, key=lambda at: (at[0], at[1].encode()))
        assert [(item.namespace, item.key) for item in engine.iterate(everything=True)] == in_order
        assert engine.list_namespaces(limit=1000) == sorted({at[0] for at in self.items})
        some = random.sample(self.newest, min(3, len(self.newest))) + [(("nobody",), "x")]
        assert [item and item.value for item in engine.get_many(some)] == [
            self.items[at][0] if at in self.items else None for at in some
        ]


def step(engine: Engine, model: Model, random: Random, number: int) -> None:
    where, value = address(random), {"n": number}
    kind = random.randrange(7)
    if kind < 2:
        model.put(where, value, engine.put(*where, value))
    elif kind == 2:
        assert engine.delete(*where) == model.delete(where)
    elif kind == 3:
        batch(engine, model, random, number)
    elif kind == 4:
        conditional(engine, model, random, where, value)
    elif kind == 5 and number % 7 == 0:
        engine.delete_namespace(where[0], below=number % 2 == 0)
        length = len(where[0])
        for at in list(model.items):
            if at[0] == where[0] or (number % 2 == 0 and at[0][:length] == where[0]):
                model.delete(at)


def batch(engine: Engine, model: Model, random: Random, number: int) -> None:
    operations: list[Any] = []
    before = set(model.items)
    for index in range(random.randrange(5)):
        at = address(random)
        if random.random() < 0.3:
            operations.append((at, Delete(*at)))
        elif random.random() < 0.5:
            operations.append((at, Put(*at, {"n": number, "index": index})))
        else:
            operations.append((at, {"namespace": at[0], "key": at[1], "value": {"n": number, "index": index}}))
    results = engine.write(operation for _, operation in operations)
    assert len(results) == len(operations)
    for index, (at, operation) in enumerate(operations):
        if any(at == later for later, _ in operations[index + 1 :]):
            assert results[index] is None, "a later operation of the batch has the same key"
        elif isinstance(operation, Delete):
            assert results[index] is (at in before)
            model.delete(at)
        else:
            model.put(at, {"n": number, "index": index}, results[index])


def conditional(engine: Engine, model: Model, random: Random, where: Address, value: dict[str, Any]) -> None:
    current = model.items.get(where)
    wanted = random.choice([current[1], current[1] + 1]) if current else 1
    options: dict[str, Any] = random.choice([{"if_absent": True}, {"if_version": wanted}])
    holds = (current is None) if "if_absent" in options else (current is not None and wanted == current[1])
    if holds:
        model.put(where, value, engine.put(*where, value, **options))
    else:
        with pytest.raises(ConditionFailedError):
            engine.write([Put(*address(random), {"never": True}), Put(*where, value, **options)])


@pytest.mark.parametrize("durability", ["sync", "manual"])
def test_every_step(path: Path, random: Random, durability: Any) -> None:
    engine, model = Engine(path, durability=durability), Model()
    for number in range(200):
        step(engine, model, random, number)
        model.agrees(engine, random)
        if number % 50 == 49:
            engine.close()
            engine = Engine(path, durability=durability, create=False)
            model.agrees(engine, random)
    assert engine.check()["problems"] == [] and engine.stats()["size"]["items"] == len(model.items)
    engine.delete_everything()
    assert engine.count(everything=True) == 0
    engine.close()
