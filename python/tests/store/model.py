"""What ``BaseStore`` promises, in the fewest words: a dict, and every answer computed from scratch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from embeddings import vector_of
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, PutOp

Address = tuple[tuple[str, ...], str]


@dataclass
class Row:
    value: dict[str, Any]
    text: str | None
    time: int


class Model:
    """Answers batches like a store that embeds the field ``text`` unless ``index`` is ``False``."""

    def __init__(self) -> None:
        self.rows: dict[Address, Row] = {}
        self.clock = 0

    def batch(self, ops: Sequence[Any]) -> list[Any]:
        results = [None if isinstance(op, PutOp) else self.read(op) for op in ops]
        last = {(op.namespace, op.key): place for place, op in enumerate(ops) if isinstance(op, PutOp)}
        for place, op in enumerate(ops):
            if isinstance(op, PutOp) and last[op.namespace, op.key] == place:
                self.clock += 1
                if op.value is None:
                    self.rows.pop((op.namespace, op.key), None)
                else:
                    text = op.value.get("text") if op.index is None else None
                    self.rows[op.namespace, op.key] = Row(op.value, text, self.clock)
        return results

    def read(self, op: Any) -> Any:
        if isinstance(op, GetOp):
            row = self.rows.get((op.namespace, op.key))
            return row and row.value
        if isinstance(op, ListNamespacesOp):
            names = {name for name, _ in self.rows if all(_matches(name, each) for each in op.match_conditions or ())}
            cut = sorted({name if op.max_depth is None else name[: op.max_depth] for name in names})
            return cut[op.offset : op.offset + op.limit]
        prefix = op.namespace_prefix
        found = [
            (address, row)
            for address, row in self.rows.items()
            if address[0][: len(prefix)] == prefix
            and all(row.value.get(name) == wanted for name, wanted in (op.filter or {}).items())
        ]
        found.sort(key=lambda pair: -pair[1].time)
        if op.query:
            scores = {address: _cosine(op.query, row.text) for address, row in found if row.text is not None}
            scored = sorted((pair for pair in found if pair[0] in scores), key=lambda pair: -scores[pair[0]])
            found = scored + [pair for pair in found if pair[0] not in scores]
        else:
            scores = {}
        page = found[op.offset : op.offset + op.limit]
        return [(address, row.value, scores.get(address)) for address, row in page]


def _matches(name: tuple[str, ...], condition: MatchCondition) -> bool:
    path = tuple(condition.path)
    part = name[: len(path)] if condition.match_type == "prefix" else name[len(name) - len(path) :]
    return len(path) <= len(name) and all(wanted in ("*", label) for wanted, label in zip(path, part, strict=True))


def _cosine(query: str, text: str) -> float:
    one, other = vector_of(query), vector_of(text)
    product = sum(a * b for a, b in zip(one, other, strict=True))
    norms = math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))
    return product / norms if norms else 0.0
