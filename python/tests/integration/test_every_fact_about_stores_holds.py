"""The table of what a store gets right says yes of vecmem in every row, and no of InMemoryStore where that is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHES = Path(__file__).parents[2] / "benches"


def table_of(*stores: str) -> dict[str, list[str]]:
    """The cells behind each sentence of the table."""
    command = [sys.executable, str(BENCHES / "store_facts.py"), *stores]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in run.stdout.splitlines()]
    return {sentence: cells for sentence, *cells in rows}


def test_every_row_says_yes() -> None:
    rows = table_of("vecmem:Store")
    facts = {sentence: cells for sentence, cells in rows.items() if sentence and not sentence.startswith(("---", "**"))}
    assert len(facts) >= 32
    assert {sentence: cells for sentence, cells in facts.items() if cells != ["yes"]} == {}


def test_a_row_can_say_no() -> None:
    rows = table_of("langgraph.store.memory:InMemoryStore")
    assert rows["items are on disk, and there when the store is opened again"] == ["no: gone with the process"]
    assert rows["reads of a batch see the moment before its writes"] == ["yes"]
