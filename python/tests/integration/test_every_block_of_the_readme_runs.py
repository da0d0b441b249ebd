"""The Python blocks of the README run offline, one after the other; the first is the quickstart of the examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scripted import ScriptedModel, calls, says

PACKAGE = Path(__file__).parents[2]
README = (PACKAGE / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)

SCRIPT = [
    calls("remember", topic="food", fact="loves spicy food"),
    says("Noted."),
    calls("write_file", file_path="/memories/style.md", content="likes short answers"),
    says("Written down."),
    calls("Memory", content="prefers trains"),
]


def test_the_quickstart_is_the_one_of_the_examples() -> None:
    assert BLOCKS[0] == (PACKAGE / "examples" / "quickstart.py").read_text(encoding="utf-8")


def test_all_blocks_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"model": ScriptedModel(script=SCRIPT)}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"block {number} of README.md", "exec"), names)
        if number == 0:
            assert capsys.readouterr().out in README.replace("```text\n", ""), "the output that the README shows"

    store = names["store"]
    with store:
        assert store.get(("users", "ada"), "food").value == {"fact": "loves spicy food"}
        assert store.get(("ada", "files"), "/style.md").value["content"] == "likes short answers"
        assert [item.value["content"] for item in store.search(("learnt",))] == [{"content": "prefers trains"}]
        assert store.get(("users", "bob"), "drink").value == {"text": "Bob drinks coffee"}
        assert len(names["model"].calls) == len(SCRIPT)


def test_the_files_that_it_names_are_there() -> None:
    for name in re.findall(r"\b((?:examples|benches|tests)/[\w/.]+)", README):
        assert (PACKAGE / name).exists(), name
