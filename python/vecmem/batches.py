"""How the operations of a batch are executed, for a store and for its snapshots.

Invariants:
* Nothing is bound to an event loop: an object serves any number of loops and threads, at once or one after the other.
* Asynchronous calls run their plans on the threads of the store, and never on the loop. Once a write has begun,
  cancelling its caller does not stop it.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from langgraph.store.base import BaseStore, Op, PutOp, Result

from .embedding import Vectors
from .failures import log_after_cancel
from .paging import current_owner
from .plan import Core, Plan, read_alone
from .threads import Threads

T = TypeVar("T")


class Batches(BaseStore):
    """Executes operations on a ``Core``."""

    _core: Core
    _threads: Threads

    def _execute(self, ops: Sequence[Op], condition: Mapping[str, Any] | None = None) -> list[Result]:
        """Executes a batch; ``condition`` is that of its writes, in the engine's arguments."""
        core, include_expired = self._core, self._include_expired()
        if len(ops) == 1 and (results := read_alone(core, ops[0], include_expired)) is not None:
            return results
        plan = Plan(core, ops, include_expired=include_expired, condition=condition)
        return plan.run(self._embed(plan))

    async def _aexecute(self, ops: Sequence[Op], condition: Mapping[str, Any] | None = None) -> list[Result]:
        """``_execute``, without blocking the event loop."""
        owner = current_owner()

        def begin() -> tuple[Plan, list[Result] | None]:
            plan = planned()
            return plan, None if plan.texts else plan.run()

        def planned() -> Plan:
            include_expired = self._include_expired()
            return Plan(self._core, ops, include_expired=include_expired, owner=owner, condition=condition)

        if any(isinstance(op, PutOp) for op in ops):  # whose values may be megabytes of JSON to write
            plan, results = await self._off_loop(ops, begin)
            if results is not None:
                return results
        else:
            plan = planned()
        embedder = self._core.embedder
        vectors = await embedder.aembed(plan.texts) if embedder is not None and plan.texts else None
        return await self._off_loop(ops, functools.partial(plan.run, vectors))

    def _embed(self, plan: Plan) -> Vectors | None:
        embedder = self._core.embedder
        return embedder.embed(plan.texts) if embedder is not None and plan.texts else None

    async def _off_loop(self, ops: Sequence[Op], step: Callable[[], T]) -> T:
        future = self._threads.submit(step)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.add_done_callback(functools.partial(log_after_cancel, ops))
            raise

    def _include_expired(self) -> bool:
        return not self.ttl_config or not self.ttl_config.get("omit_expired")
