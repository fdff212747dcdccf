"""JSON corpora: JSON lines, and files that are one list, or one list a split, as RULE, MMed-RAG and R2Gen have them."""

import json
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO

from indexing.corpora.base import Corpus, open_failed
from indexing.corpora.columns import ColumnMap
from indexing.records import Record, SkippedRecord
from titrate import InputError, open_file

MAX_LINE = 4 << 20
"""Bytes of a line of JSON lines."""

MAX_ENTRY = 4 << 20
"""Characters of an entry of a JSON list."""

_CHUNK = 1 << 20
_OVERLONG = b"\0"


def _integer(digits: str) -> int | float:
    """A whole number; infinity for one of thousands of digits, which Python refuses to read."""
    return int(digits) if len(digits) < 4000 else float("inf")


_DECODER = json.JSONDecoder(parse_int=_integer)


class JsonLines(Corpus):
    """One JSON object a line; blank lines do not count.

    Parameters
    ----------
    path, root
        The file, and the folder that its image paths are relative to.
    columns
        Which keys hold what.

    Raises
    ------
    InputError
        If the file cannot be read, or a key that was named is nowhere in it.
    """

    def __init__(self, path: Path, columns: ColumnMap, root: Path) -> None:
        self.path, self.root, self._column_map = path, root, columns
        if columns.named:
            _check_keys((_object(raw) for _, raw in self._lines()), columns, path)
        else:
            self._open().close()

    def __iter__(self) -> Iterator[Record | SkippedRecord]:
        for line, raw in self._lines():
            value = _parse(raw)
            if isinstance(value, dict):
                yield from self._column_map.read(value, line)
            else:
                yield SkippedRecord(line, None, value)

    def __len__(self) -> int:
        # Only a line with a bracket can hold a list of images; the others need not be parsed to be counted.
        return sum(len(self._column_map.read(_object(raw), line)) if b"[" in raw else 1 for line, raw in self._lines())

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        with self._open() as file:
            for number, raw in enumerate(iter(lambda: file.readline(MAX_LINE), b""), start=1):
                if len(raw) == MAX_LINE and not raw.endswith(b"\n"):
                    _finish_line(file)
                    raw = _OVERLONG
                elif number == 1:
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                if raw.strip():
                    yield number, raw

    def _open(self) -> BinaryIO:
        try:
            return open_file(self.path)
        except OSError as error:
            raise open_failed(self.path, error) from error


class JsonList(Corpus):
    """A list of objects, or an object of such lists by split: what RULE, MMed-RAG and R2Gen release.

    It is read in pieces: memory holds one entry and a buffer. The whole file is checked when it is opened, because
    half a JSON list is no corpus.

    Parameters
    ----------
    path, root
        The file, and the folder that its image paths are relative to; an ``image_root`` in it is ignored.
    columns
        Which keys hold what.

    Raises
    ------
    InputError
        If the file cannot be read, is not such JSON from beginning to end, or lacks a key that was named.
    """

    def __init__(self, path: Path, columns: ColumnMap, root: Path) -> None:
        self.path, self.root, self._column_map = path, root, columns
        if columns.named:
            _check_keys((item for _, item in self._entries() if isinstance(item, dict)), columns, path)
        self._length = sum(1 for _ in self)

    def __iter__(self) -> Iterator[Record | SkippedRecord]:
        for number, (split, entry) in enumerate(self._entries(), start=1):
            if isinstance(entry, dict):
                yield from self._column_map.read(entry, number, split)
            else:
                yield SkippedRecord(number, None, f"expected an object, found {type(entry).__name__}")

    def __len__(self) -> int:
        return self._length

    def _entries(self) -> Iterator[tuple[str | None, Any]]:
        try:
            with TextIOWrapper(open_file(self.path), encoding="utf-8-sig", errors="surrogateescape") as file:
                yield from _Reader(file, self.path).entries()
        except OSError as error:
            raise open_failed(self.path, error) from error


class _Reader:
    """Decodes a JSON file value by value from a buffer that is refilled as it empties."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self._file, self._path = file, path
        self._buffer, self._position, self._ended = "", 0, False
        self._count = 0

    def entries(self) -> Iterator[tuple[str | None, Any]]:
        """Each entry, with the name of the list that it stands in."""
        opening = self._next()
        if opening == "[":
            yield from ((None, entry) for entry in self._list())
        elif opening == "{":
            while self._peek() != "}":
                split = self._value()
                if not isinstance(split, str) or self._next() != ":" or self._next() != "[":
                    self._reject()
                yield from ((split, entry) for entry in self._list())
                if self._peek() != ",":
                    break
                self._next()
            if self._next() != "}":
                self._reject()
        else:
            self._reject()
        if self._peek():
            self._reject()

    def _list(self) -> Iterator[Any]:
        if self._peek() == "]":
            self._next()
            return
        while True:
            self._count += 1
            yield self._value()
            mark = self._next()
            if mark == "]":
                return
            if mark != ",":
                self._damaged("expected , or ] after it")

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._position)
            except json.JSONDecodeError as error:
                if self._ended or len(self._buffer) - self._position > MAX_ENTRY:
                    self._damaged(error.msg)
            except RecursionError:
                self._damaged("brackets too deep")
            else:
                if end < len(self._buffer) or self._ended:  # else a number may go on in the next piece
                    self._position = end
                    return value
            self._fill()

    def _next(self) -> str:
        character = self._peek()
        self._position += 1
        return character

    def _peek(self) -> str:
        """The next character that is not blank, without taking it; empty at the end."""
        while True:
            while self._position < len(self._buffer):
                character = self._buffer[self._position]
                if character not in " \t\r\n":
                    return character
                self._position += 1
            if self._ended:
                return ""
            self._fill()

    def _fill(self) -> None:
        piece = self._file.read(_CHUNK)
        self._ended = not piece
        self._buffer = self._buffer[self._position :] + piece
        self._position = 0

    def _damaged(self, reason: str) -> NoReturn:
        raise InputError(
            f"{self._path} is damaged or cut off at entry {self._count} ({reason}); get a whole copy of it"
        )

    def _reject(self) -> NoReturn:
        raise InputError(
            f"{self._path} is neither a list of objects nor an object of such lists by split; "
            "one object a line belongs in a .jsonl file"
        )


def _parse(raw: bytes) -> dict[str, Any] | str:
    """The object of a line, or what is wrong with it."""
    if raw is _OVERLONG:
        return f"a line of more than {MAX_LINE >> 20} MiB; if the file is one list, name it .json"
    try:
        value = _DECODER.decode(raw.decode())
    except UnicodeDecodeError:
        return "not UTF-8 text"
    except json.JSONDecodeError as error:
        return f"not JSON ({error.msg})"
    except RecursionError:
        return "not JSON that can be read (brackets too deep)"
    return value if isinstance(value, dict) else f"expected an object, found {type(value).__name__}"


def _object(raw: bytes) -> dict[str, Any]:
    value = _parse(raw)
    return value if isinstance(value, dict) else {}


def _finish_line(file: BinaryIO) -> None:
    while (piece := file.readline(MAX_LINE)) and not piece.endswith(b"\n"):
        pass


def _check_keys(values: Iterator[dict[str, Any]], columns: ColumnMap, path: Path) -> None:
    """Raise `InputError` unless every key that was named is somewhere; reads only as far as it must."""
    missing = set(columns.named)
    some: list[str] = []
    for value in values:
        missing.difference_update(value)
        if not missing:
            return
        if len(some) < 20:
            some += [key for key in value if key not in some]
    columns.check_named(missing, some, path)
