"""Rows of a table that a stray quote has run together."""

import csv
import re
from collections.abc import Sequence
from pathlib import PurePath

_IMAGES = frozenset((".dcm", ".dicom", ".jpeg", ".jpg", ".png", ".svs", ".tif", ".tiff", ".webp"))

SWALLOWED = "a quote that is never closed runs on into the rows below; double the quotes inside a quoted cell"


def swallows_rows(lines: Sequence[str], cells: Sequence[str], delimiter: str, width: int, keys: Sequence[int]) -> bool:
    """Whether one of the lines that a row goes on over is a row of its own.

    A quoted cell may hold line breaks, and so may one whose quote was never meant as one: then it ends at the next
    stray quote, and what lies between are other records. A line is taken for a row if it has as many cells as the
    table and its keys look like this row's: a report with as many commas names no image.

    Parameters
    ----------
    lines
        The physical lines of the row.
    cells
        What was read out of them.
    delimiter, width
        What stands between cells, and how many the table has a row.
    keys
        Places of the columns that tell rows apart, such as the image's.
    """
    for line in lines[1:]:
        own = next(csv.reader([line], delimiter=delimiter), [])
        if len(own) == width and (len(cells) != width or all(_alike(own[key], cells[key]) for key in keys)):
            return True
    return False


def _alike(one: str, other: str) -> bool:
    """Whether two keys are written alike: both of image files, of the same suffix, or but for letters and digits."""
    ends = [PurePath(text.strip()).suffix.lower() for text in (one, other)]
    if all(end in _IMAGES for end in ends):
        return True
    if any(end and end[1:].isalpha() for end in ends):
        return ends[0] == ends[1]
    return _shape(one) == _shape(other)


def _shape(text: str) -> str:
    return re.sub(r"[A-Za-z]+", "a", re.sub(r"\d+", "0", text.strip()))
