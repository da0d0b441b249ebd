"""``vecmem.Store`` passes every test of the store suites that LangGraph publishes: none fails, none is skipped.

One thing is told to the suite of SqliteStore: that store takes a configuration without ``refresh_on_read`` for
``False``, where ``BaseStore`` documents ``True``, and one test relies on it. See ``CONFORMANCE_SQLITE_TTL_DEFAULT`` in
``plugin.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import suites

OPTIONS = {"ttl": {"CONFORMANCE_SQLITE_TTL_DEFAULT": "1"}}


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Future[suites.Outcome]]]:
    """All suites, at once: they mostly sleep until something has expired."""
    try:
        for suite in suites.SUITES.values():
            suites.fetch(suite.distribution)
    except suites.FetchError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the suites cannot be fetched: {error}")
    with ThreadPoolExecutor(len(suites.SUITES)) as threads:
        yield {
            name: threads.submit(suites.run, name, "vecmem:Store", adapter="vecmem_rows", options=OPTIONS.get(name))
            for name in suites.SUITES
        }


@pytest.mark.parametrize("name", suites.SUITES)
def test_suite(runs: dict[str, Future[suites.Outcome]], name: str) -> None:
    outcome = runs[name].result()
    counts = (outcome.passed, outcome.failed, outcome.skipped)
    assert counts == (suites.SUITES[name].passes, 0, 0), outcome.output
