"""Reading what somebody else wrote: ordinary files only, and JSON that is plain JSON.

Each function raises one kind of error, OSError for a file that cannot be read and ValueError for one that cannot be
understood, so that a reader which names the file and the remedy has caught all that can happen.
"""

import errno
import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

MAX_DEPTH = 64
"""Brackets inside brackets. Python's own limit depends on how deep the caller is, and what comes after reading, such
as hashing, has one of its own."""


def open_file(path: Path) -> BufferedReader:
    """Open an ordinary file to read its bytes; what is none is refused, and not waited for.

    Raises
    ------
    OSError
        Always with ``strerror``: if it cannot be opened, or is a folder, a pipe, a socket or a device.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL byte, or half of a surrogate pair
        raise OSError(errno.EINVAL, "this is no path", ascii(str(path))) from error
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    kind = "it is a folder" if stat.S_ISDIR(mode) else "it is a pipe or a device, not an ordinary file"
    raise OSError(errno.EINVAL, kind, str(path))


def read_bytes(path: Path) -> bytes:
    """All bytes of an ordinary file.

    Raises
    ------
    OSError
        As `open_file`.
    """
    with open_file(path) as file:
        return file.read()


def read_text(path: Path) -> str:
    """The text of an ordinary file in UTF-8, with or without a byte order mark.

    Raises
    ------
    OSError
        As `open_file`.
    ValueError
        If it is not UTF-8.
    """
    return read_bytes(path).decode("utf-8-sig")


def parse_json(text: str | bytes, *, strict: bool = False) -> Any:
    r"""The value of a JSON text.

    Parameters
    ----------
    text
        The text, or its bytes in UTF-8.
    strict
        Refuse what Python's reader takes beyond the standard: a name that comes twice in an object, of which readers
        take one or the other, and NaN and infinities.

    Raises
    ------
    ValueError
        With a short reason as its message: if it is not JSON or not UTF-8, has brackets more than 64 deep or a number
        of thousands of digits, or escapes half of a surrogate pair, which is no text that could be written again; or
        ``strict`` refuses it.

    >>> parse_json('{"a": [1]}')
    {'a': [1]}
    >>> parse_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: brackets too deep
    >>> parse_json('"\\ud800"')
    Traceback (most recent call last):
    ValueError: half of a surrogate pair
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        hooks: dict[str, Any] = {"object_pairs_hook": _each_once, "parse_constant": _no_number} if strict else {}
        value = json.loads(text, **hooks)
    except _NotStrictError:
        raise
    except json.JSONDecodeError as error:
        raise ValueError(error.msg) from error
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error
    except RecursionError as error:
        raise ValueError("brackets too deep") from error
    except ValueError as error:  # more digits than Python reads
        raise ValueError("a number of thousands of digits") from error
    if "\\ud" in text or "\\uD" in text:
        _check_texts(value)
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return value


class _NotStrictError(ValueError):
    pass


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _NotStrictError("a name comes twice in an object")
    return found


def _no_number(name: str) -> float:
    raise _NotStrictError(f"{name}, which is no number")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [part for item in level if isinstance(item, dict | list) for part in _parts(item)]
        if not level:
            return
    raise ValueError("brackets too deep")


def _check_texts(value: Any) -> None:
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            rest.extend(item)
        if isinstance(item, dict | list):
            rest.extend(_parts(item))
        elif isinstance(item, str):
            try:
                item.encode()
            except UnicodeEncodeError as error:
                raise ValueError("half of a surrogate pair") from error


def _parts(item: dict[str, Any] | list[Any]) -> list[Any]:
    return item if isinstance(item, list) else list(item.values())
