"""A directory whose manifests are gone does not open; ``salvage`` writes its items into a new store."""

from pathlib import Path

import pytest

import vecmem
from vecmem import CorruptError, Engine, InvalidInputError, InvalidValueError, NotAStoreError


def test_everything_is_saved(path: Path, tmp_path: Path) -> None:
    with Engine(path, dims=3, metric="l2") as engine:
        items = [
            {"namespace": ("a", str(n % 5)), "key": f"{n:03}", "value": {"n": n}, "vector": [n, 1, 2]}
            for n in range(100)
        ]
        engine.put_many(items)
        engine.compact()
        engine.put(("late",), "in the log", {"n": 100}, ttl=1000.0)
        wanted = {(item.namespace, item.key): (item.value, item.created_at) for item in engine.iterate(everything=True)}
    for manifest in path.glob("manifest-*"):
        manifest.unlink()
    for create in (True, False):
        with pytest.raises(CorruptError, match="vecmem salvage"):
            Engine(path, create=create)
    files = {file.name: file.read_bytes() for file in path.iterdir() if file.name != "LOCK"}

    report = vecmem.salvage(path, str(tmp_path / "saved"))
    assert set(report) == set(vecmem.reports.SalvageReport.__annotations__)
    assert (report["items"], report["lost"], report["unnamed"], report["damage"]) == (101, [], 0, [])
    assert any("manifest" in note for note in report["notes"])
    assert {file.name: file.read_bytes() for file in path.iterdir() if file.name != "LOCK"} == files
    with Engine(tmp_path / "saved") as saved:
        found = {(item.namespace, item.key): (item.value, item.created_at) for item in saved.iterate(everything=True)}
        assert found == wanted and (saved.dims, saved.metric) == (3, "l2")
        assert saved.search(("a", "2"), [7, 1, 2], limit=1)[0].key == "007"
        assert saved.get(("late",), "in the log").ttl == 1000.0


def test_what_cannot_be_salvaged(path: Path, tmp_path: Path) -> None:
    with Engine(path) as engine:
        engine.put(("a",), "k", {})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("something")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="not empty"):
        vecmem.salvage(path, tmp_path / "full")
    with pytest.raises(NotAStoreError):
        vecmem.salvage(tmp_path / "empty", tmp_path / "target")
    with pytest.raises(InvalidValueError, match="into must be a str"):
        vecmem.salvage(path, 5)  # type: ignore[arg-type]


def test_a_missing_log_file_is_named(path: Path, tmp_path: Path) -> None:
    with vecmem.Engine(path) as engine:
        for number in range(5):
            engine.put(("a",), str(number), {})
    for log in path.glob("wal-*.log"):
        log.unlink()
    [damage] = vecmem.salvage(path, tmp_path / "saved")["damage"]
    assert "acknowledged writes after LSN 0" in damage and "may be back" in damage
