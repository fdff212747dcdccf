"""Reading JSON lines with useful errors, writing files whole or not at all, and content hashes."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from titrate.errors import InputError


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each non-empty line of a JSON-lines file.

    Raises
    ------
    InputError
        If the file cannot be read, is not UTF-8, or a line is not a JSON object.
    """
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except json.JSONDecodeError as error:
                    raise InputError(f"{path}, line {number}: not JSON ({error.msg})") from error
                if not isinstance(value, dict):
                    raise InputError(f"{path}, line {number}: expected an object, found {type(value).__name__}")
                yield number, value
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; convert it first") from error


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, sees either the old content or the new, never a part.

    Raises
    ------
    InputError
        If the folder does not exist or cannot be written to, or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


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
            with path.open("rb") as file:  # in pieces: weights can be larger than memory
                parts += [path.name.encode(), hashlib.file_digest(file, "sha256").digest()]
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}; check the path") from error
    return hash_bytes(*parts)
