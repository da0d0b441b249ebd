"""Snapshots, listings and scans of a moment before a purge raise SnapshotGoneError after it; newer ones go on."""

import threading
import time

import pytest

from vecmem import Engine, SnapshotGoneError


def fill(engine: Engine, count: int) -> None:
    engine.put_many([{"namespace": ("a",), "key": f"{n:04}", "value": {"n": n}} for n in range(count)])


def test_each_kind_is_named_and_ends(engine: Engine) -> None:
    fill(engine, 1000)
    snapshot, listing, scan = engine.snapshot(), engine.listing(("a",)), engine.iterate(("a",))
    assert next(scan).key == "0000" and len(listing.page(0, 10)) == 10
    short = engine.iterate(("a",), key_prefix="000")
    engine.delete(("a",), "0001")
    epoch = engine.purge_epoch
    report = engine.purge(("a",), keep_living=True, grace=0)["holders"]
    assert engine.purge_epoch == epoch + 1
    assert sorted(ended["kind"] for ended in report["ended"]) == ["cursor", "listing", "snapshot"]
    assert all(ended["age_seconds"] >= 0 and ended["visible_lsn"] > 0 for ended in report["ended"])
    for read in (
        lambda: snapshot.get(("a",), "0001"),
        lambda: snapshot.count(everything=True),
        lambda: snapshot.listing(("a",)),
        lambda: listing.page(0, 10),
        lambda: next(scan),
        lambda: next(scan),
    ):
        with pytest.raises(SnapshotGoneError, match="purge") as gone:
            read()
        assert gone.value.kind == "snapshot_gone" and isinstance(gone.value, LookupError)
    assert len(list(short)) == 10, "all of it had been fetched"
    assert engine.snapshot().count(("a",)) == 999
    assert engine.stats()["memory"]["open_cursors"] == 0


def test_a_grace_waits_for_those_that_go(engine: Engine) -> None:
    fill(engine, 10)
    snapshot = engine.snapshot()
    engine.delete(("a",), "0001")

    def let_go() -> None:
        while engine.purge_epoch == 0:
            time.sleep(0.001)
        assert snapshot.get(("a",), "0001") is not None, "it is still read"
        snapshot.close()

    thread = threading.Thread(target=let_go)
    thread.start()
    report = engine.purge(("a",), keep_living=True, grace=60)["holders"]
    thread.join()
    assert (report["ended"], report["left"]) == ([], 1) and report["waited_seconds"] < 30
