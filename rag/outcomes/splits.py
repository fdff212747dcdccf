"""The splits of a question file: who must not meet, and which questions baselines may learn from."""

from collections.abc import Sequence
from pathlib import Path

from indexing import Exclusion, Index
from rag.questions import Question, parse_question
from titrate import hash_patient, normal_id, patient_or_study, read_jsonl


def other_patient_hashes(path: Path, split: str, index: Index) -> dict[str, set[str]]:
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
        Sets of `hash_patient` by the split's name, and under ``"the index"``.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    indexed = index.patients()
    found: dict[str, set[str]] = {"the index": indexed}
    for _, value in read_jsonl(path):
        other, patient, study = value.get("split"), normal_id(value.get("patient")), normal_id(value.get("study"))
        unit = patient_or_study(patient, study)
        if unit is None:
            continue
        if other in (None, split):  # asked about by its own id, but an index of DICOM knows it by a pseudonym
            own = index.recognise(Exclusion(None, study, patient))
            names = own.patients if patient else own.studies
            if any(hash_patient(name) in indexed for name in names if name):
                indexed.add(hash_patient(unit))
        else:
            found.setdefault(str(other), set()).add(hash_patient(unit))
    return found


def known_questions(path: Path, root: Path | None, judged: Sequence[Question]) -> list[Question]:
    """Answered questions that baselines may learn from: those of the train split, but none that is judged.

    There are none where the file names no splits or has no train split: a baseline is never learnt from what it is
    judged by. Nobody looks at the images of the train split here, so they need not be there.

    Raises
    ------
    InputError
        If the file cannot be read or a line is unsound.
    """
    if not any(question.split for question in judged):
        return []
    folder = path.parent if root is None else root
    known = [parse_question(value, f"{path}, line {line}", folder) for line, value in read_jsonl(path)]
    asked = {question.id for question in judged}
    return [question for question in known if question.split == "train" and question.id not in asked]
