"""Writes of a store that happen on a condition.

Invariant: a write without a condition is ``BaseStore``'s; one whose condition fails has written nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from langgraph.store.base import NOT_PROVIDED, InvalidNamespaceError, NotProvided, PutOp

from . import contract
from .batches import Batches
from .errors import InvalidValueError
from .failures import LoggedWrites, logged_off_main_thread


class ConditionalWrites(LoggedWrites, Batches):
    """``put`` and ``delete`` with conditions; see ``Store``."""

    def put(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | timedelta | None | NotProvided = NOT_PROVIDED,
        if_absent: bool = False,
        if_version: int | None = None,
    ) -> None:
        """Stores an item, or replaces it; ``ttl`` is a ``timedelta`` or a number of minutes.

        ``if_absent``: only if there is no item, and an expired one is none. ``if_version``: only if the item has this
        ``version``.

        Raises:
            vecmem.ConditionFailedError: The condition does not hold; nothing was written.

        >>> import vecmem
        >>> store = vecmem.Store()
        >>> store.put(("jobs",), "a", {"owner": "Ada"}, if_absent=True)
        >>> version = store.version(("jobs",), "a")
        >>> store.put(("jobs",), "a", {"owner": "Bob"}, if_version=version)
        >>> store.version(("jobs",), "a") == version
        False
        """
        with logged_off_main_thread():
            if condition := _condition(if_absent, if_version):
                self._execute([self._put(namespace, key, value, index, ttl)], condition)
            else:
                super().put(namespace, key, value, index, ttl=ttl)

    async def aput(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | timedelta | None | NotProvided = NOT_PROVIDED,
        if_absent: bool = False,
        if_version: int | None = None,
    ) -> None:
        """``put``, without blocking the event loop."""
        with logged_off_main_thread():
            if condition := _condition(if_absent, if_version):
                await self._aexecute([self._put(namespace, key, value, index, ttl)], condition)
            else:
                await super().aput(namespace, key, value, index, ttl=ttl)

    def delete(self, namespace: tuple[str, ...], key: str, *, if_version: int | None = None) -> None:
        """Deletes an item, if it is there; with ``if_version``, only if it has this ``version``, else
        ``ConditionFailedError``."""
        if if_version is None:
            return super().delete(namespace, key)
        with logged_off_main_thread():
            self._execute([_delete(namespace, key)], {"if_version": if_version})

    async def adelete(self, namespace: tuple[str, ...], key: str, *, if_version: int | None = None) -> None:
        """``delete``, without blocking the event loop."""
        if if_version is None:
            return await super().adelete(namespace, key)
        with logged_off_main_thread():
            await self._aexecute([_delete(namespace, key)], {"if_version": if_version})

    def _put(self, namespace: Any, key: Any, value: Any, index: Any, ttl: Any) -> PutOp:
        if value is None:
            raise InvalidValueError("a value must be a mapping such as a dict; delete takes if_version too")
        if ttl is NOT_PROVIDED:
            ttl = (self.ttl_config or {}).get("default_ttl")
        return PutOp(contract.writable(namespace), key, value, index, ttl)


def _delete(namespace: Any, key: Any) -> PutOp:
    found = contract.labels(namespace)
    if not found:  # a batch would pass over the delete, and over its condition
        raise InvalidNamespaceError("Namespace cannot be empty.")
    return PutOp(found, key, None)


def _condition(if_absent: bool, if_version: int | None) -> dict[str, Any]:
    condition: dict[str, Any] = {"if_absent": True} if contract.truth("if_absent", if_absent) else {}
    return condition if if_version is None else {**condition, "if_version": if_version}
