"""A snapshot answers every read as of its moment, whatever is written; a scan walks one moment too."""

import pytest

from vecmem import ClosedError, Engine


def fill(engine: Engine, count: int) -> None:
    engine.put_many(
        [{"namespace": ("a",), "key": f"{n:04}", "value": {"n": n}, "vector": [1, n, 0]} for n in range(count)]
    )


def test_all_reads(engine: Engine) -> None:
    fill(engine, 1000)
    with engine.snapshot() as snapshot:
        engine.delete_everything()
        engine.put(("b",), "new", {"n": 5}, vector=[1, 0, 0])
        assert snapshot.get(("a",), "0007").value == {"n": 7}  # type: ignore[union-attr]
        assert snapshot.get(("b",), "new") is None
        found = snapshot.get_many([(("a",), "0001"), (("b",), "new")])
        assert [item and item.key for item in found] == ["0001", None]
        assert [hit.key for hit in snapshot.search(everything=True, vector=[1, 0, 0], limit=2)] == ["0000", "0001"]
        assert snapshot.search_many([[1, 0, 0]], everything=True, limit=1)[0][0].key == "0000"
        assert [hit.key for hit in snapshot.search_by_item(("a",), "0000", limit=1)] == ["0001"]
        assert [item.key for item in snapshot.list(everything=True, limit=1)] == ["0999"]
        assert [item.value["n"] for item in snapshot.iterate(everything=True)] == list(range(1000))
        assert snapshot.list_namespaces() == [("a",)] and snapshot.count(everything=True) == 1000
    assert engine.list_namespaces() == [("b",)] and engine.count(everything=True) == 1
    snapshot.close()
    with pytest.raises(ClosedError, match="the snapshot has been closed"):
        snapshot.get(("a",), "0007")


def test_a_scan_neither_misses_nor_repeats(engine: Engine) -> None:
    fill(engine, 1000)
    keys = []
    for item in engine.iterate(("a",)):
        keys.append(item.key)
        engine.delete(("a",), item.key)
        engine.put(("a",), f"{item.key} again", {})
    assert keys == [f"{n:04}" for n in range(1000)]
    assert [item.key for item in engine.iterate(("a",), key_prefix="000", limit=3)] == [
        "0000 again",
        "0001 again",
        "0002 again",
    ]


def test_a_snapshot_ends_with_its_store(engine: Engine) -> None:
    snapshot = engine.snapshot()
    engine.close()
    with pytest.raises(ClosedError):
        snapshot.count(everything=True)


def test_pages_of_a_listing_are_slices_of_one_list(engine: Engine) -> None:
    fill(engine, 1000)
    listing = engine.listing(("a",), filter={"n": {"$lt": 700}})
    kept = engine.snapshot()
    keys = []
    for offset in range(0, 800, 100):
        keys += [hit.key for hit in listing.page(offset, 100)]
        engine.delete(("a",), f"{offset:04}")
        engine.put(("a",), f"{offset:04} again", {"n": 0})
    assert keys == [f"{n:04}" for n in reversed(range(700))]
    assert [hit.key for hit in listing.page(5, 2)] == ["0694", "0693"] and len(listing.page()) == 100
    assert [hit.key for hit in kept.listing(everything=True).page(0, 1)] == ["0999"]
    with pytest.raises(TypeError, match=r"listing\(\) got an unexpected keyword argument 'limit'"):
        engine.listing(("a",), limit=5)  # type: ignore[call-arg]
