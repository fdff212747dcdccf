"""Somebody else's Python code comes to an end, in any thread."""

import sys
import time
from threading import Thread

import pytest

from titrate import time_limit


def loop() -> None:
    while True:
        pass


def test_a_loop_is_stopped_in_any_thread() -> None:
    found: list[float] = []

    def run() -> None:
        start = time.monotonic()
        with pytest.raises(TimeoutError, match=r"longer than 0\.2 s"), time_limit(0.2):
            loop()
        found.append(time.monotonic() - start)

    run()
    thread = Thread(target=run)
    thread.start()
    thread.join(60)
    assert len(found) == 2 and all(0.2 <= seconds < 30 for seconds in found)


def test_what_is_in_time_is_left_alone() -> None:
    before = sys.gettrace()
    with time_limit(60):
        assert sorted([3, 1, 2], key=lambda number: -number) == [3, 2, 1]
    assert sys.gettrace() is before
