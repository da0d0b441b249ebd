"""What a Deep Agents backend has acknowledged is there, whole, in a new process after `kill -9` of the writer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

WRITER = """
import itertools, sys
import vecmem
from files import file_system
store = vecmem.Store(sys.argv[1])
fs = file_system(store)
fs.write("/memories/journal.md", "entry none")
for number in itertools.count():
    fs.write(f"/memories/notes/{number}.md", f"note {number}" * (1 + number % 300))
    fs.edit("/memories/journal.md", f"entry {number - 1}" if number else "entry none", f"entry {number}")
    if number % 5 == 4:
        fs.delete(f"/memories/notes/{number - 2}.md")
    print(number, flush=True)
"""

READER = """
import json, sys
import vecmem
from files import file_system, paths
with vecmem.Store(sys.argv[1]) as store:
    fs = file_system(store)
    notes = {path: fs.read(path).file_data["content"] for path in paths(fs.glob("notes/*.md", "/memories/"))}
    listed = paths(fs.ls("/memories/notes/"))
    journal = fs.read("/memories/journal.md").file_data["content"]
    fs.write("/memories/after.md", "the store goes on")
    print(json.dumps({"notes": notes, "listed": listed, "journal": journal, "damage": store.check()}, default=str))
"""


def run_python(program: str, store: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", program, str(store)], cwd=HERE, stdout=subprocess.PIPE, text=True)


def write_until_killed(store: Path, acknowledged: int) -> int:
    """Lets the writer go until it has acknowledged that round, kills it, and returns the last round it acknowledged."""
    with run_python(WRITER, store) as writer:
        for line in writer.stdout:
            if int(line) == acknowledged:
                writer.send_signal(signal.SIGKILL)
                break
        rest = writer.stdout.read().split()
        assert writer.wait() == -signal.SIGKILL
    return int(rest[-1]) if rest else acknowledged


def expected_notes(last: int) -> dict[str, str]:
    """The notes after that round: every fifth round has deleted the one two rounds before."""
    deleted = {number - 2 for number in range(4, last + 1, 5)}
    return {
        f"/memories/notes/{number}.md": f"note {number}" * (1 + number % 300)
        for number in range(last + 1)
        if number not in deleted
    }


@pytest.mark.parametrize("acknowledged", [0, 7, 150, 400])
def test_acknowledged_files_are_there_after_a_kill(tmp_path: Path, acknowledged: int) -> None:
    store = tmp_path / "store"
    last = write_until_killed(store, acknowledged)
    with run_python(READER, store) as reader:
        found = json.loads(reader.stdout.read())
        assert reader.wait() == 0
    # The round that the kill interrupted may have done any number of its steps.
    following = f"/memories/notes/{last + 1}.md"
    possible = [
        expected_notes(last),
        expected_notes(last) | {following: expected_notes(last + 1)[following]},
        expected_notes(last + 1),
    ]
    assert found["notes"] in possible
    assert sorted(found["listed"]) == sorted(found["notes"])
    assert found["journal"] in (f"entry {last}", f"entry {last + 1}")
