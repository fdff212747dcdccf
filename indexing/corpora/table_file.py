"""A CSV or TSV file as rows of cells; a badly quoted row costs itself, not the rows after it.

Tables with commas are quoted. Tables with tabs are published either way, so the file decides.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from indexing.corpora.base import open_failed
from indexing.corpora.quoting import SWALLOWED, swallows_rows
from titrate import InputError, open_file

MAX_LINE = 1 << 20
"""Characters of a physical line. A single cell may have as many as the csv module takes: 131,072."""

DELIMITERS = ",;\t|"
_OVERLONG = "\0\n"


class TableFile:
    r"""The rows of a table with a header: UTF-8, with quoted newlines; rows without any content do not count.

    Parameters
    ----------
    path
        The file.
    complete
        Whether a header has the columns that are needed.
    is_key
        Whether a column tells rows apart, as an id or an image does.
    delimiters
        Characters to try on the header, in this order; the first that makes it complete is taken. Other rows are not
        looked at for this, because reports are full of commas and semicolons.

    Attributes
    ----------
    columns
        The header's names.

    Raises
    ------
    InputError
        If the file cannot be read, is empty, or its header is no row of a table.
    """

    def __init__(
        self,
        path: Path,
        complete: Callable[[Sequence[str]], bool],
        is_key: Callable[[str], bool],
        delimiters: str = DELIMITERS,
    ) -> None:
        self.path = path
        self.columns: list[str] = []
        self._keys: list[int] = []
        headers = {delimiter: self._header(delimiter) for delimiter in delimiters}
        found = (delimiter for delimiter, header in headers.items() if complete(header))
        self._delimiter = next(found, max(headers, key=lambda delimiter: len(headers[delimiter])))
        self.columns = headers[self._delimiter]
        self._keys = [place for place, name in enumerate(self.columns) if is_key(name)]
        self._quoted = self._delimiter != "\t" or self._whole_rows(quoted=True) >= self._whole_rows(quoted=False)

    def __len__(self) -> int:
        return sum(1 for _ in self._lines(self._delimiter, self._quoted)) - 1

    def rows(self) -> Iterator[tuple[int, list[str] | str]]:
        """The line where each row begins, and as many cells as there are columns, or what is wrong with the row."""
        rows = self._lines(self._delimiter, self._quoted)
        next(rows)
        for line, cells in rows:
            if isinstance(cells, list) and len(cells) != len(self.columns):
                yield line, f"{len(cells)} cells where the header has {len(self.columns)}; quote cells that hold the " \
                            "delimiter"  # fmt: skip
            else:
                yield line, cells

    def _whole_rows(self, *, quoted: bool) -> int:
        rows = self._lines(self._delimiter, quoted)
        return sum(isinstance(cells, list) and len(cells) == len(self.columns) for _, cells in rows)

    def _header(self, delimiter: str) -> list[str]:
        first = next(self._lines(delimiter), None)
        if first is None:
            raise InputError(f"{self.path} is empty; it needs a header with image and report, and a row for each image")
        line, cells = first
        if isinstance(cells, str):
            raise InputError(f"{self.path}, line {line}: the header cannot be read ({cells})")
        return [cell.strip() for cell in cells]

    def _lines(self, delimiter: str, quoted: bool = True) -> Iterator[tuple[int, list[str] | str]]:
        """Where each row begins, the header's too, and its cells, or what is wrong with it."""
        try:
            with TextIOWrapper(
                open_file(self.path), newline="", encoding="utf-8-sig", errors="surrogateescape"
            ) as file:
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
                    if swallows_rows(lines.row, cells, delimiter, len(self.columns), self._keys):
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
