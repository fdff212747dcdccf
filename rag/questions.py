"""Questions about images: reading them from JSON lines and checking them before any model runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexing import resolve_image
from titrate import InputError, hash_json, read_jsonl


@dataclass(frozen=True)
class Question:
    """A question with its reference answer.

    Attributes
    ----------
    id
        Unique in its file.
    image
        The image file.
    text, answer
        What is asked, and the reference answer.
    options
        The answers to choose from; None for an open question.
    patient, study, domain, split, record, kind
        None where the file does not say. ``record`` is the corpus record that the image belongs to.
    """

    id: str
    image: Path
    text: str
    answer: str
    options: tuple[str, ...] | None
    patient: str | None
    study: str | None
    domain: str | None
    split: str | None
    record: str | None
    kind: str | None

    @property
    def unit(self) -> str:
        """What counts as independent: the patient, or else the study, or else the image."""
        return self.patient or self.study or str(self.image)


def read_questions(path: Path, *, root: Path | None = None, splits: Sequence[str] | None = None) -> list[Question]:
    """Read a question file: one JSON object a line, images relative to the root.

    Parameters
    ----------
    path
        Fields ``id``, ``image``, ``question``, ``answer``, ``options`` (null for an open question) and, where known,
        ``patient``, ``study``, ``domain``, ``split``, ``record``, ``kind``.
    root
        Folder of the images; the file's own folder by default.
    splits
        Keep only these splits. Ignored in a file that names no splits.

    Raises
    ------
    InputError
        If the file cannot be read, a line is unsound, an id comes twice, a patient is in two splits, an image is
        missing or outside the root, or nothing is left.
    """
    folder = path.parent if root is None else root
    questions: list[Question] = []
    seen: set[str] = set()
    split_of: dict[str, str | None] = {}
    for line, value in read_jsonl(path):
        question = _parse(value, f"{path}, line {line}", folder)
        if question.id in seen:
            raise InputError(f"{path}, line {line}: id {question.id} comes twice; give every question its own")
        seen.add(question.id)
        if question.patient and split_of.setdefault(question.patient, question.split) != question.split:
            raise InputError(
                f"{path}, line {line}: patient {question.patient} is in splits {split_of[question.patient]} and "
                f"{question.split}; split by patient"
            )
        questions.append(question)
    if splits is not None and any(question.split for question in questions):
        questions = [question for question in questions if question.split in splits]
    for question in questions:
        resolve_image(folder, str(question.image.relative_to(folder)))
    if not questions:
        wanted = f" in split {' or '.join(splits)}" if splits else ""
        raise InputError(f"{path} holds no questions{wanted}; check the file and --split")
    return questions


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


def _parse(value: dict[str, Any], where: str, folder: Path) -> Question:
    def text(name: str) -> str:
        content = value.get(name)
        if not isinstance(content, str) or not content.strip():
            raise InputError(f'{where}: "{name}" is missing or not text')
        return content.strip()

    def optional(name: str) -> str | None:
        return text(name) if value.get(name) is not None else None

    if "options" not in value:
        raise InputError(f'{where}: "options" is missing; list the answers to choose from, or write null if it is open')
    options = value["options"]
    if options is not None:
        if not isinstance(options, list) or not all(isinstance(item, str) and item.strip() for item in options):
            raise InputError(f'{where}: "options" must be a list of texts, or null for an open question')
        options = [item.strip() for item in options]
        if len(options) < 2 or len(set(options)) < len(options):
            raise InputError(f'{where}: "options" must hold at least two answers, all different')
        if text("answer") not in options:
            raise InputError(f"{where}: the answer {text('answer')!r} is not among the options")
    image = text("image")
    if Path(image).is_absolute():
        raise InputError(f'{where}: "image" must be a path inside {folder}; set --root to the folder of the images')
    return Question(
        id=text("id"),
        image=folder / image,
        text=text("question"),
        answer=text("answer"),
        options=None if options is None else tuple(options),
        patient=optional("patient"),
        study=optional("study"),
        domain=optional("domain"),
        split=optional("split"),
        record=optional("record"),
        kind=optional("kind"),
    )


def known_questions(path: Path, root: Path | None, judged: Sequence[Question]) -> list[Question]:
    """Answered questions that baselines may learn from: those of the train split, or else the judged ones themselves.

    Learning from what is judged makes a baseline better than it could be in use, so it errs on the safe side. Nobody
    looks at the images of the train split here, so they need not be there.

    Raises
    ------
    InputError
        If the file cannot be read or a line is unsound.
    """
    if not any(question.split for question in judged):
        return list(judged)
    folder = path.parent if root is None else root
    known = [_parse(value, f"{path}, line {line}", folder) for line, value in read_jsonl(path)]
    return [question for question in known if question.split == "train"] or list(judged)
