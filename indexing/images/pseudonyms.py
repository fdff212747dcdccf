"""Pseudonyms of a DICOM file's patient and study: all that is told of whose image it is."""

import hashlib
import hmac

from indexing.images.dicom import is_dicom, read_tags, silence_pydicom
from titrate import InputError

SHORTEST_KEY = 16
"""Bytes of the secret that pseudonyms are made with."""

_IDENTITY_TAGS = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID")


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
        For PatientID with IssuerOfPatientID, and for StudyInstanceUID: the first 16 hex digits of HMAC-SHA-256
        (RFC 2104), or None where the file has no such id.

    Raises
    ------
    InputError
        If this is not a readable DICOM file.
    ValueError
        If the key is shorter.
    """
    if len(key) < SHORTEST_KEY:
        raise ValueError(f"the key for pseudonyms has {len(key)} bytes; it needs at least {SHORTEST_KEY}")
    silence_pydicom()
    try:
        if not is_dicom(data):
            raise InputError("the file is not DICOM")
        dataset = read_tags(data, "file", _IDENTITY_TAGS)
        patient, issuer, study = (str(dataset.get(keyword) or "").strip(" \0") for keyword in _IDENTITY_TAGS)
    except InputError:
        raise
    except Exception:  # its text may quote the header
        raise InputError("the file is damaged DICOM; replace or remove it") from None
    return (
        _pseudonym(key, "patient", patient, issuer) if patient else None,
        _pseudonym(key, "study", study) if study else None,
    )


def _pseudonym(key: bytes, *parts: str) -> str:
    message = b"".join(len(part := text.encode()).to_bytes(8, "big") + part for text in parts)
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:16]
