"""CSV and TSV corpora, read row by row; a badly quoted row costs itself, not the rows after it.

Tables with commas are quoted. Tables with tabs are published either way, so the file decides.
"""

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from indexing.corpora.base import Corpus, open_failed
from indexing.corpora.columns import ColumnMap
from indexing.corpora.quoting import SWALLOWED, swallows_rows
from indexing.records import Record, SkippedRecord
from titrate import InputError

MAX_LINE = 1 << 20
"""Characters of a physical line. A single cell may have as many as the csv module takes: 131,072."""

_DELIMITERS = ",;\t|"
_OVERLONG = "\0\n"


class CsvTable(Corpus):
    r"""A table with a header: UTF-8, with quoted newlines; rows without any content do not count.

    Parameters
    ----------
    path, root
        The file, and the folder that its image paths are relative to.
    columns
        Which columns hold what.
    delimiters
        Characters to try on the header, in this order; the first that separates the needed columns is taken. Other rows
        are not looked at for this, because reports are full of commas and semicolons.

    Raises
    ------
    InputError
        If the file cannot be read, is not text, or its header lacks a column.
    """

    def __init__(self, path: Path, columns: ColumnMap, root: Path, delimiters: str = _DELIMITERS) -> None:
        self.path, self.root, self._column_map = path, root, columns
        self._columns: list[str] = []
        self._keys: list[int] = []
        headers = {delimiter: self._header(delimiter) for delimiter in delimiters}
        complete = (delimiter for delimiter, header in headers.items() if columns.is_complete(header))
        self._delimiter = next(complete, max(headers, key=lambda delimiter: len(headers[delimiter])))
        self._columns = headers[self._delimiter]
        self._needed = [(name, self._columns.index(name)) for name in columns.select(self._columns, path)]
        self._keys = [place for name, place in self._needed if columns.is_key(name)]
        # Of tables with tabs some quote cells and some do not, and the file alone tells which: by what loses no rows.
        self._quoted = self._delimiter != "\t" or self._whole_rows(quoted=True) >= self._whole_rows(quoted=False)

    def __iter__(self) -> Iterator[Record | SkippedRecord]:
        rows = self._rows(self._delimiter, self._quoted)
        next(rows)
        width = len(self._columns)
        for line, cells in rows:
            if isinstance(cells, str):
                yield SkippedRecord(line, None, cells)
            elif len(cells) != width:
                reason = f"{len(cells)} cells where the header has {width}; quote cells that hold the delimiter"
                yield SkippedRecord(line, None, reason)
            else:
                yield from self._column_map.read({name: cells[place] for name, place in self._needed}, line)

    def __len__(self) -> int:
        return sum(1 for _ in self._rows(self._delimiter, self._quoted)) - 1

    def _whole_rows(self, *, quoted: bool) -> int:
        rows = self._rows(self._delimiter, quoted)
        return sum(isinstance(cells, list) and len(cells) == len(self._columns) for _, cells in rows)

    def _header(self, delimiter: str) -> list[str]:
        first = next(self._rows(delimiter), None)
        if first is None:
            raise InputError(f"{self.path} is empty; it needs a header with image and report, and a row for each image")
        line, cells = first
        if isinstance(cells, str):
            raise InputError(f"{self.path}, line {line}: the header cannot be read ({cells})")
        return [cell.strip() for cell in cells]

    def _rows(self, delimiter: str, quoted: bool = True) -> Iterator[tuple[int, list[str] | str]]:
        """Where each row begins, and its cells, or what is wrong with it."""
        try:
            with self.path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
                lines = _Lines(file)
                # Strict: otherwise a quote that is never closed swallows the next rows into one cell without a word.
                reader = csv.reader(
                    lines,
                    delimiter=delimiter,
                    strict=True,
                    quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
                )
                while True:
                    line = lines.begin_row()
                    try:
                        cells = next(reader)
                    except StopIteration:
                        return
                    except csv.Error as error:
                        lines.return_all_but_first()
                        yield line, f"not a row of a table ({error}); double the quotes inside a quoted cell"
                        continue
                    if swallows_rows(lines.row, cells, delimiter, len(self._columns), self._keys):
                        lines.return_all_but_first()
                        yield line, SWALLOWED
                    elif cells == [_OVERLONG[0]]:
                        yield line, f"a line of more than {MAX_LINE:,} characters"
                    elif any(cell.strip() for cell in cells):
                        yield line, cells
        except OSError as error:
            raise open_failed(self.path, error) from error


class _Lines(Iterator[str]):
    """Physical lines, counted, of which those of a failed row can be given back."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._given_back: deque[str] = deque()
        self.row: list[str] = []
        self._number = 0

    def begin_row(self) -> int:
        """Number of the line that comes next."""
        self.row.clear()
        return self._number + 1

    def return_all_but_first(self) -> None:
        self._given_back.extendleft(reversed(self.row[1:]))
        self._number -= len(self.row) - 1
        self.row.clear()

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else self._read()
        if not line:
            raise StopIteration
        self._number += 1
        self.row.append(line)
        return line

    def _read(self) -> str:
        line = self._file.readline(MAX_LINE)
        if len(line) < MAX_LINE or line.endswith(("\n", "\r")):
            return line
        while (piece := self._file.readline(MAX_LINE)) and not piece.endswith(("\n", "\r")):
            pass
        return _OVERLONG
