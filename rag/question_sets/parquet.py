"""Questions in Parquet, as Hugging Face's `datasets` publish them: beside pictures, or beside paths of pictures."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from indexing import MAX_BYTES
from titrate import InputError, short_name, write_atomic

_ROWS = 16
"""In memory at a time, with their pictures."""
_BUFFER = 1 << 20
_PICTURES = ".pictures"


PROBLEM = "problem"
"""Stands in a row beside its columns where its picture cannot be used: why."""


def parquet_rows(path: Path, folder: Path, wanted: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a Parquet file, from 1, with those of the wanted columns that it has, and `PROBLEM` if there is one.

    A picture that a row holds is written to a folder beside the other images, called by the SHA-256 of its bytes, and
    stands in the row as its path: questions about the same picture are about one file. Nothing is fetched.

    Parameters
    ----------
    path
        The file.
    folder
        That image paths are relative to; pictures are written to ``FILE.pictures`` in it, for their owner alone.
    wanted
        Names of columns.

    Raises
    ------
    InputError
        If the file cannot be read or is damaged, has none of the columns, one holds neither text, numbers, lists of
        text nor pictures, or a picture cannot be written.
    """
    import pyarrow.parquet as pq  # takes a while to import

    number = 0
    pictures = folder / f"{path.name}{_PICTURES}"
    try:
        # Buffered, because a file may be one row group, which would be read into memory whole.
        with pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            schema = file.schema_arrow
            columns = [name for name in wanted if name in schema.names]
            _check_types(path, {name: schema.field(name).type for name in columns})
            for batch in file.iter_batches(_ROWS, columns=columns, use_threads=False) if columns else ():
                for row in batch.to_pylist():
                    number += 1
                    yield number, _with_path(row, pictures, folder)
    except InputError:
        raise
    except Exception as error:  # damaged metadata make pyarrow raise nearly anything
        if isinstance(error, OSError) and error.errno:
            raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
        raise InputError(f"{path} is no whole Parquet, or not UTF-8, after row {number:,}; get a whole copy") from error
    if not columns:
        raise InputError(f"{path} has no column {wanted[0]}; it has {', '.join(map(short_name, schema.names[:8]))}")


def _check_types(path: Path, kinds: dict[str, Any]) -> None:
    import pyarrow as pa

    types = pa.types

    def plain(kind: Any) -> bool:
        if types.is_dictionary(kind):
            return plain(kind.value_type)
        text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
        return bool(text or types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind))

    for name, kind in kinds.items():
        listed = (types.is_list(kind) or types.is_large_list(kind)) and plain(kind.value_type)
        binary = types.is_binary(kind) or types.is_large_binary(kind)
        struct = types.is_struct(kind) and kind.get_field_index("bytes") >= 0
        if not (plain(kind) or (listed and name == "options") or ((binary or struct) and name == "image")):
            raise InputError(f"{path}: column {name} holds {short_name(str(kind))}; convert it to text")


def _with_path(row: dict[str, Any], pictures: Path, folder: Path) -> dict[str, Any]:
    """The row with a path where it holds a picture."""
    image = row.get("image")
    data = image.get("bytes") if isinstance(image, dict) else image if isinstance(image, bytes) else None
    if data is None:
        named = image.get("path") if isinstance(image, dict) else image
        if isinstance(named, str) and ("://" in named or named.startswith("data:")):
            return {**row, "image": named, PROBLEM: "the picture is a URL, which is not fetched; put its bytes in"}
        return {**row, "image": named} if isinstance(image, dict) else row
    if not isinstance(data, bytes) or not data:
        return {**row, "image": None, PROBLEM: "the picture is empty"}
    if len(data) > MAX_BYTES:
        much = f"the picture has {len(data) >> 20} MiB; the limit is {MAX_BYTES >> 20}"
        return {**row, "image": None, PROBLEM: much}
    place = pictures / hashlib.sha256(data).hexdigest()
    try:
        if pictures.is_symlink():  # came with the file: where would pictures of patients go?
            raise InputError("it is a link, which is not followed")
        pictures.mkdir(mode=0o700, exist_ok=True)
        if not place.is_file() or place.read_bytes() != data:
            write_atomic(place, data, private=True)
    except (OSError, InputError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"cannot write pictures to {pictures}: {why}; name a folder that can be written with --root"
        ) from error
    return {**row, "image": str(place.relative_to(folder))}
