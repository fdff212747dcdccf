"""Patients that calibration must not meet: those of the other splits, and those whose reports are retrieved."""

from pathlib import Path

from calibration import hash_patient
from indexing import Index
from titrate import read_jsonl


def patients_elsewhere(path: Path, split: str, index: Index) -> dict[str, set[str]]:
    """Hashes of the patients, or else studies, of each other split of a question file, and of the index.

    Parameters
    ----------
    path
        The question file. Questions without a split or a patient say nothing.
    split
        The one that calibration is about.
    index
        Where contexts come from.

    Returns
    -------
    dict
        Sets of `calibration.hash_patient` by the split's name, and under ``"the index"``.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    found: dict[str, set[str]] = {"the index": index.patients()}
    for _, value in read_jsonl(path):
        other, patient = value.get("split"), value.get("patient") or value.get("study")
        if other not in (None, split) and patient:
            found.setdefault(str(other), set()).add(hash_patient(str(patient)))
    return found
