"""Opening a corpus, whatever its format."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from indexing.corpora.base import Corpus, open_failed
from indexing.corpora.columns import ColumnMap
from indexing.corpora.csv_table import CsvTable
from indexing.corpora.dicom_folder import DicomFolder
from indexing.corpora.json_corpora import JsonLines, JsonList
from indexing.corpora.roco_captions import RocoCaptions, is_roco
from titrate import InputError, open_file

# The first bytes of what is often given the suffix of text.
_NOT_TEXT = (
    (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
    (b"\x1f\x8b", "compressed; unpack it first"),
    (b"PK\x03\x04", "an archive or a spreadsheet; unpack it, or export it as CSV"),
    (b"PAR1", "Parquet; name it .parquet"),
)


def open_corpus(
    path: Path,
    *,
    fields: Mapping[str, str] | None = None,
    root: Path | None = None,
    key: bytes | None = None,
) -> Corpus:
    """Open a corpus by its suffix; nothing of it is held in memory.

    Parameters
    ----------
    path
        ``.jsonl`` or ``.ndjson``: one object a line. ``.json``: a list of objects, or such lists by split, as RULE,
        MMed-RAG and R2Gen release them. ``.csv``, ``.tsv``, ``.parquet``: a table. A folder: its DICOM files with
        their reports, see `DicomFolder`. Public archives are read as published, see `indexing.corpora.published`
        and, for ROCO's ``captions.txt``, `RocoCaptions`. Rows have ``image``, ``report`` and, where known, ``id``
        (else the image's path serves), ``domain``, ``patient``, ``study``, ``split``; ``image_path``, ``caption``,
        ``subject_id`` and ``study_id`` are understood too, and other fields ignored.
    fields
        The corpus's column for each of these fields that has another name there, such as ``{"report": "findings"}``.
    root
        Folder that image paths are relative to; by default the corpus file's. A folder of DICOM is its own root.
    key
        Secret under which patients and studies of a DICOM folder become pseudonyms. The same key gives the same
        pseudonyms; without one they hold for this opening only, which is enough for a dry run.

    Raises
    ------
    InputError
        If the corpus is missing, is none of these formats, is damaged as a whole, or lacks a column.
    """
    columns = ColumnMap(fields)
    if os.path.isdir(path):  # unlike Path.is_dir, False for a name too long or with a NUL byte
        if fields or root is not None:
            raise InputError(f"{path} is a folder of DICOM files; it has no columns and is its own root")
        return DicomFolder(path, key)
    beginning = _check_file(path)
    if root is not None and not os.path.isdir(root):
        raise InputError(f"image root {root} is not a folder; check --root")
    root = path.parent if root is None else root
    if path.suffix.lower() in (".txt", ".tsv") and is_roco(beginning):
        if fields:
            raise InputError(f"{path} is ROCO's list of captions, which has no columns; leave out --field")
        return RocoCaptions(path, root)
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            return JsonLines(path, columns, root)
        case ".json":
            return JsonList(path, columns, root)
        case ".csv":
            return CsvTable(path, columns, root)
        case ".tsv":
            return CsvTable(path, columns, root, delimiters="\t")
        case ".parquet":
            from indexing.corpora.parquet_table import ParquetTable  # pyarrow takes 40 MB and is needed for this only

            return ParquetTable(path, columns, root)
    raise InputError(
        f"{path}: a corpus is a .jsonl, .ndjson, .json, .csv, .tsv or .parquet file or a folder of DICOM files; "
        "convert or rename it"
    )


def _check_file(path: Path) -> bytes:
    """The file's first bytes."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"corpus {path} is not an ordinary file; it is read more than once")
        with open_file(path) as file:
            beginning = file.read(1 << 16)
    except OSError as error:
        raise open_failed(path, error) from error
    except ValueError as error:  # a NUL byte
        raise InputError(f"corpus path {str(path)[:80]!r} is not valid") from error
    if path.suffix.lower() != ".parquet":
        for signature, what in _NOT_TEXT:
            if beginning.startswith(signature):
                raise InputError(f"corpus {path} is {what}")
        if b"\0" in beginning:
            raise InputError(f"corpus {path} is not text (it holds NUL bytes); export it as UTF-8")
    return beginning
