"""Pseudonyms of a DICOM file's patient and study: all that is told of whose image it is."""

import hashlib
import hmac
from typing import Literal

from titrate import InputError, normal_id

SHORTEST_KEY = 16
"""Bytes of the secret that pseudonyms are made with."""

_IDENTITY_TAGS = ("PatientID", "StudyInstanceUID")


def pseudonyms(data: bytes, key: bytes) -> tuple[str | None, str | None]:
    """Pseudonyms of a file's patient and study: the same for the same ids and key, and not to be undone without it.

    Parameters
    ----------
    data
        The file's bytes.
    key
        Secret of at least 16 bytes. Whoever has it can test a guessed id.

    Returns
    -------
    tuple
        The `pseudonym` of PatientID and of StudyInstanceUID, or None where the file has no such id. Who issued the
        PatientID does not count: somebody who asks about patient P1 cannot be expected to name the issuer. So two
        patients of one number in two hospitals count as one, which leaves out too much rather than too little.

    Raises
    ------
    InputError
        If this is not a readable DICOM file.
    ValueError
        If the key is shorter.
    """
    if len(key) < SHORTEST_KEY:
        raise ValueError(f"the key for pseudonyms has {len(key)} bytes; it needs at least {SHORTEST_KEY}")
    from indexing.images.dicom import is_dicom, read_tags, silence_pydicom  # only files need pydicom, ids do not

    silence_pydicom()
    try:
        if not is_dicom(data):
            raise InputError("the file is not DICOM")
        dataset = read_tags(data, "file", _IDENTITY_TAGS)
        patient, study = (normal_id(str(dataset.get(keyword) or "").strip(" \0")) for keyword in _IDENTITY_TAGS)
    except InputError:
        raise
    except Exception:  # its text may quote the header
        raise InputError("the file is damaged DICOM; replace or remove it") from None
    return patient and pseudonym(patient, "patient", key), study and pseudonym(study, "study", key)


def pseudonym(identity: str, kind: Literal["patient", "study"], key: bytes) -> str:
    """The name under which an index of DICOM files keeps a patient or study.

    Parameters
    ----------
    identity
        The `normal_id`.
    kind
        What it is of.
    key
        Secret of the index.

    Returns
    -------
    str
        The first 16 hex digits of HMAC-SHA-256 (RFC 2104).
    """
    parts = (kind, identity, "") if kind == "patient" else (kind, identity)
    message = b"".join(len(part := text.encode()).to_bytes(8, "big") + part for text in parts)
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:16]
