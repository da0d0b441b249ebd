"""A program that never closes its engines ends well: nothing acknowledged is lost, no temporary directory stays,
nothing crashes.
"""

from pathlib import Path
from typing import Any

import pytest

from vecmem import Engine

ENDINGS = {
    "the end": "",
    "an exception": "raise SystemExit(0)",
    "a cycle": "cycle = [engine]; cycle.append(cycle)",
    "a daemon thread": """
import threading
started = threading.Event()
def work():
    try:
        while True:
            engine.search(everything=True, vector=[1, 0, 0])
            started.set()
    except vecmem.ClosedError:
        pass
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
started.wait()
""",
    "a scan and a snapshot": "kept = (engine.iterate(everything=True), engine.snapshot())",
    "deleted": "del engine",
    "two engines": "other = vecmem.Engine(sys.argv[1], dims=3, durability='manual'); engine.close()",
}

PROGRAM = """
import sys, vecmem
engine = vecmem.Engine(sys.argv[1], dims=3, durability="manual")
temporary = vecmem.Engine(dims=3)
for number in range(100):
    engine.put(("a",), str(number), {"n": number}, vector=[1, number, 0])
    temporary.put(("a",), str(number), {"n": number}, vector=[1, number, 0])
print(temporary.path)
"""


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_lost(path: Path, python: Any, ending: str) -> None:
    ended = python(PROGRAM + ENDINGS[ending], path)
    assert ended.returncode == 0 and ended.stderr == "", ended.stderr
    temporary = Path(ended.stdout.strip())
    assert temporary.name.startswith("vecmem") and not temporary.exists()
    with Engine(path, create=False, durability="manual") as engine:
        assert engine.count(everything=True) == 100
