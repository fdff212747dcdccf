"""Who a question, a record or a preference pair is about: what may count as one independent observation.

Questions about one patient share images, history and errors, so a patient counts once, however many questions, images
or pairs there are. Where a file names no patient, the study stands for the patient, and where it names neither, the
thing itself stands alone. Patients are compared by hash, so that a certificate or an index need not name anybody.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from decimal import Decimal
from hashlib import sha256

from titrate.errors import InputError

NOTHING = frozenset(["", "NaN", "nan", "NULL", "null", "None", "N/A", "NA", "n/a", "#N/A", "<NA>", "NaT"])
"""What pandas and databases write for an empty cell, and pandas reads as one. Taken for text, they would make one
patient of all whose patient is not known."""

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0*", re.ASCII)
_POWER = re.compile(r"(-?[0-9])(?:\.([0-9]+))?[eE]\+0*([0-9]+)", re.ASCII)
_DIGITS = 60


def normal_id(given: str | int | float | Decimal | None) -> str | None:
    """One spelling for an id of a patient, a study or a record, however a file or a caller writes it.

    A column of whole numbers with a gap in it is written as 10000032.0 by pandas, so a whole number with nothing but
    zeros after its point is that whole number. So is one with a power of ten, as 1.0000032e+07, if all of its digits
    are there; spreadsheets write 1.00E+07 for many numbers, which is refused. Leading zeros are part of an id, and
    neither ``1e7`` nor ``1.5`` is a whole number written out, so these stay as they are. Letters with accents are
    composed (Unicode NFC).

    Parameters
    ----------
    given
        Text, or a number as JSON, Parquet and Python callers have it.

    Returns
    -------
    str or None
        None where it holds nothing: an empty or blank text, one of `NOTHING`, or a float that is no number.

    Raises
    ------
    InputError
        If it is a number, but not a whole one of at most 60 digits, a rounded one, or neither text nor a number.

    >>> [normal_id(given) for given in (10000032, 10000032.0, "10000032.0", " 10000032 ", "007", "1e7", "1.5", "nan")]
    ['10000032', '10000032', '10000032', '10000032', '007', '1e7', '1.5', None]
    """
    if given is None or (isinstance(given, float) and math.isnan(given)):
        return None
    text = given if isinstance(given, str) else _digits(given)
    text = text.strip()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).strip()
    if text in NOTHING:
        return None
    power = _POWER.fullmatch(text)
    if power is not None:
        if len(power[2] or "") < int(power[3]):
            # Not quoted: it may come from the header of a DICOM file, of which nothing is told.
            raise InputError("an id was rounded, as to 1.00E+07 by spreadsheets; write ids as text, with every digit")
        return normal_id(Decimal(text))
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        return text
    return "0" if whole[1] == "-0" else whole[1]


def _digits(number: int | float | Decimal) -> str:
    if isinstance(number, bool) or not isinstance(number, (int, float, Decimal)):
        raise InputError(f"an id must be text or a whole number, found {type(number).__name__}")
    value = Decimal(number)
    if not value.is_finite() or abs(value) >= 10**_DIGITS or value != value.to_integral_value():
        raise InputError(f"an id must be text or a whole number of at most {_DIGITS} digits")
    return str(int(value))


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
    """SHA-256 of a patient's `normal_id` in UTF-8, as 64 hex digits: how certificates and index folders carry it."""
    return sha256((normal_id(patient) or patient).encode()).hexdigest()


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
