"""Every example runs offline, twice in one folder, and prints what its memory holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

LAST_LINES = {
    "quickstart.py": "Ada drinks green tea in the morning",
    "langchain_agent.py": "on disk: [{'fact': 'Ada is a vegetarian and loves spicy food.'}]",
    "deep_agents.py": "on disk: /style.md: Ada wants very short answers, in metric units.",
    "langmem_memories.py": "Ada likes trains better than planes.",
}


def test_every_example_is_known() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*LAST_LINES, "offline.py"}


@pytest.mark.parametrize("name", LAST_LINES)
def test_it_runs_twice_and_finds_its_memories(tmp_path: Path, name: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "VECMEM_EXAMPLE_MODEL"}
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", str(EXAMPLES / name)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert run.returncode == 0, run.stderr
        assert LAST_LINES[name] in run.stdout.splitlines()[-1]
        assert "ResourceWarning" not in run.stderr
