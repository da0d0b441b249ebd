"""``benches/overhead.py`` runs to its end and prints a row for each call, so that its figures can always be had."""

import runpy
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "benches" / "overhead.py"


def test_it_prints_its_tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [str(BENCH), "--items", "50", "--calls", "40", "--rounds", "1"])
    runpy.run_path(str(BENCH), run_name="__main__")
    rows = [line.split(" | ")[0].removeprefix("| ") for line in capsys.readouterr().out.splitlines() if line[:1] == "|"]
    assert {"get", "search, 10, columns", "1", "16"} <= set(rows)
