"""Questions about images: reading them from a file and checking them before any model runs."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexing import resolve_image
from rag.question_sets.rows import QuestionRow, question_rows
from titrate import (
    FULL_STOPS,
    InputError,
    TitrateWarning,
    folded,
    hash_json,
    independent_unit,
    normal_id,
    unprintable,
)


@dataclass(frozen=True, kw_only=True)
class Query:
    """A question about an image, and whose the image is: all that an answer depends on besides the system.

    Attributes
    ----------
    image
        The image file.
    text
        What is asked.
    options
        The answers to choose from; None for an answer in free text.
    id
        What the question is called in its file; empty where it is asked directly.
    record
        The corpus record that the image belongs to; None where nobody said.
    patient, study
        Whose image it is; None where nobody said. Like the record, each as its `normal_id`.

    Raises
    ------
    InputError
        If the question is empty, or there are fewer than two options, or two of them are the same but for case, spaces,
        width, and a full stop.
    """

    image: Path
    text: str
    options: tuple[str, ...] | None
    id: str = ""
    record: str | None = None
    patient: str | None = None
    study: str | None = None

    def __post_init__(self) -> None:
        for name in ("record", "patient", "study"):
            object.__setattr__(self, name, normal_id(getattr(self, name)))
        if not self.text.strip():
            raise InputError("the question is empty; ask something")
        if self.options is None:
            return
        seen: dict[str, str] = {}
        for option in self.options:
            other = seen.setdefault(option_key(option), option)
            if other != option:
                raise InputError(
                    f"the options {other!r} and {option!r} differ in case, spaces, width or a full stop only; "
                    "give one of them"
                )
        if len(seen) < max(2, len(self.options)) or "" in seen:
            raise InputError("give at least two options, all different, or none for an answer in free text")

    @property
    def unit(self) -> str:
        """What counts as independent: the patient, or else the study, or else the image."""
        return independent_unit(self.patient, self.study, str(self.image))

    @property
    def option_keys(self) -> tuple[str, ...] | None:
        """`option_key` of each option; None for an open question."""
        return None if self.options is None else tuple(option_key(option) for option in self.options)


@dataclass(frozen=True, kw_only=True)
class Question(Query):
    """A question with its reference answer.

    Attributes
    ----------
    id
        Unique in its file.
    answer
        The reference answer.
    domain, split, kind, source
        None where the file does not say. The source is the data set, hospital or device that the question comes from.
    """

    answer: str
    domain: str | None = None
    split: str | None = None
    kind: str | None = None
    source: str | None = None


def option_key(text: str) -> str:
    """What makes an option this one and no other: its words in one spelling, without a full stop at the end.

    >>> option_key(" Yes. ") == option_key("yes"), option_key("\uff21\u3002") == option_key("a")
    (True, True)
    """
    return folded(text).rstrip(FULL_STOPS + " ")


def read_questions(path: Path, *, root: Path | None = None, splits: Sequence[str] | None = None) -> list[Question]:
    """Read a question file: one JSON object a line, images relative to the root.

    The files of RULE, VQA-RAD, SLAKE, PathVQA and PMC-VQA are read as published, see `rag.question_sets`. What of them
    cannot be used is left out, with a `TitrateWarning` that says how many questions were read and how.

    Parameters
    ----------
    path
        Fields ``id``, ``image``, ``question``, ``answer``, ``options`` (null for an open question) and, where known,
        ``patient``, ``study``, ``domain``, ``split``, ``record``, ``kind``, ``source``. Patient, study
        and record may be numbers.
    root
        Folder of the images; the file's own folder by default.
    splits
        Keep only these splits. Ignored in a file that names no splits.

    Raises
    ------
    InputError
        If the file cannot be read, a line is unsound, an id comes twice, a patient is in two splits, only some of the
        questions about a study or an image name its patient, an image is missing or outside the root, or nothing is
        left.
    """
    folder = path.parent if root is None else root
    questions: list[Question] = []
    seen: set[str] = set()
    split_of: dict[str, str | None] = {}
    source: str | None = None
    left_out: list[str] = []
    for row in question_rows(path, folder):
        line, source = row.line, row.source
        try:
            if row.problem is not None:
                raise InputError(f"{path}, line {line}: {row.problem}")
            question = parse_question(row.value, f"{path}, line {line}", folder)
            if question.id in seen:
                raise InputError(f"{path}, line {line}: id {question.id} comes twice; give every question its own")
        except InputError as error:
            if source is None:
                raise
            left_out.append(str(error))
            continue
        seen.add(question.id)
        if question.patient and split_of.setdefault(question.patient, question.split) != question.split:
            raise InputError(
                f"{path}, line {line}: patient {question.patient} is in splits {split_of[question.patient]} and "
                f"{question.split}; split by patient"
            )
        questions.append(question)
    _check_named(path, questions)
    if source is not None:
        warnings.warn(_how_read(path, source, questions, left_out), TitrateWarning, stacklevel=2)
    there = sorted({question.split for question in questions if question.split})
    if splits is not None and there:
        questions = [question for question in questions if question.split in splits]
    for question in questions:
        resolve_image(folder, str(question.image.relative_to(folder)))
    if not questions:
        wanted = f" in split {' or '.join(splits)}" if splits else ""
        known = f" (it has {', '.join(there[:5])})" if there else ""
        raise InputError(f"{path} holds no questions{wanted}; check the file and --split{known}")
    return questions


def _check_named(path: Path, questions: Sequence[Question]) -> None:
    """Refuse a study or an image whose patient only some questions name: it would count as two that are independent."""
    of_study = {question.study: question.id for question in questions if question.patient and question.study}
    of_image = {question.image: question.id for question in questions if question.patient}
    for question in questions:
        other = None if question.patient else of_study.get(question.study or "") or of_image.get(question.image)
        if other is not None:
            raise InputError(
                f"{path}: question {other} names the patient, {question.id} about the same study or image does not; "
                "name the patient in both"
            )


def _how_read(path: Path, source: str, questions: Sequence[Question], left_out: Sequence[str]) -> str:
    closed = sum(question.options is not None for question in questions)
    lost = f"; {len(left_out)} are left out, the first because {left_out[0]}" if left_out else ""
    return f"{path} is read as {source}'s: {closed} questions with options, {len(questions) - closed} open{lost}"


def published_question(row: QuestionRow, path: Path, folder: Path) -> Question | None:
    """The question of a row of a published file; None if it cannot be used, which `read_questions` tells of."""
    try:
        return None if row.problem else parse_question(row.value, f"{path}, line {row.line}", folder)
    except InputError:
        return None


def closed_questions(questions: Sequence[Question], path: Path) -> list[Question]:
    """Those with options to choose from.

    Raises
    ------
    InputError
        If there are none.
    """
    closed = [question for question in questions if question.options]
    if not closed:
        raise InputError(f"{path}: none of its questions has options; only closed questions are scored")
    return closed


def questions_fingerprint(questions: Sequence[Question]) -> str:
    """SHA-256 over the questions in order of id: text, answers, image, patient and study, wherever the files lie."""
    rows = [
        [q.id, q.image.name, q.text, q.answer, q.options, q.patient, q.study]
        for q in sorted(questions, key=lambda item: item.id)
    ]
    return hash_json(rows)


def parse_question(value: dict[str, Any], where: str, folder: Path) -> Question:
    """A question out of a JSON object that stands at a place; its image is not looked at.

    Raises
    ------
    InputError
        If a field is missing or unsound, naming the place.
    """

    def text(name: str) -> str:
        content = value.get(name)
        if not isinstance(content, str) or not content.strip():
            raise InputError(f'{where}: "{name}" is missing or not text')
        return content.strip()

    def shown(name: str, content: str) -> str:
        if hidden := unprintable(content):
            raise InputError(f'{where}: "{name}" holds {hidden}, a character that does not show; rename it')
        return content

    def optional(name: str) -> str | None:
        return shown(name, text(name)) if value.get(name) is not None else None

    def identity(name: str) -> str | None:
        try:
            known = normal_id(value.get(name))
        except InputError as error:
            raise InputError(f'{where}: "{name}": {error}') from error
        return None if known is None else shown(name, known)

    if "options" not in value:
        raise InputError(f'{where}: "options" is missing; list the answers to choose from, or write null if it is open')
    options = value["options"]
    if options is not None:
        if not isinstance(options, list) or not all(isinstance(item, str) and item.strip() for item in options):
            raise InputError(f'{where}: "options" must be a list of texts, or null for an open question')
        options = [item.strip() for item in options]
    image = text("image")
    if Path(image).is_absolute():
        raise InputError(f'{where}: "image" must be a path inside {folder}; set --root to the folder of the images')
    answer = text("answer")
    for option in options or ():
        if option_key(option) == option_key(answer):  # "Yes." is the option "yes"
            answer = option
    try:
        question = Question(
            id=shown("id", text("id")),
            image=folder / image,
            text=text("question"),
            answer=answer,
            options=None if options is None else tuple(options),
            patient=identity("patient"),
            study=identity("study"),
            domain=optional("domain"),
            split=optional("split"),
            record=identity("record"),
            kind=optional("kind"),
            source=optional("source"),
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if question.options is not None and question.answer not in question.options:
        raise InputError(f"{where}: the answer {question.answer!r} is not among the options")
    return question
