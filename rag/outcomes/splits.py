"""The splits of a question file: who must not meet, and which questions baselines may learn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from indexing import Exclusion, Index, load_image, perceptual_hash, same_picture
from rag.question_sets.rows import question_rows
from rag.questions import Question, parse_question, published_question
from titrate import InputError, hash_patient, independent_unit, normal_id, patient_or_study


def other_patient_hashes(path: Path, split: str, index: Index, root: Path | None = None) -> dict[str, set[str]]:
    """Hashes of the patients, or else studies, of each other split of a question file, and of the index.

    Where a question or an indexed record names neither, its picture is compared instead: two files of the same bytes,
    or pictures that `indexing.perceptual_hash` tells to be the same, are of one patient.

    Parameters
    ----------
    path
        The question file.
    split
        The one that calibration is about.
    index
        Where contexts come from.
    root
        Folder of the images; the file's own folder by default.

    Returns
    -------
    dict
        Sets of `hash_patient` by the split's name, and under ``"the index"``; in each also the units of the questions
        of ``split`` that were recognised there by a pseudonym or by their picture. A split is left out, since nothing
        can be said of it, where pictures would have to be compared and one of its files cannot be read.

    Raises
    ------
    InputError
        If the file cannot be read, or an image of the split itself.
    """
    ours: list[_Asked] = []
    others: dict[str, list[_Asked]] = {}
    folder = path.parent if root is None else root
    for row in question_rows(path, folder):
        if row.source is not None and published_question(row, path, folder) is None:
            continue
        other = row.value.get("split")
        asked = _Asked.of(row.value, folder)
        (ours if other in (None, split) else others.setdefault(str(other), [])).append(asked)
    pictures = _Pictures(index)
    found = {"the index": _in_index(ours, index, pictures)}
    for name, theirs in others.items():
        same = {hash_patient(asked.unit) for asked in theirs if asked.named} | _same_study(ours, theirs)
        unnamed = [asked for asked in theirs if not asked.named]
        to_compare = ours if unnamed else [asked for asked in ours if not asked.named]
        compared = theirs if any(not mine.named for mine in to_compare) else unnamed
        readable = [asked for asked in compared if pictures.readable(asked.image)] if to_compare else []
        for mine in to_compare:
            if pictures.meet(mine.image, [asked for asked in readable if not (mine.named and asked.named)]):
                same.add(hash_patient(mine.unit))
        shared = same.intersection(hash_patient(mine.unit) for mine in ours)
        if to_compare and len(readable) < len(compared) and not shared:
            continue
        found[name] = same
    return found


def _same_study(ours: Sequence["_Asked"], theirs: Sequence["_Asked"]) -> set[str]:
    """Hashes of our units whose study is theirs too, where one side does not name the patient; else patients decide."""
    everyone = {asked.own.study for asked in theirs if asked.own.study}
    unnamed = {asked.own.study for asked in theirs if asked.own.study and not asked.own.patient}
    return {hash_patient(mine.unit) for mine in ours if mine.own.study in (unnamed if mine.own.patient else everyone)}


def _in_index(ours: Sequence["_Asked"], index: Index, pictures: "_Pictures") -> set[str]:
    """Hashes of the index's patients, and of the units of those questions that are recognised there otherwise."""
    indexed = index.patients()
    recognised: set[str] = set()
    for asked in ours:
        own = index.recognise(asked.own)
        # A study stands among the patients where its records name none, and else only the records know it.
        known = any(hash_patient(name) in indexed for name in (*own.patients, *own.studies) if name)
        if known or (own.study and not own.patient and index.holds_study(own.study)):
            recognised.add(hash_patient(asked.unit))
    to_compare = ours if index.has_unnamed_records() else [asked for asked in ours if not asked.named]
    copies = index.copies([pictures.of(asked.image)[1] for asked in to_compare]) if to_compare else []
    for asked, records in zip(to_compare, copies, strict=True):
        if any(not (asked.named and (record.patient or record.study)) for record in records):
            recognised.add(hash_patient(asked.unit))
    return indexed | recognised


@dataclass(frozen=True)
class _Asked:
    """Whose image a question is about; ``named`` where its file names the patient or the study."""

    unit: str
    image: Path
    own: Exclusion
    named: bool

    @classmethod
    def of(cls, value: dict[str, Any], folder: Path) -> "_Asked":
        patient, study = normal_id(value.get("patient")), normal_id(value.get("study"))
        image = folder / str(value.get("image") or "").strip()
        named = patient_or_study(patient, study) is not None
        return cls(independent_unit(patient, study, str(image)), image, Exclusion(None, study, patient), named)


class _Pictures:
    """Hashes of image files, as the index's own images were hashed, each file read once."""

    def __init__(self, index: Index) -> None:
        self._view = index.manifest.view
        self._known: dict[Path, tuple[bytes, bytes]] = {}

    def of(self, image: Path) -> tuple[bytes, bytes]:
        """SHA-256 of the file, and the `perceptual_hash` of the picture that it shows."""
        if image not in self._known:
            picture = perceptual_hash(load_image(image, self._view))
            self._known[image] = sha256(image.read_bytes()).digest(), picture
        return self._known[image]

    def readable(self, image: Path) -> bool:
        """Whether there is such an image."""
        try:
            self.of(image)
        except InputError:
            return False
        return True

    def meet(self, image: Path, others: Sequence[_Asked]) -> bool:
        """Whether one of the others is about the same picture."""
        if not others:
            return False
        content, picture = self.of(image)
        known = [self.of(other) for other in dict.fromkeys(asked.image for asked in others)]
        if any(other == content for other, _ in known):
            return True
        hashes = np.array([list(other) for _, other in known], np.uint8).reshape(len(known), -1)  # [n, 32]
        return bool(same_picture(hashes, picture).any())


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
    known: list[Question] = []
    for row in question_rows(path, folder):
        if row.source is None:
            known.append(parse_question(row.value, f"{path}, line {row.line}", folder))
        elif (question := published_question(row, path, folder)) is not None:
            known.append(question)
    asked = {question.id for question in judged}
    return [question for question in known if question.split == "train" and question.id not in asked]
