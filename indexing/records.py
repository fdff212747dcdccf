"""Corpus records: reading a JSON-lines corpus line by line, keeping what is sound and naming what is not.

CSV, Parquet, DICOM folders and renamed fields are not read here yet.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from titrate.errors import InputError

OPTIONAL_FIELDS = ("domain", "patient", "study", "split")


@dataclass(frozen=True)
class Record:
    """An image with its report, as the corpus states it.

    Attributes
    ----------
    id
        Unique within the corpus.
    image
        Path of the image, relative to the corpus root.
    report
        The text that retrieval hands to the model.
    domain, patient, study, split
        None where the corpus does not say.
    line
        Line of the corpus file it was read from, for error reports; None when it came from elsewhere.
    """

    id: str
    image: str
    report: str
    domain: str | None = None
    patient: str | None = None
    study: str | None = None
    split: str | None = None
    line: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class SkippedRecord:
    """A line of the corpus that could not be used, and why, in words for the person who made the corpus."""

    line: int
    id: str | None
    reason: str


def read_corpus(path: Path) -> Iterator[Record | SkippedRecord]:
    """Stream a JSON-lines corpus; a line that cannot be used comes out as a `SkippedRecord`, never as an exception.

    Parameters
    ----------
    path
        File with one JSON object a line: ``id``, ``image``, ``report`` and, where known, ``domain``, ``patient``,
        ``study``, ``split``. Further fields are ignored, blank lines too.

    Raises
    ------
    InputError
        At once, if the file is missing or cannot be opened.
    """
    _open(path).close()
    return _read_lines(path)


def count_lines(path: Path) -> int:
    """Number of non-blank lines of a corpus, for a progress bar.

    Raises
    ------
    InputError
        If the file is missing or cannot be opened.
    """
    with _open(path) as lines:
        return sum(1 for line in lines if line.strip())


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read corpus {path}: {error.strerror}; check the path") from error


def _read_lines(path: Path) -> Iterator[Record | SkippedRecord]:
    with _open(path) as file:
        for number, raw in enumerate(file, start=1):
            if raw.strip():
                yield _parse(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw, number)


def _parse(raw: bytes, line: int) -> Record | SkippedRecord:
    try:
        value = json.loads(raw.decode())
    except UnicodeDecodeError:
        return SkippedRecord(line, None, "not UTF-8 text")
    except json.JSONDecodeError as error:
        return SkippedRecord(line, None, f"not JSON ({error.msg})")
    except (ValueError, RecursionError):  # a number of thousands of digits, or thousands of nested brackets
        return SkippedRecord(line, None, "not JSON that can be read (a number too long or brackets too deep)")
    if not isinstance(value, dict):
        return SkippedRecord(line, None, f"expected an object, found {type(value).__name__}")
    identifier: str | None = None
    try:
        identifier = _required(value, "id")
        return Record(
            id=identifier,
            image=_required(value, "image"),
            report=_required(value, "report"),
            **{name: _text(value, name) for name in OPTIONAL_FIELDS},
            line=line,
        )
    except InputError as error:
        return SkippedRecord(line, identifier, str(error))


def _required(value: dict[str, Any], name: str) -> str:
    text = _text(value, name)
    if text is None:
        raise InputError(f'"{name}" is missing or empty')
    return text


def _text(value: dict[str, Any], name: str) -> str | None:
    """The field as stripped text, None if absent or blank; whole numbers count as text, as ids often are."""
    content = value.get(name)
    if isinstance(content, int) and not isinstance(content, bool) and name != "report":
        content = str(content)
    if content is None:
        return None
    if not isinstance(content, str):
        raise InputError(f'"{name}" must be text, found {type(content).__name__}')
    try:
        content.encode()
    except UnicodeEncodeError as error:  # JSON can spell half of a surrogate pair, which no store can hold
        raise InputError(f'"{name}" holds a broken character (lone surrogate)') from error
    return content.strip() or None
