"""What Python adds to a call of the library: ``python benches/overhead.py`` prints microseconds, and how threads scale.

The library's own time is measured inside the extension, on the same store, in turns with the Python call; the figure is
the best of the rounds of each. The goal: at most 5 us a call and 5 us for each item returned.
"""

import argparse
import os
import threading
import time
from collections.abc import Callable

import numpy

from vecmem import Engine
from vecmem._vecmem import _seconds_of_get, _seconds_of_search

DIMS = 384
NAMESPACE = ("users", "ada", "memories")


def filled(items: int) -> tuple[Engine, numpy.ndarray]:
    """A compacted store of memories of some 300 bytes, and queries."""
    numbers = numpy.random.default_rng(7)
    engine = Engine(dims=DIMS, durability="manual")
    rows = numbers.normal(size=(items, DIMS)).astype(numpy.float32)
    text = "what somebody said about something, some time ago; " * 4
    engine.import_items(
        {
            "namespace": NAMESPACE,
            "key": f"memory-{n:06}",
            "value": {"content": text, "kind": "fact", "number": n, "tags": ["a", "b"]},
            "vector": row,
        }
        for n, row in enumerate(rows)
    )
    engine.compact()
    return engine, numbers.normal(size=(64, DIMS)).astype(numpy.float32)


def python_seconds(call: Callable[[], object], calls: int) -> float:
    """Seconds for so many calls."""
    started = time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - started


Library = Callable[[int], float]


def compare(call: Callable[[], object], library: Library, calls: int, rounds: int) -> tuple[float, float]:
    """Microseconds of a call from Python and in the library, the best of the rounds of each."""
    python, inside = [], []
    for _ in range(rounds):
        python.append(python_seconds(call, calls) / calls)
        inside.append(library(calls) / calls)
    return min(python) * 1e6, min(inside) * 1e6


def overhead(engine: Engine, query: numpy.ndarray, calls: int, rounds: int) -> None:
    """Prints the table of calls."""
    listed = query.tolist()
    print("| call | Python, us | library, us | added, us | added for each item, us |")
    print("|---|---|---|---|---|")

    def row(name: str, call: Callable[[], object], library: Library, items: int, calls: int) -> None:
        python, inside = compare(call, library, calls, rounds)
        each = (python - inside) / items
        print(f"| {name} | {python:.2f} | {inside:.2f} | {python - inside:.2f} | {each:.2f} |")

    key = "memory-000007"
    get = lambda n: _seconds_of_get(engine, NAMESPACE, key, n)  # noqa: E731
    row("get", lambda: engine.get(NAMESPACE, key), get, 1, calls)
    row("get, value read", lambda: engine.get(NAMESPACE, key).value, get, 1, calls)
    for limit in (1, 10, 100):
        search = lambda n, limit=limit: _seconds_of_search(engine, NAMESPACE, query, limit, n)  # noqa: E731
        once = max(1, calls // 20)
        row(f"search, {limit}", lambda k=limit: engine.search(NAMESPACE, query, limit=k), search, limit, once)
        values = lambda k=limit: [hit.value for hit in engine.search(NAMESPACE, query, limit=k)]  # noqa: E731
        row(f"search, {limit}, values read", values, search, limit, once)
    once = max(1, calls // 20)
    ten = lambda n: _seconds_of_search(engine, NAMESPACE, query, 10, n)  # noqa: E731
    row("search, 10, the vector a list", lambda: engine.search(NAMESPACE, listed, limit=10), ten, 10, once)
    row("search, 10, columns", lambda: engine.search(NAMESPACE, query, limit=10, columns=True).scores, ten, 10, once)


def scaling(engine: Engine, queries: numpy.ndarray, calls: int, rounds: int) -> None:
    """Prints how much more several threads do than one."""
    cores = len(os.sched_getaffinity(0))
    print(f"\n| threads on {cores} cores | searches/s | times one thread |\n|---|---|---|")

    def rate(threads: int) -> float:
        each = max(1, calls // 20 // threads)

        def work(number: int) -> None:
            for index in range(each):
                engine.search(NAMESPACE, queries[(number + index) % len(queries)], limit=10)

        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        started = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return each * threads / (time.perf_counter() - started)

    rates: dict[int, float] = dict.fromkeys((1, 2, 16), 0.0)
    for _ in range(rounds):
        for threads in rates:
            rates[threads] = max(rates[threads], rate(threads))
    for threads, found in rates.items():
        print(f"| {threads} | {found:,.0f} | {found / rates[1]:.2f} |")


def main() -> None:
    """Reads the arguments and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000, help="memories in the namespace")
    parser.add_argument("--calls", type=int, default=20_000, help="gets in a round; a twentieth of it searches")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    engine, queries = filled(arguments.items)
    with engine:
        print(f"{arguments.items} memories of {DIMS} dimensions; load {os.getloadavg()[0]:.1f}\n")
        overhead(engine, queries[0], arguments.calls, arguments.rounds)
        scaling(engine, queries, arguments.calls, arguments.rounds)


if __name__ == "__main__":
    main()
