"""Parquet corpora, read a few thousand rows at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from indexing.corpora.base import Corpus, open_failed
from indexing.corpora.columns import ColumnMap
from indexing.records import Record, SkippedRecord
from titrate import InputError, short_name

_ROWS = 1024
_BUFFER = 1 << 20


class ParquetTable(Corpus):
    """A Parquet file; only the columns that are needed are read.

    Parameters
    ----------
    path, root
        The file, and the folder that its image paths are relative to.
    columns
        Which columns hold what.

    Raises
    ------
    InputError
        If the file cannot be read or is not whole, or a column is missing or holds neither text nor whole numbers.
    """

    def __init__(self, path: Path, columns: ColumnMap, root: Path) -> None:
        self.path, self.root, self._column_map = path, root, columns
        with self._open() as file:
            schema = file.schema_arrow
            self._rows = int(file.metadata.num_rows)
            self._columns = columns.select(list(schema.names), path)
            self._plain = {name: self._check(name, schema.field(name).type) for name in self._columns}

    def __iter__(self) -> Iterator[Record | SkippedRecord]:
        number = 0
        with self._open() as file:
            try:
                for batch in file.iter_batches(_ROWS, columns=self._columns, use_threads=False):
                    for row in self._to_rows(batch):
                        number += 1
                        yield from self._column_map.read(row, number)
            except Exception as error:  # as above
                raise InputError(f"{self.path} is damaged after row {number:,}; write it again") from error

    def __len__(self) -> int:
        lists = any(pa.types.is_list(kind) for kind in self._plain.values())
        return sum(1 for _ in self) if lists else self._rows

    def _open(self) -> Any:
        try:
            # Buffered, because a file may be one row group, which would be read into memory whole.
            file = pq.ParquetFile(self.path, buffer_size=_BUFFER, pre_buffer=False)
            _ = file.schema_arrow  # decoded at first use
            return file
        except Exception as error:  # damaged metadata make pyarrow raise nearly anything
            if isinstance(error, OSError) and error.errno:
                raise open_failed(self.path, error) from error
            raise InputError(f"{self.path} is not Parquet, or is damaged; write or copy it again") from error

    def _check(self, column: str, kind: Any) -> Any:
        """The type to read the column as: text as bytes, so that text which is not UTF-8 costs one row."""
        plain = _plain(kind)
        if plain is None and pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            raise InputError(
                f"{self.path}: column {short_name(column)} holds {short_name(str(kind))}, not text: pictures, no "
                "paths; write them to files, and their paths into a .csv or .jsonl"
            )
        if plain is None:
            raise InputError(
                f"{self.path}: column {short_name(column)} holds {short_name(str(kind))}, not text or whole numbers; "
                "convert it, or name another with --field"
            )
        return plain

    def _to_rows(self, batch: Any) -> Iterator[dict[str, Any]]:
        columns = [batch.column(name).cast(self._plain[name]).to_pylist() for name in self._columns]
        return (dict(zip(self._columns, cells, strict=True)) for cells in zip(*columns, strict=True))


def _plain(kind: Any) -> Any:
    types = pa.types
    if types.is_dictionary(kind):
        return _plain(kind.value_type)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.large_binary()
    if types.is_binary(kind) or types.is_large_binary(kind):
        return pa.large_binary()
    if types.is_list(kind) or types.is_large_list(kind):
        item = _plain(kind.value_type)
        return None if item is None or types.is_list(item) else pa.list_(item)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind):
        return kind
    return None
