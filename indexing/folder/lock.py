"""The lock that guards an index folder, and the moment in which a build puts another folder into its place."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from titrate import InputError

LOCK = "lock"
_PAUSE_S, _TRIES = 0.05, 10


class BusyError(InputError):
    """Somebody else holds the index."""


@dataclass(frozen=True)
class Lock:
    """A lock that is held."""

    path: Path
    identity: tuple[int, int]

    def is_current(self) -> bool:
        """Whether the folder is the one that was locked, and no build has put another into its place since."""
        return _identity(self.path) == self.identity


@contextmanager
def lock_index(index: Path, *, exclusive: bool, patient: bool = True) -> Iterator[Lock]:
    """Hold the index: one build alone, or any number of readers. The system lets go of it when a process ends.

    Parameters
    ----------
    index
        Its folder.
    exclusive
        For a build.
    patient
        Whether to try for half a second, since others may hold it for the moment that it takes to look at it.

    Raises
    ------
    BusyError
        If others hold it in a way that does not allow that.
    InputError
        If the folder is not there.
    """
    path, busy = index / LOCK, False
    for _ in range(_TRIES if patient else 1):
        try:
            handle = os.open(path, _FLAGS[exclusive], 0o666)
        except FileNotFoundError as error:
            wait_for_swap(index)
            if path.exists():
                continue
            raise _unusable(index, error) from error
        except OSError as error:
            raise _unusable(index, error) from error
        with os.fdopen(handle) as file:
            try:
                fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError:
                busy = True
                time.sleep(_PAUSE_S if patient else 0)
                continue
            status = os.fstat(file.fileno())
            lock = Lock(path, (status.st_dev, status.st_ino))
            if lock.is_current():  # or else it was swapped between the two steps
                yield lock
                return
    holder = "another process is building or using it" if exclusive and busy else "it is being built"
    raise BusyError(f"index {index} is busy: {holder}; wait for that to end")


_FLAGS = {
    True: os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
    False: os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC,
}


def is_being_built(index: Path) -> bool:
    """Whether a build holds the folder alone at this moment."""
    try:
        with lock_index(index, exclusive=False, patient=False):
            return False
    except BusyError:
        return True
    except InputError:
        return False


def wait_for_swap(index: Path) -> None:
    """Wait for the second of the two renames, if an index is between them; not for long, as a kill may have come."""
    for _ in range(_TRIES):
        if os.path.exists(index) or not os.path.exists(swapped_out(index)):  # False for a name too long
            return
        time.sleep(_PAUSE_S)


def swapped_out(index: Path) -> Path:
    """Where an index lies for the moment in which another takes its place."""
    return beside(index, "old")


def beside(index: Path, name: str) -> Path:
    """A hidden path beside an index folder; where the index is a link, beside what it leads to."""
    real = Path(os.path.realpath(index))
    return real.parent / f".{real.name}.{name}"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _unusable(index: Path, error: OSError) -> InputError:
    return InputError(f"cannot open index {index}: {error.strerror}; check the path and its rights")
