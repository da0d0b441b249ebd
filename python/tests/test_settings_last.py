"""Settings are JSON documents of the store itself: kept across closes, of a bulk store too, and no items."""

from pathlib import Path

import pytest

from vecmem import Engine, InvalidInputError


def test_a_setting_is_kept_and_removed(path: Path) -> None:
    with Engine(path, durability="manual") as engine:
        assert engine.setting("rules") is None
        engine.set_setting("rules", '[{"prefix": ["a"]}]')
        engine.set_setting("other", "1")
        assert engine.count(everything=True) == 0
    with Engine(path) as engine:
        assert engine.setting("rules") == '[{"prefix": ["a"]}]'
        engine.set_setting("rules", None)
        assert engine.setting("rules") is None and engine.setting("other") == "1"


def test_what_is_no_json_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidInputError):
        engine.set_setting("rules", "{")
    with pytest.raises(InvalidInputError, match="json must be a str, not a list"):
        engine.set_setting("rules", [])  # type: ignore[arg-type]
