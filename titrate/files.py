"""Reading JSON lines with useful errors, writing files whole or not at all, and content hashes."""

import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO

from titrate.errors import InputError
from titrate.reading import open_file, parse_json


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each non-empty line of a JSON-lines file.

    Raises
    ------
    InputError
        If the file cannot be read, is not UTF-8, or a line is not a JSON object.
    """
    try:
        with TextIOWrapper(open_file(path), encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    value = parse_json(line)
                except ValueError as error:
                    raise InputError(f"{path}, line {number}: not JSON that can be read ({error})") from error
                if not isinstance(value, dict):
                    raise InputError(f"{path}, line {number}: expected an object, found {type(value).__name__}")
                yield number, value
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; convert it first") from error


PRIVATE = 0o600
"""Mode of a file that holds reports, or says which patients there are: its owner alone reads it."""


def write_atomic(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write a file so that a reader, or a crash, sees either the old content or the new, never a part.

    What lay there is replaced, not written to: a symbolic link goes, and what it pointed to stays as it was.

    Parameters
    ----------
    path
        Its folder must exist.
    content
        Text is written as UTF-8.
    private
        For its owner alone; otherwise the process's umask says who may read it.

    Raises
    ------
    InputError
        If the folder does not exist or cannot be written to, or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary: Path | None = None
    try:
        if path.exists() and not path.is_file():  # replaced by the file, /dev/null would be gone for everybody
            raise OSError(errno.EINVAL, "it is no ordinary file")
        # Not by mkstemp, whose files nobody but the owner could ever read. The system takes the umask off the mode.
        aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE if private else 0o666)
        temporary = aside
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def open_private(path: Path) -> BinaryIO:
    """Open a file to be read and added to, made for its owner alone if it is not there.

    Raises
    ------
    OSError
        If it cannot be, or is a symbolic link or anything but a file: who may write to its folder could lead what is
        added to another place by one.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, PRIVATE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(error.errno, f"{path.name} is a symbolic link") from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, f"{path.name} is not a file")
    return os.fdopen(handle, "a+b")


def hash_bytes(*parts: bytes) -> str:
    """SHA-256 over length-prefixed parts, as 64 hex digits: two different lists never share a hash by concatenation."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def hash_json(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    return hash_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def hash_files(paths: list[Path]) -> str:
    """SHA-256 over the names and contents of files, in the order given.

    Raises
    ------
    InputError
        If one of them cannot be read.
    """
    parts = []
    try:
        for path in paths:
            with open_file(path) as file:  # in pieces: weights can be larger than memory
                parts += [path.name.encode(), hashlib.file_digest(file, "sha256").digest()]
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}; check the path") from error
    return hash_bytes(*parts)
