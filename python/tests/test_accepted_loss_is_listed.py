"""Of a segment with a damaged byte, ``check`` names the file and says what helps; with ``accept_loss`` it lists each
item that is given up, and the damage has ended."""

from pathlib import Path

import pytest

import vecmem
from vecmem import DamagedError, Engine


@pytest.fixture
def damaged(path: Path) -> Path:
    """A store in one segment of several blocks, a byte of one of which is flipped."""
    with Engine(path) as engine:
        value = {"text": "and more " * 90}
        engine.put_many([{"namespace": ("a",), "key": f"{n:03}", "value": {"n": n, **value}} for n in range(500)])
        engine.compact()
    [truth] = path.glob("*.truth")
    content = bytearray(truth.read_bytes())
    content[content.index(b'"n":250,')] ^= 1
    truth.write_bytes(content)
    return path


def test_what_is_lost_is_listed(damaged: Path) -> None:
    with Engine(damaged) as engine:
        with pytest.raises(DamagedError, match=r"\.truth at offset"):
            engine.get(("a",), "250")
        report = engine.check()
        assert report["problems"] and "loss" not in report
        assert any("restore" in advice and "accept-loss" in advice for advice in report["advice"])
        readable = {item.key for item in engine.iterate(("a",), partial=True)}
        assert "250" not in readable and len(readable) > 300

        report = engine.check(accept_loss=True)
        lost = {item["key"] for item in report["loss"]["lost"]}
        assert report["problems"] == [] and report["loss"]["kept"] == len(readable)
        assert "250" in lost and all(item["namespace"] == ["a"] for item in report["loss"]["lost"])
        assert lost | readable == {f"{n:03}" for n in range(500)} and not lost & readable
        assert report["loss"]["unnamed"] == 0 and not report["loss"]["operation_ids"]
        assert {item.key for item in engine.iterate(("a",))} == readable
    with Engine(damaged) as engine:
        assert engine.check(accept_loss=True)["loss"]["segments"] == [], "nothing more is given up"
        assert engine.count(("a",)) == len(readable)


def test_a_store_says_so_too(damaged: Path) -> None:
    pytest.importorskip("langgraph")
    with vecmem.Store(damaged) as store:
        assert store.check(repair=True)["problems"]
        report = store.check(accept_loss=True)
        assert report["problems"] == [] and "250" in {item["key"] for item in report["loss"]["lost"]}
        assert store.get(("a",), "250") is None and store.count(("a",)) == report["loss"]["kept"]
