"""A backup that is made while others write opens as a store; ``restore`` verifies it and makes a new store of it."""

import asyncio
import threading
from pathlib import Path

import pytest

import vecmem
from vecmem import CorruptError, Engine, InvalidInputError, InvalidValueError, NotAStoreError, OptionsDifferError


def values(engine: Engine) -> dict[tuple[tuple[str, ...], str], object]:
    return {(item.namespace, item.key): item.value for item in engine.iterate(everything=True)}


def test_it_holds_what_was_written_before(path: Path, tmp_path: Path) -> None:
    with Engine(path, dims=3) as engine:
        engine.put_many(
            [{"namespace": ("a",), "key": f"{n:03}", "value": {"n": n}, "vector": [n, 1, 2]} for n in range(100)]
        )
        stages: list[str] = []
        first = engine.backup(tmp_path / "backup", on_progress=lambda stage, done, total: stages.append(stage))
        assert set(first) == set(vecmem.reports.BackupReport.__annotations__) and stages[-1] == "backup"
        assert (first["lsn"], first["is_checkpoint"], first["files_reused"]) == (100, False, 0)
        is_over = threading.Event()

        def write() -> None:
            n = 0
            while not is_over.is_set():
                engine.put(("b",), str(n), {"n": n})
                n += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            second = engine.backup(str(tmp_path / "backup"), bytes_per_second=1 << 30)
        finally:
            is_over.set()
            writer.join()
        assert second["lsn"] >= 100 and second["incarnation"] != first["incarnation"]
    report = vecmem.restore(tmp_path / "backup", tmp_path / "new")
    assert report["lsn"] == second["lsn"]
    with Engine(tmp_path / "new") as new, Engine(tmp_path / "backup", create=False) as backup:
        assert values(new) == values(backup) and len(new) == second["lsn"]
        assert new.search(("a",), [7, 1, 2], limit=1)[0].key == "007"
        assert new.incarnation == report["incarnation"] != backup.incarnation
    with pytest.raises(OptionsDifferError) as error:
        Engine(tmp_path / "new", incarnation=second["incarnation"])
    assert error.value.option == "incarnation"
    with Engine(tmp_path / "new", incarnation=report["incarnation"]):
        pass


def test_what_is_refused(path: Path, tmp_path: Path) -> None:
    with Engine(path) as engine:
        engine.put(("a",), "key", {"text": "some green tea"})
        engine.compact()
        with pytest.raises(InvalidInputError, match="lies in the directory of the store"):
            engine.backup(path / "inside")
        for most in (0, -1):
            with pytest.raises(InvalidInputError, match="bytes_per_second must be 1 or more"):
                engine.backup(tmp_path / "backup", bytes_per_second=most)
        with pytest.raises(InvalidValueError, match="target"):
            engine.backup(5)  # type: ignore[arg-type]
        engine.backup(tmp_path / "backup")
        assert engine.backup(tmp_path / "checkpoint", link=True)["is_checkpoint"]
        receipt = engine.purge(("a",))
        assert "backups" in receipt["not_reached"]
    with pytest.raises(InvalidInputError, match="not empty"):
        vecmem.restore(tmp_path / "backup", path)
    with pytest.raises(NotAStoreError):
        vecmem.restore(tmp_path / "nothing", tmp_path / "new")
    with pytest.raises(InvalidInputError, match="lies in the directory of the backup"):
        vecmem.restore(tmp_path / "backup", tmp_path / "backup" / "inside")
    [truth] = (tmp_path / "backup").glob("*.truth")
    content = truth.read_bytes()
    truth.write_bytes(content.replace(b"green", b"grean"))
    with pytest.raises(CorruptError, match="another backup"):
        vecmem.restore(tmp_path / "backup", tmp_path / "new")
    truth.write_bytes(content)
    assert vecmem.restore(tmp_path / "backup", tmp_path / "new")["lsn"] == 1


def test_of_a_langgraph_store(path: Path, tmp_path: Path) -> None:
    from vecmem import Store

    with Store(path) as store:
        store.put(("users", "ada"), "tea", {"text": "green"})
        assert store.backup(tmp_path / "backup")["lsn"] > 0

    async def again() -> int:
        async with Store(path) as store:
            await store.aput(("users", "ada"), "cup", {"text": "blue"})
            report = await store.abackup(tmp_path / "backup", bytes_per_second=1 << 30)
            return int(report["lsn"])

    lsn = asyncio.run(again())
    assert vecmem.restore(tmp_path / "backup", tmp_path / "new")["lsn"] == lsn
    with Store(tmp_path / "new") as new:
        item = new.get(("users", "ada"), "cup")
        assert item is not None and item.value == {"text": "blue"}
