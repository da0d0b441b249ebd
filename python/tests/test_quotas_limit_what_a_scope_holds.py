"""Quotas of an engine: set, obeyed by every write, shown, lifted and removed; and kept."""

from pathlib import Path

import pytest

import vecmem


def test_a_write_over_a_quota_raises_and_names_it(tmp_path: Path) -> None:
    with vecmem.Engine(tmp_path / "store", dims=2) as engine:
        engine.set_quota(prefix=("users",), each=True, items=2, bytes=100)
        engine.put(("users", "ada"), "a", {}, vector=[1, 2])
        with pytest.raises(vecmem.QuotaExceededError) as refused:
            engine.put_many([vecmem.Put(("users", "ada", "x"), key, {}) for key in "bc"])
        found = refused.value
        assert (found.scope, found.unit, found.limit, found.used, found.added) == ("users/ada/", "items", 2, 1, 2)
        assert found.kind == "quota_exceeded"
        with pytest.raises(vecmem.QuotaExceededError, match="bytes"):
            engine.put(("users", "ada"), "a", {"text": "x" * 100})
        assert len(engine) == 1
        held = engine.quota_use(("users", "ada", "x"))
        one = {"scope": "users/ada/", "items": 1, "items_limit": 2, "bytes": 11, "bytes_limit": 100}
        assert held == [one] and engine.scope_stats(prefix=("users", "ada"))["quota"] == one
        assert engine.scope_stats(everything=True)["quota"] is None
    with vecmem.Engine(tmp_path / "store") as engine:
        assert engine.quotas() == [{"scope": "users/*/", "items": 2, "bytes": 100}]
        engine.set_quota(prefix=("users", "ada"))
        for key in range(5):
            engine.put(("users", "ada"), str(key), {})
        assert engine.remove_quota(prefix=("users", "ada")) and not engine.remove_quota(prefix=("users", "ada"))
        with pytest.raises(vecmem.QuotaExceededError):
            engine.put(("users", "ada"), "more", {})


def test_wrong_arguments_name_themselves() -> None:
    engine = vecmem.Engine()
    with pytest.raises(vecmem.InvalidInputError, match="exactly one"):
        engine.set_quota(items=1)
    with pytest.raises(vecmem.InvalidInputError, match="prefix"):
        engine.set_quota(("users",), each=True, items=1)
    with pytest.raises(vecmem.InvalidInputError, match="items"):
        engine.set_quota(("users",), items=-1)
    with pytest.raises(TypeError, match="each"):
        engine.quota_use(("users",), each=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="rows"):
        engine.set_quota(("users",), rows=1)  # type: ignore[call-arg]
