"""What a store offers beyond LangGraph's contract for tenants: how much may lie at and below a prefix.

Invariants:
* A quota belongs to the engine and holds for whoever writes. What a call refuses, it has not written in part.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langgraph.store.base import Op

from . import contract
from .plan import Core
from .reports import Quota, QuotaUse


class Quotas:
    """A store's quotas; see ``Store``."""

    _core: Core

    _off_loop: Callable[[Sequence[Op], Callable[[], Any]], Awaitable[Any]]

    def set_quota(
        self, prefix: Sequence[str], *, items: int | None = None, bytes: int | None = None, each: bool = False
    ) -> None:
        """Lets at most ``items`` items, and ``bytes`` of their keys, values and vectors, lie at and below ``prefix``;
        an empty prefix is the whole store. With ``each``, every prefix that is one label longer may hold so much for
        itself: one call for all tenants. A quota of one of them takes the place of that, and without ``items`` and
        ``bytes`` it lifts it.

        What would exceed a quota raises ``QuotaExceededError`` and writes nothing. What does not grow passes, and so
        do deletes. An item that has expired counts until a sweep removes it.

        >>> import vecmem
        >>> store = vecmem.Store()
        >>> store.set_quota(("users",), each=True, items=1)
        >>> store.put(("users", "ada"), "a", {"n": 1})
        >>> try:
        ...     store.put(("users", "ada", "notes"), "b", {"n": 2})
        ... except vecmem.QuotaExceededError as refused:
        ...     print(refused.scope, refused.used, refused.limit)
        users/ada/ 1 1

        Raises:
            vecmem.LimitError: There are more than 1,000 quotas.
        """
        self._core.engine.set_quota(items=items, bytes=bytes, each=each, **_scope(prefix))

    async def aset_quota(
        self, prefix: Sequence[str], *, items: int | None = None, bytes: int | None = None, each: bool = False
    ) -> None:
        """``set_quota``, without blocking the event loop."""
        await self._off_loop((), lambda: self.set_quota(prefix, items=items, bytes=bytes, each=each))

    def remove_quota(self, prefix: Sequence[str], *, each: bool = False) -> bool:
        """Removes the quota of ``prefix``, or with ``each`` that of every prefix one label longer; returns whether
        there was one.

        >>> import vecmem
        >>> store = vecmem.Store()
        >>> store.set_quota((), items=1)
        >>> store.remove_quota(())
        True
        """
        return self._core.engine.remove_quota(each=each, **_scope(prefix))

    async def aremove_quota(self, prefix: Sequence[str], *, each: bool = False) -> bool:
        """``remove_quota``, without blocking the event loop."""
        removed: bool = await self._off_loop((), lambda: self.remove_quota(prefix, each=each))
        return removed

    def quotas(self) -> list[Quota]:
        """All quotas.

        >>> import vecmem
        >>> store = vecmem.Store()
        >>> store.set_quota(("users",), each=True, items=1)
        >>> store.quotas()
        [{'scope': 'users/*/', 'items': 1, 'bytes': None}]
        """
        return self._core.engine.quotas()

    def quota_use(self, prefix: Sequence[str] = ()) -> list[QuotaUse]:
        """What is held at and below ``prefix``, and at and below those around it, where there is a quota; the widest
        comes first.

        >>> import vecmem
        >>> store = vecmem.Store()
        >>> store.set_quota(("users",), each=True, items=10)
        >>> store.put(("users", "ada"), "a", {"n": 1})
        >>> store.quota_use(("users", "ada"))[0]["items"]
        1
        """
        return self._core.engine.quota_use(**_scope(prefix))

    async def aquota_use(self, prefix: Sequence[str] = ()) -> list[QuotaUse]:
        """``quota_use``, without blocking the event loop."""
        held: list[QuotaUse] = await self._off_loop((), lambda: self.quota_use(prefix))
        return held


def _scope(prefix: Sequence[str]) -> dict[str, Any]:
    found = contract.labels(prefix)
    return {"prefix": found} if found else {"everything": True}
