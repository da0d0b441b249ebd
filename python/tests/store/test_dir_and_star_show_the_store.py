"""Where LangGraph is installed, ``dir``, ``from vecmem import *`` and tab completion show ``Store`` and ``migrate``."""

import rlcompleter
from typing import Any

import vecmem


def test_dir() -> None:
    assert {"Store", "migrate", "Engine", "escape_label"} <= set(dir(vecmem))


def test_star() -> None:
    names: dict[str, Any] = {}
    exec("from vecmem import *", names)
    assert names["Store"] is vecmem.Store and names["migrate"] is vecmem.migrate


def test_tab_completion() -> None:
    completer = rlcompleter.Completer({"vecmem": vecmem})
    found = [str(completer.complete("vecmem.S", place)) for place in range(8)]
    assert any(name.startswith("vecmem.Store") for name in found)
