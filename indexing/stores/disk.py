"""Room on a disk, and copies of collections: whole, and as small on disk as what they copy."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from titrate import InputError, TitrateError

MIN_FREE_BYTES = 64 * 1024 * 1024
"""Bytes that must be free before anything is written. Edge writes through memory maps: on a full disk the system would
end the process (SIGBUS) where an error should be."""

_PART = 1 << 20


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder with all that is in it; ``target`` must not be there yet.

    The engine reserves files of 32 MiB and fills a little of them: what the disk holds nothing of is not written.
    Hidden files are left out: those are the engine's own, of a moment, and gone when they should be copied.

    Raises
    ------
    InputError
        If something in it is neither file nor folder: a link may lead anywhere.
    OSError
        If it cannot be read or written.
    """
    target.mkdir(mode=0o700)
    with os.scandir(source) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                copy_folder(path, target / entry.name)
            elif entry.is_file(follow_symlinks=False):
                copy_file(path, target / entry.name)
            else:
                raise InputError(f"{path} is a symbolic link or no file at all; put in its place what it stands for")
    target.chmod(source.stat().st_mode & 0o777)


def copy_file(source: Path, target: Path) -> None:
    """Copy one file, durably; ``target`` must not be there yet.

    Raises
    ------
    OSError
        If it cannot be read or written.
    """
    with source.open("rb") as read, target.open("xb") as write:
        size, start = os.fstat(read.fileno()).st_size, 0
        write.truncate(size)
        while start < size:
            try:
                start = os.lseek(read.fileno(), start, os.SEEK_DATA)
            except OSError:  # nothing but holes from here on
                break
            end = os.lseek(read.fileno(), start, os.SEEK_HOLE)
            while start < end:
                start += os.pwrite(write.fileno(), os.pread(read.fileno(), min(_PART, end - start), start), start)
        os.fchmod(write.fileno(), os.fstat(read.fileno()).st_mode & 0o777)
        os.fsync(write.fileno())


@contextmanager
def lasting_name(folder: Path) -> Iterator[Path]:
    """A name that leads to this very folder as long as the body runs, even if it is renamed and another takes its name.

    Where the system has no such names, which Linux has, its own.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        name = Path(f"/proc/self/fd/{file}")
        yield name if name.exists() else folder
    finally:
        os.close(file)


def may_write(folder: Path) -> bool:
    """Whether this process may write to a folder and to all that is in it, but for the engine's files of a moment."""
    return os.access(folder, os.W_OK) and all(os.access(path, os.W_OK) for path in _within(folder, hidden=False))


def size_on_disk(folder: Path) -> int:
    """Bytes of the blocks that a folder's files occupy: Edge reserves more room than it fills."""
    blocks = 0
    for path in _within(folder, hidden=True):
        try:
            blocks += path.lstat().st_blocks
        except FileNotFoundError:  # a file of a moment
            continue
    return 512 * blocks


def _within(folder: Path, *, hidden: bool) -> Iterator[Path]:
    """All that is in a folder; what goes meanwhile, as the engine's files of a moment do, is passed over."""
    for place, folders, files in os.walk(folder):
        if not hidden:
            folders[:], files = ([name for name in names if not name.startswith(".")] for names in (folders, files))
        yield from (Path(place, name) for name in (*folders, *files))


def check_free_space(folder: Path, needed: int) -> None:
    """Refuse to go on where a disk has less room than is needed.

    Raises
    ------
    TitrateError
        Saying how much is missing.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise TitrateError(
            f"the disk of {folder} has {free >> 20} MiB free and needs {-(-needed >> 20)}; free some, run again"
        )
