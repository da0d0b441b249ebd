"""What a write has returned for is there after ``kill -9``, and batches are there whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vecmem import Engine

WRITER = """
import itertools, sys, vecmem
engine = vecmem.Engine(sys.argv[1], dims=3, durability=sys.argv[2])
for number in itertools.count():
    batch = [{"namespace": ("w", str(part)), "key": str(number), "value": {"n": number}, "vector": [1, number, part]}
             for part in range(5)]
    engine.put_many(batch)
    print(number, flush=True)
"""


@pytest.mark.parametrize("durability", ["sync", "periodic"])
@pytest.mark.parametrize("acknowledged", [1, 50])
def test_a_killed_writer_loses_nothing(path: Path, durability: str, acknowledged: int) -> None:
    command = [sys.executable, "-c", WRITER, str(path), durability]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for number in range(acknowledged):
            assert writer.stdout.readline() == f"{number}\n"
        os.kill(writer.pid, signal.SIGKILL)
        # What it had printed before the signal arrived was acknowledged too.
        acknowledged += len(writer.stdout.read().split("\n")) - 1
    with Engine(path, create=False) as engine:
        found = {part: {item.key for item in engine.iterate(("w", str(part)))} for part in range(5)}
        assert found[0] >= {str(number) for number in range(acknowledged)}
        assert all(keys == found[0] for keys in found.values()), "no half of a batch"
        assert len(found[0]) <= acknowledged + 1
        assert engine.check()["problems"] == []
        hit = engine.search(("w", "3"), [1, 0, 3], limit=1)[0]
        assert hit.value == {"n": 0}
