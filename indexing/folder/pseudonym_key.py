"""The secret of an index folder under which patients and studies of DICOM files are kept as pseudonyms."""

import secrets
from pathlib import Path

from titrate import InputError, read_bytes, write_atomic

KEY = "pseudonym.key"


def pseudonym_key(index: Path) -> bytes:
    """The secret that turns patient identifiers into pseudonyms, made on first use and never leaving the folder."""
    path = index / KEY
    if not path.exists():
        write_atomic(path, secrets.token_bytes(32), private=True)
    return read_bytes(path)


def known_pseudonym_key(index: Path) -> bytes | None:
    """The same secret, or None where the index holds no pseudonyms, since it was not made from a folder of DICOM.

    Raises
    ------
    InputError
        If it is there and cannot be read.
    """
    path = index / KEY
    try:
        return read_bytes(path) if path.exists() else None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; patients are recognised by it") from error
