"""Checksums of a collection's files, so that one changed byte is noticed before the engine maps them into memory."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from titrate import open_file, parse_json, read_bytes

PART = 1 << 20
"""Bytes that are hashed at once. The engine reserves files of 32 MiB and fills a little of them: a part of nothing but
zeros does not count, so that what is reserved need not be read."""

THREADS = min(8, os.cpu_count() or 1)
_ZEROS = bytes(PART)


def file_checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder, by its path within; hidden ones, which the engine ignores, are left out.

    Of a JSON file the value counts and not how it is written: the engine writes those anew whenever it opens a
    collection, with their names in another order. All others stay as they are until somebody writes a point.

    Raises
    ------
    OSError
        If one of them cannot be read.
    """
    found: dict[str, str] = {}
    with ThreadPoolExecutor(THREADS, "checksum") as pool:
        for path in sorted(_files(folder)):
            name = path.relative_to(folder).as_posix()
            value = _json_checksum(path) if path.suffix == ".json" else None
            found[name] = value or _parts_checksum(path, pool.map)
    return found


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _raise(error: OSError) -> None:
    raise error


def _json_checksum(path: Path) -> str | None:
    """None where the file is no JSON: then its bytes count."""
    try:
        value = parse_json(read_bytes(path))
    except ValueError:
        return None
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _parts_checksum(path: Path, run: Callable[..., Iterator[tuple[int, bytes]]]) -> str:
    """SHA-256 of the file's size and of the place and SHA-256 of each part that holds anything but zeros."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(str(size).encode())
        for start, part in run(lambda start: (start, _part(file.fileno(), start)), _filled(file.fileno(), size)):
            if part:
                digest.update(b"%d %b" % (start, part))
    return digest.hexdigest()


def _filled(file: int, size: int) -> Iterator[int]:
    """Where each part begins of which the disk holds something."""
    start = 0
    while start < size:
        try:
            start = os.lseek(file, start, os.SEEK_DATA) // PART * PART
        except OSError:  # nothing but holes from here on
            return
        yield start
        start += PART


def _part(file: int, start: int) -> bytes:
    data = os.pread(file, PART, start)
    return b"" if data == _ZEROS[: len(data)] else hashlib.sha256(data).digest()
