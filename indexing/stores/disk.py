"""Room on a disk, and copies of collections: whole, and as small on disk as what they copy."""

import os
import shutil
from pathlib import Path

from titrate import InputError, TitrateError

MIN_FREE_BYTES = 64 * 1024 * 1024
"""Bytes that must be free before anything is written. Edge writes through memory maps: on a full disk the system would
end the process (SIGBUS) where an error should be."""

_PART = 1 << 20


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder with all that is in it; ``target`` must not be there yet.

    The engine reserves files of 32 MiB and fills a little of them: what the disk holds nothing of is not written.

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


def may_write(folder: Path) -> bool:
    """Whether this process may write to a folder and to all that is in it."""
    return all(os.access(path, os.W_OK) for path in (folder, *folder.rglob("*")))


def size_on_disk(folder: Path) -> int:
    """Bytes of the blocks that a folder's files occupy: Edge reserves more room than it fills."""
    blocks = 0
    for path in folder.rglob("*"):
        try:
            blocks += path.lstat().st_blocks
        except FileNotFoundError:  # a file of a moment
            continue
    return 512 * blocks


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
