"""Building beside an index that is read meanwhile, and putting what was built into its place.

Readers keep the index that they opened: it is deleted when the last of them closes it, or by a later build.
"""

import fcntl
import os
import re
import secrets
import shutil
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexing.folder.fixed_settings import load_fixed_settings
from indexing.folder.lock import LOCK, BusyError, beside, lock_index, swapped_out
from indexing.folder.manifest import MANIFEST, SKIPPED
from indexing.folder.pseudonym_key import KEY
from indexing.stores.disk import MIN_FREE_BYTES, check_free_space, copy_file, copy_folder, size_on_disk
from titrate import InputError, TitrateWarning, hash_bytes, write_atomic

_BASE = "base"
"""File of a copy that is being changed, written when that is whole: hash of the manifest it copies, and of what for."""

_LEFT = "left-"


def can_build_beside(index: Path) -> bool:
    """Whether there is a finished index that may be changed, and a folder beside it may take its place."""
    real = index.resolve()
    may = os.access(real.parent, os.W_OK) and os.access(real, os.W_OK)
    return may and (real / MANIFEST).is_file() and not _is_mounted(real)


@contextmanager
def rebuilding(index: Path, *, alone: bool) -> Iterator[Path]:
    """A folder beside the index to build a new one in, which takes the old one's place when the body ends well.

    The old index can be read all the while, but not built on. An interrupted rebuild is taken up again by the next.

    Parameters
    ----------
    index
        Its folder.
    alone
        True where nobody may go on reading the old index, as its collections are deleted from a server.

    Raises
    ------
    InputError
        If there is no index, or a build is changing it; at the end, if somebody is reading it and must not.
    """
    with _only_build(index):
        aside = _own_folder(beside(index, "rebuilt"))
        with lock_index(index, exclusive=False):
            if (index / KEY).exists():  # the same patients keep their pseudonyms
                write_atomic(aside / KEY, (index / KEY).read_bytes(), private=True)
            yield aside
        with lock_index(index, exclusive=alone):
            _swap(index, aside)
        shutil.rmtree(beside(index, "updated"), ignore_errors=True)  # of the index that is no more
        remove_left(index)


@contextmanager
def updating(index: Path, purpose: str) -> Iterator[Path]:
    """A copy of the index to be changed, which takes the index's place when the body ends well and changed it.

    It takes as much room as the index, once more. Where the body fails, what it changed is kept for the next update.

    Parameters
    ----------
    index
        Its folder.
    purpose
        What the copy is changed for: an interrupted change is taken up again for the same one alone, since another may
        want back what the first removed.

    Raises
    ------
    InputError
        If a build is changing the index.
    TitrateError
        If the disk has no room for the copy.
    """
    with _only_build(index):
        with lock_index(index, exclusive=False):
            aside = _own_folder(beside(index, "updated"))
            base = hash_bytes((index / MANIFEST).read_bytes(), purpose.encode(errors="replace"))
            if not (aside / _BASE).is_file() or (aside / _BASE).read_text() != base:
                aside = _copied(index, aside, base)
            try:
                yield aside
            except BaseException:
                if not _differs(index, aside):
                    shutil.rmtree(aside, ignore_errors=True)
                raise
            if _differs(index, aside):
                _swap(index, aside)
                (index / _BASE).unlink(missing_ok=True)
                _forget_begun_rebuild(index)
            else:
                _replace_list_of_skipped(aside, index)
                shutil.rmtree(aside)
        remove_left(index)


def remove_left(index: Path) -> None:
    """Delete what swaps put away, unless somebody still reads it, or this process may not."""
    for folder in left(index):
        try:
            with lock_index(folder, exclusive=True, patient=False):
                shutil.rmtree(folder, ignore_errors=True)
        except (InputError, OSError):
            continue


def left(index: Path) -> list[Path]:
    """Folders that swaps put away and nobody has deleted yet."""
    names = beside(index, _LEFT)
    try:
        found = [
            path for path in names.parent.iterdir() if re.fullmatch(f"{re.escape(names.name)}[0-9a-f]+", path.name)
        ]
    except OSError:
        return []
    return [path for path in [*found, *[swapped_out(index)] * index.exists()] if _is_ours(path)]


def tell_of_readers(index: Path) -> None:
    """Warn if the index as it was before stays on disk, with what has been removed from it since."""
    if left(index):
        warnings.warn(
            "the index as it was before stays on disk, with what was removed from it, until the last of those who read "
            f"{index} now closes it",
            TitrateWarning,
            stacklevel=3,
        )


def finish_swap(index: Path) -> None:
    """If a kill came between the two renames of a swap, put the old index back into its place."""
    if not index.exists() and _is_ours(swapped_out(index)):
        os.rename(swapped_out(index), index.resolve())


def _swap(index: Path, aside: Path) -> None:
    """Two renames, so that there is a moment without an index: readers wait it out, and a build mends it after a kill.

    The caller holds the index.
    """
    old, real = swapped_out(index), index.resolve()
    try:
        shutil.rmtree(old, ignore_errors=True)
        aside.chmod(real.stat().st_mode & 0o777)
        os.rename(real, old)
        os.rename(aside, real)
        os.rename(old, beside(index, f"{_LEFT}{secrets.token_hex(6)}"))
    except OSError as error:
        raise InputError(f"cannot put the new index into the place of {index}: {error.strerror}") from error


def _forget_begun_rebuild(index: Path) -> None:
    """Delete an interrupted rebuild, which may hold what was removed; on a server, its folder alone knows what to."""
    aside = beside(index, "rebuilt")
    try:
        held = load_fixed_settings(aside)
    except InputError:  # damaged: the next rebuild says so
        return
    if held is None or held.store.url is None:
        shutil.rmtree(aside, ignore_errors=True)


def _differs(index: Path, aside: Path) -> bool:
    """Whether a build changed the copy: then it wrote another manifest, or deleted it for the time being."""
    try:
        ours, theirs = (folder / MANIFEST for folder in (aside, index))
        same = ours.stat().st_mtime_ns == theirs.stat().st_mtime_ns and ours.read_bytes() == theirs.read_bytes()
    except FileNotFoundError:
        return True
    return not same


def _copied(index: Path, aside: Path, base: str) -> Path:
    """Copy an index into a folder that held something else, or a part of it, before."""
    check_free_space(aside, size_on_disk(index) + MIN_FREE_BYTES)
    try:
        shutil.rmtree(aside)
        aside.mkdir(mode=0o700)
        for entry in sorted(index.iterdir()):
            if entry.is_symlink():
                raise InputError(f"{entry} is a symbolic link, which no build makes; put in its place what it leads to")
            if entry.name in (LOCK, _BASE) or entry.name.startswith("."):
                continue
            copy_folder(entry, aside / entry.name) if entry.is_dir() else copy_file(entry, aside / entry.name)
        shutil.copystat(index / MANIFEST, aside / MANIFEST)
        write_atomic(aside / _BASE, base)
    except OSError as error:
        raise InputError(f"cannot copy index {index} to {aside}: {error.strerror}") from error
    return aside


def _replace_list_of_skipped(source: Path, target: Path) -> None:
    """The one thing that is new although the index stays as it was."""
    if (source / SKIPPED).exists():
        os.replace(source / SKIPPED, target / SKIPPED)
    else:
        (target / SKIPPED).unlink(missing_ok=True)


def _own_folder(path: Path) -> Path:
    """Make a folder for this user alone, or take one up again that is this user's."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        if not _is_ours(path):
            raise InputError(f"{path} was put there by somebody else; remove it and run again")
    except OSError as error:
        raise InputError(f"cannot make folder {path}: {error.strerror}; a build needs it beside the index") from error
    return path


def _is_mounted(folder: Path) -> bool:
    """Whether something is mounted at a folder, which then cannot be renamed; bind mounts show in this list alone."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return os.path.ismount(folder)
    places = {re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4]) for line in lines}
    return str(folder) in places or os.path.ismount(folder)


def _is_ours(path: Path) -> bool:
    """Whether a folder is this user's own, and no link to another."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


@contextmanager
def _only_build(index: Path) -> Iterator[None]:
    """Hold a file beside the index, so that one process at a time builds there; it is deleted in the end."""
    finish_swap(index)
    remove_left(index)
    path = beside(index, "building")
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        while True:
            file = os.open(path, flags, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
                    break  # or else the one before has just deleted it
            except BaseException:
                os.close(file)
                raise
            os.close(file)
    except BlockingIOError as error:
        raise BusyError(
            f"index {index} is busy: another process is building or using it; wait for that to end"
        ) from error
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; a build needs a file beside the index") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(file)
