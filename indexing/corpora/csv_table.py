"""CSV and TSV corpora, read row by row: with columns for image and report, or as they are published."""

from collections.abc import Iterator
from pathlib import Path

from indexing.corpora.base import Corpus
from indexing.corpora.columns import ColumnMap
from indexing.corpora.published import Layout, layout_of
from indexing.corpora.table_file import DELIMITERS, TableFile
from indexing.records import Record, SkippedRecord
from titrate import InputError


class CsvTable(Corpus):
    """A table with a header; see `TableFile`.

    Parameters
    ----------
    path, root
        The file, and the folder that its image paths are relative to.
    columns
        Which columns hold what. A table that is published under names of its own (see `layout_of`) needs none.
    delimiters
        Characters to try on the header, in this order.

    Raises
    ------
    InputError
        If the file cannot be read, is not text, or its header lacks a column.
    """

    def __init__(self, path: Path, columns: ColumnMap, root: Path, delimiters: str = DELIMITERS) -> None:
        self.path, self.root = path, root
        self._table = TableFile(path, columns.is_complete, columns.is_key, delimiters)
        self._layout: Layout | None = None
        if not columns.is_complete(self._table.columns) and columns.names_neither_image_nor_report:
            self._layout = layout_of(self._table.columns, path, root)
        if self._layout is None:
            self._column_map = columns
            needed = columns.select(self._table.columns, path)
        else:
            key, needed = self._layout.columns[0], list(self._layout.columns)
            self._column_map = ColumnMap()
            self._table = TableFile(path, set(needed).issubset, lambda name: name == key, delimiters)
        self._needed = [(name, self._table.columns.index(name)) for name in needed]

    def __iter__(self) -> Iterator[Record | SkippedRecord]:
        for line, cells in self._table.rows():
            if isinstance(cells, str):
                yield SkippedRecord(line, None, cells)
                continue
            row = {name: cells[place] for name, place in self._needed}
            if self._layout is None:
                yield from self._column_map.read(row, line)
                continue
            try:
                converted = self._layout.convert(row)
            except InputError as error:
                yield SkippedRecord(line, row[self._layout.columns[0]] or None, str(error))
            else:
                yield from self._column_map.read(converted, line)

    def __len__(self) -> int:
        # A study of several images is several records.
        return sum(1 for _ in self) if self._layout is not None and self._layout.lists else len(self._table)
