"""The bench that puts stores side by side runs with tiny sizes, and has a figure of vecmem in every row."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

BENCH = Path(__file__).parents[2] / "benches" / "stores.py"


def small_dialogues(folder: Path) -> None:
    """A folder as the bench reads it, of six turns and three queries."""
    generator = np.random.default_rng(7)
    for name, count in [("items", 6), ("queries", 3)]:
        with gzip.open(folder / f"{name}.jsonl.gz", "wt") as lines:
            for number in range(count):
                value = {"text": f"{name} {number}", "turn": number}
                line = {"namespace": ["test", f"dialogue {number % 2}"], "key": str(number), "value": value}
                print(json.dumps(line), file=lines)
        vectors = generator.normal(size=(count, 384)).astype(np.float16)
        np.save(folder / f"{'vectors' if name == 'items' else name}.f16.npy", vectors)


def test_every_row_has_a_figure(tmp_path: Path) -> None:
    small_dialogues(tmp_path)
    run = subprocess.run(
        [sys.executable, str(BENCH), "--smoke", "vecmem:Store", "langgraph.store.memory:InMemoryStore"],
        env={**os.environ, "VECMEM_DIALOGUES": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    rows = [line.strip("| ").split(" | ") for line in run.stdout.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 9
    assert all(cells[1] != "-" for cells in rows), rows
