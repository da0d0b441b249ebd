"""Ctrl-C ends an open that waits for another process, at once and not when the wait is over."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vecmem import Engine, LockedError

PROGRAM = """
import signal, sys
from vecmem import Engine

# A process that was started in the background ignores the signal, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
print("waiting", flush=True)
try:
    Engine(sys.argv[1], lock_timeout=300)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_a_signal_ends_the_wait(path: Path) -> None:
    with Engine(path):
        child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout is not None and child.stdout.readline() == "waiting\n"
            time.sleep(0.2)  # so that it waits, mostly; it must end as well if it does not yet
            child.send_signal(signal.SIGINT)
            assert child.communicate(timeout=60)[0] == "interrupted\n"
        finally:
            child.kill()
            child.wait()


def test_the_wait_is_as_long_as_asked_for(path: Path) -> None:
    holder = "import sys, vecmem; engine = vecmem.Engine(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", holder, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None and child.stdout is not None and child.stdout.readline() == "open\n"
    for seconds in (0.0, 0.05, 0.35):
        began = time.monotonic()
        with pytest.raises(LockedError, match=f"process {child.pid}"):
            Engine(path, lock_timeout=seconds)
        assert time.monotonic() - began >= seconds
    child.stdin.close()
    with Engine(path, lock_timeout=60):
        assert child.wait(60) == 0
    child.stdout.close()
