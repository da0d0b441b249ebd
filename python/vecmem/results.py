"""What a search returns: a list of hits that also says how complete it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from vecmem._vecmem import Hit

    _Hits = list[Hit]
else:
    _Hits = list

_SHOWN = 3
"""Hits that ``repr`` shows."""


class HitGroup(NamedTuple):
    """One group of a search with ``group_by``: what its items have in common, and the best of them."""

    value: Any
    """The value of the field, ``None`` also for items without it; or the list of the labels of a namespace."""
    hits: list[Hit]


class SearchResult(_Hits):
    """The hits of a search or listing, in order.

    ``metric`` is what the scores compare by, ``None`` for a listing. ``incomplete`` is true if damaged parts were
    skipped (only with ``partial=True``). ``explain`` holds, if the call asked for it, dicts, one for each part of the
    store: the path taken, and rows scanned, searched and scored. ``groups`` has the hits of each group of a search with
    ``group_by``, in the same order. ``next`` is where the next page of an order begins, for ``after``; ``None`` at the
    end. Results can be compared, copied and pickled.
    """

    metric: str | None = None
    incomplete: bool = False
    explain: Sequence[dict[str, Any]] = ()
    groups: Sequence[HitGroup] = ()
    next: str | None = None

    def to_dicts(self) -> list[dict[str, Any]]:
        """The hits as dicts that ``json.dumps`` and ``pandas.DataFrame`` take as they are; see ``Hit.to_dict``.

        >>> import json, vecmem
        >>> engine = vecmem.Engine()
        >>> version = engine.put(("notes",), "a", {"n": 1})
        >>> [row["key"] for row in json.loads(json.dumps(engine.list(("notes",)).to_dicts()))]
        ['a']
        """
        return [hit.to_dict() for hit in self]

    def __repr__(self) -> str:
        shown = [repr(hit) for hit in self[:_SHOWN]]
        if len(self) > _SHOWN:
            shown.append(f"... {len(self) - _SHOWN} more")
        metric = f", metric={self.metric!r}" if self.metric else ""
        incomplete = ", incomplete=True" if self.incomplete else ""
        return f"SearchResult([{', '.join(shown)}], count={len(self)}{metric}{incomplete})"
