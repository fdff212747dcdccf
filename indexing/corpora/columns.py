"""How a row of a table, or a JSON object, becomes records: which column holds which field, and what each may hold."""

import math
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from indexing.records import Record, SkippedRecord
from titrate import NOTHING, InputError, normal_id, short_name, unprintable

MAX_REPORT = 100_000
"""Characters of a report. The longest in radiology have a few thousand; far more means a file that was read wrongly."""

MAX_TEXT = 4_096
"""Characters of any other field, which is the longest path that Linux takes."""

FIELDS = ("id", "image", "report", "domain", "patient", "study", "split")

# The names in RULE's and MMed-RAG's released files, and so in MIMIC-CXR's tables.
_ALIASES = {"image": ("image_path",), "report": ("caption",), "patient": ("subject_id",), "study": ("study_id",)}

_IDENTITIES = ("id", "patient", "study")


class ColumnMap:
    """Which columns hold the fields of a record, and how a row becomes one.

    A row whose image is a list is a study of several views with one report (IU-Xray has a frontal and a lateral):
    one record each, because a lateral image finds laterals only if laterals are indexed. The first keeps the row's id,
    the others add ``#2``, ``#3``. They share the row's study, or else its id as their study, so that no view retrieves
    the report of another view of the same study, which is its own. RULE and MMed-RAG index the first view only.

    Parameters
    ----------
    columns
        For each field of a record that has another name in the corpus: the corpus's column.

    Raises
    ------
    InputError
        If a field is not one of `FIELDS`.
    """

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        self._given = dict(columns or {})
        unknown = sorted(set(self._given) - set(FIELDS))
        if unknown:
            raise InputError(f"unknown field {short_name(unknown[0])} in --field; the fields are {', '.join(FIELDS)}")
        self._candidates: dict[str, tuple[str, ...]] = {
            name: (self._given[name],) if name in self._given else (name, *_ALIASES.get(name, ())) for name in FIELDS
        }

    @property
    def named(self) -> frozenset[str]:
        """The columns that the user named."""
        return frozenset(self._given.values())

    @property
    def names_neither_image_nor_report(self) -> bool:
        """Whether the user left both to the corpus."""
        return not {"image", "report"}.intersection(self._given)

    def select(self, columns: Sequence[str], path: Path) -> list[str]:
        """The columns of a table that are needed, in the table's order.

        Raises
        ------
        InputError
            If the image or the report has no column, a column that was named is not there, or a needed one is twice.
        """
        self.check_named(self.named.difference(columns), columns, path)
        for name in ("image", "report"):
            if not any(column in columns for column in self._candidates[name]):
                raise InputError(
                    f"{path} has no column {name}; it has {_listed(columns)}; name it with --field {name}=COLUMN"
                )
        needed = {column for candidates in self._candidates.values() for column in candidates}
        selected = [column for column in columns if column in needed]
        twice = next((column for column in selected if selected.count(column) > 1), None)
        if twice is not None:
            raise InputError(f"{path} has the column {short_name(twice)} more than once; rename one of them")
        return selected

    def is_key(self, column: str) -> bool:
        """Whether a column tells rows apart: the id's or the image's."""
        return any(column in self._candidates[name] for name in ("id", "image"))

    def is_complete(self, columns: Collection[str]) -> bool:
        """Whether image and report are among the columns."""
        return all(any(column in columns for column in self._candidates[name]) for name in ("image", "report"))

    def check_named(self, missing: Collection[str], columns: Collection[str], path: Path) -> None:
        """Raise `InputError` if a column that was named is missing among those that the corpus has."""
        for name, column in self._given.items():
            if column in missing:
                shown = short_name(column)
                raise InputError(f"{path} has no column {shown} (--field {name}={shown}); it has {_listed(columns)}")

    def read(self, row: Mapping[str, Any], line: int, split: str | None = None) -> list[Record | SkippedRecord]:
        """The records of one row, or one skipped record.

        Parameters
        ----------
        row
            Column → text, bytes of UTF-8, whole number, or None; for the image a list of texts too. Whatever else
            it holds is named as the reason.
        line
            Where it was read.
        split
            Split of the whole list that the row stands in, for a row that names none.
        """
        known: str | None = None  # the name by which a person would find the row in the corpus
        try:
            identifier = known = self._identifier(row)
            images = self._images(row)
            known = identifier or images[0]
            report = self._required(row, "report")
            domain, patient, study = (self._text(row, name) for name in ("domain", "patient", "study"))
            split = self._text(row, "split") or split
        except InputError as error:
            return [SkippedRecord(line, known, str(error))]
        if identifier is None:
            identifiers = images
        else:
            identifiers = [identifier, *(f"{identifier}#{number}" for number in range(2, len(images) + 1))]
        if len(images) > 1:
            study = study or identifiers[0]
        return [
            Record(identifier, image, report, domain, patient, study, split, line)
            for identifier, image in zip(identifiers, images, strict=True)
        ]

    def _column(self, row: Mapping[str, Any], name: str) -> str | None:
        for column in self._candidates[name]:
            if column in row:
                return column
        return None

    def _identifier(self, row: Mapping[str, Any]) -> str | None:
        """None where there is no id at all: then the image's path serves. An empty one is a mistake in the corpus."""
        return None if self._column(row, "id") is None else self._required(row, "id")

    def _images(self, row: Mapping[str, Any]) -> list[str]:
        column = self._column(row, "image")
        content = None if column is None else row[column]
        if column is None or not isinstance(content, list):
            return [self._required(row, "image")]
        images = [name_of(item, column) for item in content]
        paths = [image for image in images if image is not None]
        if not paths or len(paths) < len(images):
            raise InputError(f'"{column}" is an empty list, or one of its paths is empty')
        return list(dict.fromkeys(paths))

    def _required(self, row: Mapping[str, Any], name: str) -> str:
        text = self._text(row, name)
        if text is None:
            column = self._column(row, name)
            remedy = "" if column is not None else f"; where it has another name, give --field {name}=NAME"
            raise InputError(f'"{column or self._candidates[name][0]}" is missing or empty{remedy}')
        return text

    def _text(self, row: Mapping[str, Any], name: str) -> str | None:
        column = self._column(row, name)
        if column is None:
            return None
        if name == "report":
            return text_of(row[column], column, limit=MAX_REPORT, numbers=False)
        text = name_of(row[column], column)
        return normal_id(text) if name in _IDENTITIES else text


def name_of(content: Any, name: str) -> str | None:
    """A field that names something, as an id, a domain or a path does: it is shown in lists and messages.

    Raises
    ------
    InputError
        If it is no text, too long, or holds a character that does not show, such as a line break or an escape.
    """
    text = text_of(content, name)
    hidden = None if text is None else unprintable(text)
    if hidden is not None:
        raise InputError(f'"{name}" holds {hidden}, a character that does not show; rename it in the corpus')
    return text


def text_of(content: Any, name: str, *, limit: int = MAX_TEXT, numbers: bool = True) -> str | None:
    """A field as stripped text, None if it holds nothing; whole numbers count as text, as ids often are.

    Raises
    ------
    InputError
        If it is anything else, is too long, or holds characters that no store can keep.
    """
    text = content if isinstance(content, str) else _as_text(content, name, numbers)
    if text is None:
        return None
    text = text.strip()
    if len(text) > limit:
        raise InputError(f'"{name}" has more than {limit:,} characters, which is the limit')
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:  # JSON can spell half of a surrogate pair
            raise InputError(f'"{name}" holds a broken character (not UTF-8, or a lone surrogate)') from error
    if "\0" in text:
        raise InputError(f'"{name}" holds a NUL character; export the corpus again as text')
    return None if text in NOTHING else text


def _as_text(content: Any, name: str, numbers: bool) -> str | None:
    if content is None or (isinstance(content, float) and math.isnan(content)):
        return None
    if isinstance(content, bytes):
        return content.decode("utf-8", "surrogateescape")
    if numbers and isinstance(content, (int, float, Decimal)) and not isinstance(content, bool):
        try:
            return normal_id(content)
        except InputError as error:
            raise InputError(f'"{name}" must be text or a whole number of at most 60 digits') from error
    raise InputError(f'"{name}" must be text, found {type(content).__name__}')


def _listed(columns: Collection[str]) -> str:
    shown = [short_name(column) or '""' for column in list(columns)[:12]]
    more = f" and {len(columns) - len(shown)} more" if len(columns) > len(shown) else ""
    return f"{', '.join(shown) or 'none'}{more}"
