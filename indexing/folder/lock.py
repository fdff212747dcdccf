"""The lock that guards an index folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from titrate import InputError

LOCK = "lock"


@contextmanager
def lock_index(index: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the index: one build alone, or any number of readers. The system lets go of it when a process ends.

    Raises
    ------
    InputError
        If others hold it in a way that does not allow that, or the folder is not there.
    """
    try:
        file = (index / LOCK).open("a" if exclusive else "r")
    except OSError as error:
        raise InputError(f"cannot open index {index}: {error.strerror}; check the path and its rights") from error
    with file:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = "another process is building or using it" if exclusive else "it is being built"
            raise InputError(f"index {index} is busy: {holder}; wait for that to end") from error
        yield
