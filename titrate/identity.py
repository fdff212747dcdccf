"""Who a question, a record or a preference pair is about: what may count as one independent observation.

Questions about one patient share images, history and errors, so a patient counts once, however many questions, images
or pairs there are. Where a file names no patient, the study stands for the patient, and where it names neither, the
thing itself stands alone. Patients are compared by hash, so that a certificate or an index need not name anybody.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256

from titrate.errors import InputError


def patient_or_study(patient: str | None, study: str | None) -> str | None:
    """The patient, or else the study; None where neither is known (an empty text is unknown)."""
    return patient or study or None


def independent_unit(patient: str | None, study: str | None, itself: str) -> str:
    """The independent observation that something belongs to: its patient, or else its study, or else itself.

    Parameters
    ----------
    patient, study
        None, or empty, where they are not known.
    itself
        What the thing itself is called: the id of a record, the image of a question.

    >>> independent_unit("p1", "s1", "x"), independent_unit(None, "s1", "x"), independent_unit(None, "", "x")
    ('p1', 's1', 'x')
    """
    return patient_or_study(patient, study) or itself


def examination(patient: str | None, study: str | None, itself: str) -> str:
    """The name of the examination that a report describes: its study, or else its patient, or else the record itself.

    Two studies of one patient have two reports, while two views of one study share theirs; so here the study comes
    first. Parameters as for `independent_unit`.
    """
    return study or patient or itself


def hash_patient(patient: str) -> str:
    """SHA-256 of a patient id in UTF-8, as 64 hex digits: how certificates and index folders carry it."""
    return sha256(patient.encode()).hexdigest()


def check_no_overlap(patients: Iterable[str], other_patient_hashes: Mapping[str, Iterable[str]]) -> None:
    """Check that no calibration patient is known from somewhere that calibration must not have seen.

    Parameters
    ----------
    patients
        Ids of the calibration patients.
    other_patient_hashes
        `hash_patient` of each patient of, say, ``train``, ``prefer`` and ``index``, by the name of the place.

    Raises
    ------
    InputError
        Saying which places share patients, and how many.
    """
    ours = set(map(hash_patient, patients))
    shared = {name: len(ours.intersection(hashes)) for name, hashes in sorted(other_patient_hashes.items())}
    found = [f"{count} are in {name}" for name, count in shared.items() if count]
    if found:
        raise InputError(
            f"of {len(ours)} calibration patients, {' and '.join(found)}; calibrate on patients of no other split"
        )
