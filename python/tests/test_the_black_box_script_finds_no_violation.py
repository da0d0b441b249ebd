"""``scripts/blackbox.py``, which tests the installed package from the outside, runs and finds no violation."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "blackbox.py"


def test_a_small_run_finds_no_violation() -> None:
    sizes = ["--kills", "4", "--flips", "40", "--damages", "25", "--processes", "2", "--disk-mib", "0"]
    run = subprocess.run([sys.executable, SCRIPT, *sizes], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = [line.rsplit(maxsplit=1) for line in run.stdout.splitlines() if "kill -9" in line]
    assert [row[1] for row in rows] == ["0", "0"], run.stdout
