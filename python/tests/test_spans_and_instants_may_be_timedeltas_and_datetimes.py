"""A ``timedelta`` is accepted where seconds are, and a ``datetime`` with a zone where microseconds since 1970 are."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from vecmem import Engine, InvalidInputError, Put

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def test_a_time_to_live(engine: Engine) -> None:
    engine.put(("a",), "k", {}, ttl=timedelta(hours=1, microseconds=5))
    engine.write([Put(("a",), "l", {}, ttl=timedelta(days=1))])
    found = [engine.get(("a",), key) for key in "kl"]
    assert [item and item.ttl for item in found] == [3600.000005, 86400.0]


def test_spans_of_an_open(path: Path) -> None:
    options = {name: timedelta(seconds=2) for name in ("sync_every", "sweep_every", "clock_grace", "lock_timeout")}
    with Engine(path, **options), Engine(path, sync_every=2.0, sweep_every=2, clock_grace=2) as engine:
        assert len(engine) == 0, "seconds and spans are the same options"


def test_a_deadline_and_a_grace(engine: Engine) -> None:
    engine.put(("a",), "k", {})
    assert engine.get(("a",), "k", deadline=timedelta(minutes=1)) and engine.list(("a",), deadline=timedelta(days=1))
    assert engine.purge(("a",), grace=timedelta(0))["items"] == 1


@pytest.mark.parametrize("zone", [timezone.utc, timezone(timedelta(hours=-9, minutes=-30))])
def test_instants(engine: Engine, zone: timezone) -> None:
    created = datetime(2026, 5, 17, 12, 30, 1, 234567, tzinfo=zone)
    engine.put(("a",), "k", {}, created_at=created, updated_at=created + timedelta(microseconds=1))
    item = engine.get(("a",), "k")
    assert item is not None and EPOCH + timedelta(microseconds=item.created_at) == created
    assert item.updated_at == item.created_at + 1


def test_a_datetime_without_a_zone_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidInputError, match=r"created_at has no time zone; write datetime.now\(timezone.utc\)"):
        engine.put(("a",), "k", {}, created_at=datetime(2026, 1, 1))


def test_a_span_before_now_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidInputError, match="ttl must be 0 seconds or more"):
        engine.put(("a",), "k", {}, ttl=timedelta(seconds=-1))
