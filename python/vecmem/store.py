"""``vecmem.Store``: a LangGraph ``BaseStore`` in a directory.

``batch`` and ``abatch`` make the same ``Plan`` of their operations and differ in who calls the embedding model and on
which thread the engine runs. Everything else of ``BaseStore`` is inherited and ends in one of them.

Invariants:
* A store serves any number of event loops and threads, at once or one after the other (``batches.py``).
* A failed batch with writes is logged where its error may never be looked at (``failures.py``).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import json
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, Literal

from langgraph.store.base import IndexConfig, Op, PutOp, Result, TTLConfig
from typing_extensions import Self

from . import contract
from ._vecmem import Engine
from .closing import Closing
from .collection import Collection
from .conditions import ConditionalWrites
from .connection import Connection
from .embedding import Embedder
from .errors import InvalidInputError, InvalidValueError
from .failures import logged_off_main_thread
from .index_rules import DEFAULT_RULES, dump_rules, parse_rules
from .plan import Core, Plan, Times
from .pruning import Pruning
from .quotas import Quotas
from .scores import ScoredSearches
from .store_snapshot import StoreSnapshot
from .threads import Threads
from .ttl import Sweeper
from .upkeep import Upkeep

RULES_SETTING = "index_rules"
MODELS_SETTING = "embedding_models"
"""A JSON list of the names of models that the store was opened with, by which an export finds embedded texts."""


class Store(ConditionalWrites, ScoredSearches, Collection, Pruning, Quotas, Upkeep, Closing):
    """Long-term memory for LangGraph, LangChain, Deep Agents and LangMem agents: durable, searchable, without a server.

    Args:
        path: The store's directory; created if there is none. ``None``: a private store that is gone when it is closed.
        index: LangGraph's ``IndexConfig``: ``dims``, ``embed`` and ``fields``, and here also ``distance_type``
            (``"cosine"``, ``"l2"`` or ``"inner_product"``), ``model`` (the embedding model's name, under which vectors
            of known texts are reused; by default that of the embeddings object, if it has one) and ``index_rules`` (see
            the property). Without it nothing is embedded, and searches list.
        ttl: LangGraph's ``TTLConfig``; times in minutes, fractions allowed, or a ``timedelta``. The store reads it
            with every call.
        durability: ``"sync"``: a write that returned survives a power loss. ``"periodic"``: it survives the end of the
            process. ``"manual"``: it is safe after ``sync()``, ``flush()`` or ``close()``. A store without a path is
            always ``"manual"``.

    Raises:
        vecmem.VecmemError: The store cannot be opened; the class says why.
    """

    supports_ttl = True

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        index: IndexConfig | Mapping[str, Any] | None = None,
        ttl: TTLConfig | None = None,
        durability: Literal["sync", "periodic", "manual"] = "sync",
    ) -> None:
        embedder = Embedder(index) if index else None
        self.index_config: dict[str, Any] | None = dict(index) if index else None
        rules = (self.index_config or {}).get("index_rules")
        given_rules = None if rules is None else parse_rules(rules)
        self.embeddings = embedder.embeddings if embedder else None
        self.ttl_config = _ttl_config(ttl)
        space: dict[str, Any] = {"dims": embedder.dims, "metric": embedder.metric} if embedder else {}
        engine = Engine(path, durability="manual" if path is None else durability, sweep_every=None, **space)
        kept = engine.setting(RULES_SETTING)
        self._core = Core(engine, embedder, parse_rules(DEFAULT_RULES if kept is None else json.loads(kept), kept=True))
        self._threads = Threads()
        self._sweeper = Sweeper(self, type(self).sweep_ttl, Store._sweep_interval)
        if given_rules not in (None, self._core.rules):
            self._set_rules(given_rules)
        models = json.loads(engine.setting(MODELS_SETTING) or "[]")
        if embedder is not None and embedder.model is not None and embedder.model not in models:
            engine.set_setting(MODELS_SETTING, json.dumps([*models, embedder.model]))

    @classmethod
    def from_conn_string(
        cls,
        conn_string: str | os.PathLike[str],
        *,
        index: IndexConfig | Mapping[str, Any] | None = None,
        ttl: TTLConfig | None = None,
        durability: Literal["sync", "periodic", "manual"] = "sync",
    ) -> Connection[Self]:
        """A context manager, for ``with`` or ``async with``, that opens the store in the directory ``conn_string`` and
        closes it.

        ``":memory:"`` is a private store that is gone when it is closed.
        """
        if isinstance(conn_string, str) and "://" in conn_string:
            raise InvalidInputError(
                f"a vecmem store is a directory, so its connection string is a path, not {conn_string!r}"
            )
        if isinstance(conn_string, str) and conn_string.startswith("~"):
            raise InvalidInputError(f"nothing expands the ~: write os.path.expanduser({conn_string!r})")
        path = None if conn_string == ":memory:" else conn_string
        return Connection(functools.partial(cls, path, index=index, ttl=ttl, durability=durability))

    # The two methods of the contract

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Executes the operations: reads see the state before the batch; all writes happen, or none."""
        ops = contract.operations(ops)
        with logged_off_main_thread(ops):
            return self._execute(ops)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """The same, without blocking the event loop: a cancelled call has been executed or will be, wholly, or not at
        all."""
        ops = contract.operations(ops)
        with logged_off_main_thread(ops):
            return await self._aexecute(ops)

    # Life cycle

    def setup(self) -> _Done:
        """Does nothing, any number of times, with ``await`` or without: a store is ready when it is open."""
        return _Done()

    def close(self) -> None:
        """Ends the sweeper, makes everything durable and gives the directory free. Further calls raise; closing again
        does not."""
        self._sweeper.stop()
        self._core.pages.clear()
        self._core.engine.close()
        self._threads.close()

    # Expiry

    def sweep_ttl(self) -> int:
        """Deletes expired items; returns how many. Until then, reads return them unless ``ttl_config["omit_expired"]``
        is true. Raises ``ClockSkewError`` while the wall clock may be wrong; see ``accept_clock``."""
        self._core.pages.expire()
        return self._core.engine.sweep()

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> concurrent.futures.Future[None]:
        """Sweeps every so many minutes, on a thread, until ``stop_ttl_sweeper``, ``close``, or a ``cancel`` of what
        this returns.

        The interval is the argument, or ``ttl_config["sweep_interval_minutes"]``, which may change while the sweeper
        runs, or 5. Without a ``ttl_config`` nothing starts, and the future is done.
        """
        minutes = contract.minutes("sweep_interval_minutes", sweep_interval_minutes)
        if not self.ttl_config:
            done: concurrent.futures.Future[None] = concurrent.futures.Future()
            done.set_result(None)
            return done
        return self._sweeper.start(minutes)

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stops the sweeper, waiting for at most ``timeout`` seconds; true if none runs any more."""
        return self._sweeper.stop(timeout)

    async def asweep_ttl(self) -> int:
        """``sweep_ttl``, without blocking the event loop."""
        return await self._off_loop((), self.sweep_ttl)

    async def astart_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> asyncio.Task[None]:
        """``start_ttl_sweeper``; the task is done when the sweeper is, and cancelling it stops the sweeper."""
        await asyncio.sleep(0)  # the cancel of an earlier task reaches its sweeper, so that this is a new one
        future = self.start_ttl_sweeper(sweep_interval_minutes)

        async def wait() -> None:
            await asyncio.wrap_future(future)

        task = asyncio.create_task(wait(), name="vecmem-ttl-sweeper")
        await asyncio.sleep(0)  # a task that is cancelled before it has begun would leave the sweeper alone
        return task

    async def astop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """``stop_ttl_sweeper``, without blocking the event loop."""
        return await asyncio.to_thread(self.stop_ttl_sweeper, timeout)

    def _sweep_interval(self) -> float | None:
        """The minutes between sweeps that the configuration says, if it does."""
        name = "sweep_interval_minutes"
        return contract.minutes(f"ttl_config[{name!r}]", (self.ttl_config or {}).get(name))

    # Beyond the contract

    def snapshot(self) -> StoreSnapshot:
        """This moment of the store, whatever is written afterwards, as a store that is only read.

        >>> import vecmem
        >>> store = vecmem.Store()
        >>> store.put(("notes",), "a", {"n": 1})
        >>> with store.snapshot() as moment:
        ...     store.put(("notes",), "a", {"n": 2})
        ...     print(moment.get(("notes",), "a").value, store.get(("notes",), "a").value)
        {'n': 1} {'n': 2}
        """
        return StoreSnapshot(self, self._core.engine.snapshot())

    async def asnapshot(self) -> StoreSnapshot:
        """``snapshot``, without blocking the event loop."""
        return await self._off_loop((), self.snapshot)

    @property
    def index_rules(self) -> list[dict[str, Any]]:
        """What is embedded of puts with ``index=None``: the first rule whose conditions all hold decides, else
        ``index["fields"]``.

        A rule is a dict: ``prefix`` (labels), ``larger_than`` (bytes of the value's JSON) and ``encoding`` (values of
        the field of that name) are conditions; ``index`` is ``False`` or a list of field paths. Assigning a list keeps
        it in the store. A store that was told none has one rule: what says ``"encoding": "base64"`` is not embedded.
        """
        return [rule.as_dict() for rule in self._core.rules]

    @index_rules.setter
    def index_rules(self, rules: Sequence[Mapping[str, Any]]) -> None:
        self._set_rules(parse_rules(rules))

    def _set_rules(self, rules: tuple[Any, ...]) -> None:
        self._core.engine.set_setting(RULES_SETTING, dump_rules(rules))
        self._core.rules = rules

    # For `migrate`

    def _plan_copies(self, ops: Sequence[PutOp], times: Sequence[Times]) -> Plan:
        """Puts of items with the times that another store has for them."""
        return Plan(self._core, ops, include_expired=self._include_expired(), times=times)

    def _updated_at(self, addresses: Sequence[tuple[tuple[str, ...], str]]) -> list[int | None]:
        """When items were updated, in microseconds since 1970 UTC; ``None`` for those that are not there."""
        found = self._core.engine.get_many(
            [(namespace, str(key)) for namespace, key in addresses], include_expired=True
        )
        return [None if item is None else item.updated_at for item in found]


class _Done:
    """Something to ``await`` that has already happened."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


def _ttl_config(ttl: Mapping[str, Any] | None) -> Any:
    if ttl is None:
        return None
    if not isinstance(ttl, Mapping):
        raise InvalidValueError(
            f"ttl must be a dict such as {{'default_ttl': 60}}, in minutes, not {type(ttl).__name__}"
        )
    contract.minutes("ttl['default_ttl']", ttl.get("default_ttl"))
    contract.minutes("ttl['sweep_interval_minutes']", ttl.get("sweep_interval_minutes"))
    return dict(ttl)
