"""Measures vecmem beside hnswlib, usearch and faiss: the same vectors, one thread, one run, at equal recall.

    python -m venv peers && peers/bin/pip install -r benches/peers/requirements.txt
    peers/bin/pip install ./python                        # vecmem, built from source
    peers/bin/python benches/peers/compare.py             # made-up vectors
    peers/bin/python benches/peers/compare.py --vectors vectors.npy --queries queries.npy

Every engine gets all queries in one batch call and answers with the numbers of rows and their scores; vecmem as
columns of a durable store, its values unread. All threads share one core while queries are measured; builds have all.
The best of the rounds counts. Between two points of an engine's curve, the logarithm of the speed is interpolated over
the recall. Without `--queries`, the last rows are held out as queries.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

# Links of a node and the width of its build, for the engines that ask for them.
LINKS, BUILD_WIDTH = 16, 200
WIDTHS = (10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384)
Search = Callable[[int], np.ndarray]


@dataclass
class Data:
    """Rows and queries of norm 1, and the exact nearest rows of each query."""

    rows: np.ndarray
    queries: np.ndarray
    k: int
    truth: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        blocks = np.array_split(self.queries, max(1, len(self.queries) // 100))
        self.truth = np.concatenate([self.nearest(block) for block in blocks])

    def nearest(self, queries: np.ndarray) -> np.ndarray:
        scores = queries @ self.rows.T
        best = np.argpartition(-scores, self.k, axis=1)[:, : self.k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        return np.take_along_axis(best, order, axis=1)

    def recall(self, found: np.ndarray) -> float:
        hits = sum(len(set(mine) & set(best)) for mine, best in zip(found.tolist(), self.truth.tolist(), strict=True))
        return hits / self.truth.size


@dataclass
class Curve:
    """What an engine reached: a recall and queries a second for each width."""

    name: str
    build_seconds: float
    points: list[tuple[float, float]]

    def speed_at(self, recall: float) -> float | None:
        """Queries a second at this recall; none where the engine does not get there."""
        front: list[tuple[float, float]] = []
        for point in sorted(self.points, reverse=True):
            if not front or point[1] > front[-1][1]:
                front.append(point)
        front.reverse()
        if not front or front[-1][0] < recall:
            return None
        if front[0][0] >= recall:
            return front[0][1]
        for (low, fast), (high, slow) in zip(front, front[1:], strict=False):
            if low < recall <= high:
                share = (recall - low) / (high - low)
                return math.exp(math.log(fast) * (1 - share) + math.log(slow) * share)
        return None


def vecmem_engine(data: Data, directory: Path) -> Search:
    import vecmem

    engine = vecmem.Engine(directory / "vecmem", dims=data.rows.shape[1], metric="cosine")
    engine.import_items(vecmem.Put(("rows",), f"{number:08d}", {}, vector=row) for number, row in enumerate(data.rows))
    engine.compact()

    def search(width: int) -> np.ndarray:
        answer = engine.search_many(data.queries, ("rows",), limit=data.k, ef_search=width, select=[], columns=True)
        return np.array(answer.keys).astype(np.int64)

    return search


def hnswlib_engine(data: Data, directory: Path) -> Search:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=data.rows.shape[1])
    index.init_index(max_elements=len(data.rows), ef_construction=BUILD_WIDTH, M=LINKS)
    index.add_items(data.rows)
    index.set_num_threads(1)

    def search(width: int) -> np.ndarray:
        index.set_ef(width)
        return index.knn_query(data.queries, k=data.k)[0]

    return search


def usearch_engine(data: Data, directory: Path) -> Search:
    from usearch.index import Index

    index = Index(ndim=data.rows.shape[1], metric="ip", dtype="f32", connectivity=LINKS, expansion_add=BUILD_WIDTH)
    index.add(np.arange(len(data.rows)), data.rows)

    def search(width: int) -> np.ndarray:
        index.expansion_search = width
        return index.search(data.queries, data.k, threads=1).keys.astype(np.int64)

    return search


def faiss_engine(data: Data, directory: Path) -> Search:
    import faiss

    index = faiss.IndexHNSWFlat(data.rows.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BUILD_WIDTH
    index.add(data.rows)
    faiss.omp_set_num_threads(1)

    def search(width: int) -> np.ndarray:
        index.hnsw.efSearch = width
        return index.search(data.queries, data.k)[1]

    return search


ENGINES = {
    "vecmem": vecmem_engine,
    "hnswlib": hnswlib_engine,
    "usearch": usearch_engine,
    "faiss": faiss_engine,
}


def share_cores(cores: set[int]) -> None:
    """Gives these cores to every thread of the process."""
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cores)


def measured(name: str, data: Data, rounds: int, directory: Path) -> Curve:
    cores = os.sched_getaffinity(0)
    started = time.perf_counter()
    search = ENGINES[name](data, directory)
    curve = Curve(name, time.perf_counter() - started, [])
    search(WIDTHS[0])
    share_cores(set(sorted(cores)[:1]))
    for width in WIDTHS:
        recall = data.recall(search(width))
        best = min(timed(search, width) for _ in range(rounds))
        curve.points.append((recall, len(data.queries) / best))
        if recall >= 0.998:
            break
    share_cores(cores)
    return curve


def timed(search: Search, width: int) -> float:
    started = time.perf_counter()
    search(width)
    return time.perf_counter() - started


def made_up(count: int, dims: int) -> np.ndarray:
    """Seeded clusters: one centre for 500 rows, noise as large as the distances of centres."""
    random = np.random.default_rng(7)
    centres = random.standard_normal((max(1, count // 500), dims), dtype=np.float32)
    return centres[random.integers(len(centres), size=count)] + random.standard_normal((count, dims), dtype=np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def report(curves: Iterable[Curve], recalls: list[float]) -> str:
    curves = list(curves)
    first = curves[0]
    header = ["engine", "build"] + [f"q/s at {recall}" for recall in recalls]
    lines = [header, ["---"] * len(header)]
    for curve in curves:
        cells = [curve.name, f"{curve.build_seconds:.1f} s"]
        for recall in recalls:
            speed, own = curve.speed_at(recall), first.speed_at(recall)
            ratio = f" ({own / speed:.1f}x)" if speed and own and curve is not first else ""
            cells.append(f"{speed:,.0f}{ratio}" if speed else "not reached")
        lines.append(cells)
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{text}\nIn brackets: how many times as fast {first.name} is."


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=Path, help="a .npy file, a row for each vector")
    parser.add_argument("--queries", type=Path, help="a .npy file; else the last rows are held out")
    parser.add_argument("--generate", type=int, default=100_000, help="made-up rows where no file is given")
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--held-out", type=int, default=1_000)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recall", type=float, nargs="+", default=[0.9, 0.95, 0.99])
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--json", type=Path, help="also write the curves to this file")
    given = parser.parse_args()
    if sys.platform != "linux":
        parser.error("all threads are put on one core for a fair comparison, which this script can only do on Linux")
    rows = unit(np.load(given.vectors)) if given.vectors else unit(made_up(given.generate, given.dims))
    if given.queries:
        queries = unit(np.load(given.queries))
    else:
        rows, queries = rows[: -given.held_out], rows[-given.held_out :]
    data = Data(rows, queries, given.k)
    isa = os.environ.get("VECMEM_ISA", "the best of the processor")
    print(
        f"{len(rows):,} rows of {rows.shape[1]} dimensions, {len(queries)} queries, k = {given.k}; {processor()}, "
        f"vecmem's instruction set: {isa}; load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as directory:
        curves = [measured(name, data, given.rounds, Path(directory)) for name in given.engines]
    print(report(curves, given.recall))
    if given.json:
        given.json.write_text(json.dumps({curve.name: curve.points for curve in curves}, indent=1))


if __name__ == "__main__":
    main()
