"""No patient in two splits, checked by hash so that a certificate need not name anybody."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

from titrate import InputError


def hash_patient(patient: str) -> str:
    """Return the SHA-256 of a patient id, as certificates carry it."""
    return sha256(patient.encode()).hexdigest()


def check_no_overlap(patients: Iterable[str], elsewhere: Mapping[str, Iterable[str]]) -> None:
    """Check that none of these patients is known from somewhere that calibration must not have seen.

    Parameters
    ----------
    patients
        Ids of the calibration patients.
    elsewhere
        `hash_patient` of each patient of, say, ``train``, ``prefer`` and ``index``.

    Raises
    ------
    InputError
        Saying which places share patients, and how many.
    """
    ours = set(map(hash_patient, patients))
    shared = {name: len(ours.intersection(hashes)) for name, hashes in sorted(elsewhere.items())}
    found = [f"{count} are in {name}" for name, count in shared.items() if count]
    if found:
        raise InputError(
            f"of {len(ours)} calibration patients, {' and '.join(found)}; calibrate on patients of no other split"
        )
