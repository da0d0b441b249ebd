"""How fast stores answer through LangGraph's interface, side by side in one run. Prints a Markdown table.

    python stores.py                    # vecmem, InMemoryStore and SqliteStore where installed
    VECMEM_DIALOGUES=folder python stores.py      # and a search over 70,137 turns of dialogues, see `memories`
    python stores.py --smoke            # tiny sizes, to see that it runs

Embeddings are looked up in a dictionary and not computed: stores are measured, not models. Times are medians of single
calls in one thread, unless the row says something else. The first store is set against each of the others.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from langgraph.store.base import BaseStore, PutOp
from memories import Memories, dialogues, made_up
from opening import StoreClass, classes, machine

SEED = 20_261_121


@dataclass(frozen=True)
class Sizes:
    """How much of everything: the memories of the namespace, the files of the listing, and the calls that are timed."""

    memories: int = 1_000
    files: int = 10_000
    gets: int = 5_000
    searches: int = 300
    puts: int = 300
    dialogue_seconds: float = 30.0


SMOKE = Sizes(memories=20, files=250, gets=20, searches=20, puts=20, dialogue_seconds=0.1)


@dataclass
class Row:
    """A line of the table: what was measured, the unit, and a figure a store (None: it was not measured, or failed)."""

    title: str
    unit: str
    figures: list[float | None] = field(default_factory=list)

    def cells(self) -> list[str]:
        first, *others = self.figures
        ratios = ["" if not first or not other else f" ({self._ratio(first, other)})" for other in others]
        figures = ["-" if f is None else f"{f:,.{1 if f < 100 else 0}f} {self.unit}" for f in self.figures]
        return [self.title, figures[0], *(figure + ratio for figure, ratio in zip(figures[1:], ratios, strict=True))]

    def _ratio(self, first: float, other: float) -> str:
        ratio = first / other if self.unit.endswith("/s") else other / first
        return f"{ratio:,.{2 if ratio < 10 else 0}f}x"


def median_us(calls: Iterator[Callable[[], object]], most_seconds: float = float("inf")) -> float:
    """The median time of the calls in microseconds, after one that warms up; one call, and more until time is over."""
    next(calls)()
    times, end = [], time.perf_counter() + most_seconds
    for call in calls:
        start = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - start) / 1000)
        if time.perf_counter() > end:
            break
    return statistics.median(times)


@contextmanager
def filled(store_class: StoreClass, memories: Memories) -> Iterator[BaseStore]:
    """A store that holds the memories; what it keeps on disk lies in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"dims": memories.dims, "embed": memories.lookup, "fields": ["text"], "text_fields": ["text"]}
        with store_class.open(Path(folder) / "store", index=index) as store:
            for puts in memories.batches(500):
                store.batch(puts)
            yield store


def bench_memories(store_class: StoreClass, sizes: Sizes) -> Iterator[tuple[str, str, float]]:
    """Calls on one namespace of memories."""
    memories = made_up(sizes.memories, SEED)
    namespace, draw = memories.namespace, random.Random(SEED)
    with filled(store_class, memories) as store:
        keys = draw.choices(memories.keys, k=sizes.gets)
        yield "get", "us", median_us((lambda key=key: store.get(namespace, key)) for key in keys)

        queries = draw.choices(memories.queries, k=sizes.searches)
        search = [lambda query=query: store.search(namespace, query=query, limit=10) for query in queries]
        yield f"search of {sizes.memories:,} memories, 384 dimensions", "us", median_us(iter(search))
        yield from bench_threads(search)
        yield from bench_tasks(store, namespace, queries)

        texts = memories.new_texts(sizes.puts)
        put = [lambda text=text: store.put(namespace, text, {"text": text}) for text in texts]
        yield "put, as durable as the store is set up by default", "us", median_us(iter(put))


def bench_threads(search: list[Callable[[], object]]) -> Iterator[tuple[str, str, float]]:
    """Searches a second, from one thread and from 16."""
    for threads in (1, 16):
        with ThreadPoolExecutor(threads) as pool:
            start = time.perf_counter()
            for _ in pool.map(lambda call: call(), search * 4):
                pass
            yield (
                f"the same, {threads} thread{'s' * (threads > 1)}",
                "/s",
                4 * len(search) / (time.perf_counter() - start),
            )


def bench_tasks(store: BaseStore, namespace: tuple[str, ...], queries: list[str]) -> Iterator[tuple[str, str, float]]:
    """Searches a second, from one task and from 64 of one event loop."""

    async def run(tasks: int) -> float:
        async def work(own: list[str]) -> None:
            for query in own:
                await store.asearch(namespace, query=query, limit=10)

        start = time.perf_counter()
        await asyncio.gather(*(work((queries * 4)[task::tasks]) for task in range(tasks)))
        return 4 * len(queries) / (time.perf_counter() - start)

    for tasks in (1, 64):
        try:
            rate = asyncio.run(run(tasks))
        except NotImplementedError:  # a store for sync code alone
            return
        yield f"the same, {tasks} task{'s' * (tasks > 1)} of an event loop", "/s", rate


def bench_listing(store_class: StoreClass, sizes: Sizes) -> Iterator[tuple[str, str, float]]:
    """The way Deep Agents lists files: pages of 100 of a whole namespace."""
    namespace = ("ada", "files")
    value = {"encoding": "utf-8", "created_at": "2026-01-01T00:00:00+00:00", "modified_at": "2026-01-01T00:00:00+00:00"}
    with tempfile.TemporaryDirectory() as folder, store_class.open(Path(folder) / "store") as store:
        store.batch(
            [PutOp(namespace, f"/{n:05}.md", {"content": f"line {n}\n" * 20, **value}) for n in range(sizes.files)]
        )

        def list_all() -> None:
            count = 0
            for offset in range(0, sizes.files + 1, 100):
                count += len(store.search(namespace, limit=100, offset=offset))
            if count != sizes.files:
                print(f"{store_class.name} listed {count} of {sizes.files} files")

        yield f"listing of {sizes.files:,} files in pages of 100", "ms", median_us(iter([list_all] * 4)) / 1000


def bench_dialogues(store_class: StoreClass, folder: Path, sizes: Sizes) -> Iterator[tuple[str, str, float]]:
    """Search over everything, in some thousand namespaces."""
    memories = dialogues(folder)
    with filled(store_class, memories) as store:
        search = (lambda query=query: store.search((), query=query, limit=10) for query in memories.queries)
        title = f"search of {len(memories.keys):,} turns in {memories.namespaces:,} namespaces, whole store"
        yield title, "us", median_us(search, sizes.dialogue_seconds)


def run(store_classes: list[StoreClass], sizes: Sizes, folder: Path | None) -> list[Row]:
    """All rows; a store that lacks one has no figure there."""
    rows: dict[str, Row] = {}
    for number, store_class in enumerate(store_classes):
        figures = [bench_memories(store_class, sizes), bench_listing(store_class, sizes)]
        if folder:
            figures.append(bench_dialogues(store_class, folder, sizes))
        for title, unit, figure in (one for bench in figures for one in bench):
            rows.setdefault(title, Row(title, unit)).figures.extend([None] * (number - len(rows[title].figures)))
            rows[title].figures.append(figure)
    for row in rows.values():
        row.figures.extend([None] * (len(store_classes) - len(row.figures)))
    return list(rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="*", metavar="module:Class[=CONNECTION]")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes")
    arguments = parser.parse_args()
    folder = os.environ.get("VECMEM_DIALOGUES")
    store_classes = classes(arguments.stores)
    print(machine(), end="\n\n")
    rows = run(store_classes, SMOKE if arguments.smoke else Sizes(), Path(folder) if folder else None)
    heading = ["", *(store_class.name for store_class in store_classes)]
    for cells in [heading, ["---"] * len(heading), *(row.cells() for row in rows)]:
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
