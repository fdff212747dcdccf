"""The outcome pass: every question answered with k = 0..K contexts, exactly as `ask` would answer it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from calibration import Choices, OutcomeTable
from indexing import Match
from rag.answering import answer
from rag.models.base import MLLM
from rag.outcomes.cache import Outcome, OutcomeCache
from rag.outcomes.contradictions import refuse_contradictions
from rag.outcomes.losses import Loss, token_loss
from rag.prompt import PromptTemplate
from rag.questions import Question
from rag.retrieval.routing import Retrieved
from titrate import InputError, hash_files, hash_json, one_line_errors

if TYPE_CHECKING:
    from PIL import Image

_IMAGES_AT_ONCE = 16
_LETTERS = 4  # of a token, about


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The outcome table, with the questions and what was retrieved for them, all in the same order.

    Attributes
    ----------
    table
        What the answers came to.
    questions, matches
        A question, and the cases that it may read, for each row.
    prompt
        What they were asked with; it cuts reports as the model did that answered.
    """

    table: OutcomeTable
    questions: tuple[Question, ...]
    matches: tuple[tuple[Match, ...], ...]
    prompt: PromptTemplate


def score_outcomes(
    mllm: MLLM,
    prompt: PromptTemplate,
    retrieved: Retrieved[Question],
    max_k: int,
    *,
    loss: Loss = token_loss,
    alter: "Callable[[Image.Image], Image.Image] | None" = None,
    cache: OutcomeCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outcomes:
    """Answer questions at every k = 0..K, exactly as `Pipeline.ask` answers each at its policy's k.

    Parameters
    ----------
    mllm, prompt
        The model, and the words around questions and reports.
    retrieved
        Questions with their domains and similar cases. Where fewer than k cases exist, all are read.
    max_k
        K.
    loss
        Of open questions' answers.
    alter
        What to do to each image before the model sees it: how much answers depend on the image is measured so.
    cache
        Outcomes that are known already, and where new ones are kept; its key must name the loss and what alters.
    progress
        Told how many questions have been answered, and how many there are.

    Returns
    -------
    Outcomes
        Closed questions lose 0 with the reference answer and 1 with any other, and their confidence is the probability
        of the answer given among the options. The confidence of open answers is 1: nothing measures it yet.

    Raises
    ------
    InputError
        If there is no question, a loss is not in [0, 1], or what was kept contradicts itself or the reference answers.
    """
    if not retrieved.questions:
        raise InputError("there is no question to answer; every image was declined, or none was given")
    outcomes: list[Outcome] = []
    tried = False
    for start, end in _image_chunks(retrieved.questions):
        rows = range(start, end)
        names = [_name(retrieved, row) for row in rows] if cache is not None else []
        known = cache.get(names) if cache is not None else None
        if known is None and not tried and end < len(retrieved.questions):
            _try_longest(mllm, prompt, retrieved.take(range(start, len(retrieved.questions))), max_k, alter)
            tried = True
        if known is not None and cache is not None:
            refuse_contradictions(retrieved.questions[start:end], known, max_k, loss, cache.path)
        if known is None:
            known = _outcomes(mllm, prompt, retrieved.take(rows), max_k, loss, alter)
            if cache is not None:
                cache.put(names, known)
        outcomes += known
        if progress is not None:
            progress(end, len(retrieved.questions))
    similarities = np.full((len(outcomes), max_k), np.nan)
    falling = True
    for row in range(len(outcomes)):
        found = retrieved.similarities(row, max_k)
        falling = falling and found == sorted(found, reverse=True)
        similarities[row, : len(found)] = found
    table = OutcomeTable(
        question_ids=[question.id for question in retrieved.questions],
        units=[question.unit for question in retrieved.questions],
        domains=list(retrieved.domains),
        losses=np.array([outcome.losses for outcome in outcomes]),
        confidences=np.array([outcome.confidences for outcome in outcomes]),
        answers=[outcome.answers for outcome in outcomes],
        similarities=similarities if falling else None,  # fused rankings have no one similarity to cut at
        choices=[_choices(*pair) for pair in zip(retrieved.questions, outcomes, strict=True)],
    )
    return Outcomes(table, retrieved.questions, retrieved.matches, prompt.for_model(mllm))


def _try_longest(
    mllm: MLLM,
    prompt: PromptTemplate,
    retrieved: Retrieved[Question],
    max_k: int,
    alter: "Callable[[Image.Image], Image.Image] | None",
) -> None:
    """Ask the questions with the most to read first: too long a prompt shows now, not after hours.

    Which those are is estimated, by the letters of the reports and by the bytes of the image's file, so that one that
    is too long may still come later.
    """
    most = _LETTERS * prompt.for_model(mllm).report_tokens

    def letters(row: int) -> int:
        read = (min(most, len(match.record.report)) for match in retrieved.matches[row][:max_k])
        return sum(read) + len(retrieved.questions[row].text)

    def size(row: int) -> int:
        with suppress(OSError):
            return retrieved.questions[row].image.stat().st_size
        return 0

    rows = range(len(retrieved.questions))
    for row in sorted({max(rows, key=letters), max(rows, key=size)}):
        answer(mllm, prompt, retrieved.take([row]), [max_k], alter)


def _outcomes(
    mllm: MLLM,
    prompt: PromptTemplate,
    retrieved: Retrieved[Question],
    max_k: int,
    loss: Loss,
    alter: "Callable[[Image.Image], Image.Image] | None",
) -> list[Outcome]:
    """Outcomes of questions about a few images, in their order."""
    answers = answer(mllm, prompt, retrieved, range(max_k + 1), alter)
    found = []
    for question, replies in zip(retrieved.questions, answers, strict=True):
        if question.options is None:
            losses = [_lost(loss, reply.text, question) for reply in replies]
        else:
            losses = [float(reply.text != question.answer) for reply in replies]
        if not all(0 <= value <= 1 for value in losses):
            raise InputError(f"the loss of question {question.id} is not in [0, 1]; mend the loss function")
        logs = [list(reply.log_probabilities) for reply in replies if reply.log_probabilities is not None]
        confidences, texts = [reply.confidence for reply in replies], [reply.text for reply in replies]
        found.append(Outcome(losses, confidences, texts, logs or None))
    return found


def _lost(loss: Loss, answer_text: str, question: Question) -> float:
    """What an answer costs by a function that may be anybody's."""
    name = getattr(loss, "__qualname__", type(loss).__name__)
    problem = f"the loss function {name} failed at question {question.id}"
    with one_line_errors(problem, "mend it and run again; what was scored is kept", InputError):
        return float(loss(answer_text, question.answer))


def _choices(question: Question, outcome: Outcome) -> Choices | None:
    if question.options is None or outcome.log_probabilities is None:
        return None
    losses = [float(option != question.answer) for option in question.options]
    return Choices(question.options, np.array(outcome.log_probabilities), np.array(losses))


def _name(retrieved: Retrieved[Question], row: int) -> str:
    """Hash of a question, its image's content, its domain and the cases that it gets to read."""
    question = asdict(retrieved.questions[row])
    image = question.pop("image")
    del question["source"]  # which changes no answer
    reports = [[match.record.id, match.record.report] for match in retrieved.matches[row]]
    return hash_json([question, hash_files([image]), retrieved.domains[row], reports])


def _image_chunks(questions: Sequence[Question]) -> Iterator[tuple[int, int]]:
    """Ranges of questions that are about a few images at a time, so that each image is encoded once."""
    starts = [row for row, question in enumerate(questions) if row == 0 or question.image != questions[row - 1].image]
    edges = [*starts[::_IMAGES_AT_ONCE], len(questions)]
    yield from pairwise(edges)
