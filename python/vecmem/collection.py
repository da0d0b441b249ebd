"""What a store offers beyond LangGraph's contract for its items: updates and deletes of many.

Invariants:
* An update is atomic: it reads an item and writes it on the condition that nobody wrote it in between; who did is read
  again.
* What an update changes of the text is embedded anew; the time at which the item expires stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from langgraph.store.base import PutOp

from . import contract
from ._vecmem import _merged
from .collection_reads import CollectionReads
from .errors import ConditionFailedError, InvalidValueError
from .failures import logged_off_main_thread
from .plan import Plan
from .reads import to_micros

UPDATES_MAX = 100
"""Other writes of the same item that an update gives way to before it fails."""


class Collection(CollectionReads):
    """A store as a collection of items; see ``Store``."""

    def update(
        self,
        namespace: tuple[str, ...],
        key: str,
        patch: Mapping[str, Any],
        *,
        if_updated_at: datetime | None = None,
        index: Literal[False] | list[str] | None = None,
    ) -> dict[str, Any] | None:
        """Changes parts of an item's value by a JSON merge patch (RFC 7386), atomically.

        In ``patch``, a member that is ``None`` is removed, a dict is merged into the dict that is there, and everything
        else takes the place of what is there. ``if_updated_at``: only if the item was last updated then. ``index``:
        what to embed of the new value, as in ``put``. The time to live and the expiry stay.

        Returns the new value, or ``None`` if there is no item.

        Raises:
            vecmem.ConditionFailedError: ``if_updated_at`` does not hold; nothing was written.

        >>> import vecmem
        >>> store = vecmem.Store()
        >>> store.put(("users",), "ada", {"name": "Ada", "home": {"city": "London", "street": "St James's"}})
        >>> store.update(("users",), "ada", {"home": {"street": None}, "age": 36})
        {'name': 'Ada', 'home': {'city': 'London'}, 'age': 36}
        """
        with logged_off_main_thread():
            return self._update(_checked(namespace, key, patch, index), patch, if_updated_at)

    async def aupdate(
        self,
        namespace: tuple[str, ...],
        key: str,
        patch: Mapping[str, Any],
        *,
        if_updated_at: datetime | None = None,
        index: Literal[False] | list[str] | None = None,
    ) -> dict[str, Any] | None:
        """``update``, without blocking the event loop."""
        op = _checked(namespace, key, patch, index)

        def step() -> dict[str, Any] | None:
            return self._update(op, patch, if_updated_at)

        found: dict[str, Any] | None = await self._off_loop((op,), step)
        return found

    def _update(self, op: PutOp, patch: Mapping[str, Any], if_updated_at: datetime | None) -> dict[str, Any] | None:
        core = self._core
        for remaining in reversed(range(UPDATES_MAX)):
            item = core.engine.get(op.namespace, op.key)
            if if_updated_at is not None and (item is None or item.updated_at != to_micros(if_updated_at)):
                raise ConditionFailedError(
                    f"the item {contract.shown(op.key)} was not last updated at {if_updated_at}; read it again"
                )
            if item is None:
                return None
            value: dict[str, Any] = _merged(item.value, patch)
            plan = Plan(core, [op._replace(value=value)], include_expired=False)
            try:
                plan.update(self._embed(plan), patch, item.version)
                return value
            except ConditionFailedError:
                if if_updated_at is not None or not remaining:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def delete_many(self, addresses: Iterable[tuple[Sequence[str], str]]) -> int:
        """Deletes the items under several ``(namespace, key)`` pairs at once, all or none; returns how many there were.

        >>> import vecmem
        >>> store = vecmem.Store()
        >>> store.put(("users",), "ada", {"name": "Ada"})
        >>> store.delete_many([(("users",), "ada"), (("users",), "bob")])
        1
        """
        found = [contract.address(pair) for pair in addresses]
        try:
            with logged_off_main_thread(len(found)):
                return sum(deleted is True for deleted in self._core.engine.delete_many(found))
        finally:
            self._core.pages.forget(None)

    async def adelete_many(self, addresses: Iterable[tuple[Sequence[str], str]]) -> int:
        """``delete_many``, without blocking the event loop."""
        found = [contract.address(pair) for pair in addresses]
        deleted: int = await self._off_loop((), lambda: self.delete_many(found))
        return deleted

    def __repr__(self) -> str:
        name, embedder, engine = type(self).__name__, self._core.embedder, repr(self._core.engine)
        model = f", model={embedder.model!r}" if embedder is not None and embedder.model else ""
        return f"{name}{engine.removeprefix('Engine')[:-1]}{model})"


def _checked(namespace: Any, key: Any, patch: Any, index: Any) -> PutOp:
    if not isinstance(patch, Mapping):
        raise InvalidValueError(f"patch must be a mapping such as a dict, but got {type(patch).__name__}")
    op = contract.checked(PutOp(namespace, key, {}, index))
    assert isinstance(op, PutOp)
    return op
