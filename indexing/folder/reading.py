"""Reading an index folder while builds may put another into its place: all that is read is of one build."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import sleep
from typing import TypeVar

from indexing.folder.beside import remove_left
from indexing.folder.lock import BusyError, Lock, lock_index
from indexing.folder.manifest import Manifest
from titrate import TitrateError

_TRIES = 5
_Result = TypeVar("_Result")

_LOOKS, _PAUSE = 1, 0.1
"""How often a file that is not as it should be is looked at again, and after how many seconds."""


def read_index(index: Path, read: Callable[[Manifest, ExitStack], _Result]) -> _Result:
    """Read parts of a finished index, again if a build put another index into its place meanwhile.

    Parameters
    ----------
    index
        Its folder.
    read
        Gets its manifest, and what holds everything open, the lock among it; this is the result's to close.

    Raises
    ------
    InputError
        If there is no complete index, or a build is changing it.
    """
    refused = 0
    for _ in range(_TRIES):
        Manifest.load(index)  # says what is wrong with the folder before the lock can only say that it is busy
        resources = ExitStack()
        try:
            lock = resources.enter_context(_held(index))
            try:
                result = read(Manifest.load(index), resources)
            except (TitrateError, OSError):
                # The engine of a process that reads or copies it may be rewriting a file at this moment: look again.
                refused += lock.is_current()
                if refused > _LOOKS:
                    raise
                sleep(_PAUSE)
            else:
                if lock.is_current():
                    return result
        except BaseException:
            resources.close()
            raise
        resources.close()
    raise BusyError(f"index {index} is busy: it is being replaced again and again; wait for that to end")


@contextmanager
def _held(index: Path) -> Iterator[Lock]:
    """The index's lock; whoever lets go last of an index that was replaced meanwhile deletes it."""
    with lock_index(index, exclusive=False) as lock:
        yield lock
    if not lock.is_current():
        remove_left(index)
