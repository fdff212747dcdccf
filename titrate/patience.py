"""An end to Python code that is somebody else's and may loop for ever, such as a model's chat template."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import Any


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` inside the functions that are called from here once so many seconds have passed.

    It is looked at before each line of theirs, in this thread and whatever thread that is, as an alarm signal could
    not be; what runs long inside a single call of a library in C is not stopped.

    Parameters
    ----------
    seconds
        Of the wall clock.

    Raises
    ------
    TimeoutError
        From within.
    """
    end = monotonic() + seconds

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        if monotonic() > end:
            raise TimeoutError(f"it takes longer than {seconds:g} s")
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(before)
