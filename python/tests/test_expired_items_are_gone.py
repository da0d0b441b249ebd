"""An item with a time to live is in no read once it is over, and is removed by a sweep, the engine's own or the
caller's.
"""

from vecmem import Engine

A_MOMENT = 1e-6


def test_gone_from_every_read_and_swept_on_demand() -> None:
    with Engine(dims=3, sweep_every=None) as engine:
        engine.put(("a",), "short", {}, vector=[1, 0, 0], ttl=A_MOMENT)
        engine.put(("a",), "long", {}, vector=[1, 0, 0], ttl=3600)
        engine.put(("a",), "stays", {}, vector=[1, 0, 0])
        assert engine.get(("a",), "short") is None
        assert {hit.key for hit in engine.search(("a",), [1, 0, 0])} == {"long", "stays"}
        assert {item.key for item in engine.iterate(("a",))} == {"long", "stays"} and engine.count(("a",)) == 2
        expired = engine.get(("a",), "short", include_expired=True)
        assert expired is not None and expired.ttl == A_MOMENT
        assert expired.expires_at is not None and expired.expires_at - expired.updated_at <= 1_000_000
        assert len(engine.search(("a",), [1, 0, 0], include_expired=True)) == 3
        assert engine.sweep() == 1 and engine.sweep() == 0
        assert engine.get(("a",), "short", include_expired=True) is None


def test_a_read_may_put_the_expiry_off(engine: Engine) -> None:
    engine.put(("a",), "k", {}, ttl=5)
    before = engine.get(("a",), "k")
    assert before is not None and before.expires_at is not None
    # A refresh that would gain less than a hundredth of the time to live is not made.
    while True:
        engine.get(("a",), "k", refresh_ttl=True)
        engine.flush()
        after = engine.get(("a",), "k")
        assert after is not None and after.expires_at is not None, "five seconds passed without a refresh"
        if after.expires_at > before.expires_at:
            break
    assert after.updated_at == before.updated_at and after.version == before.version
