"""The outcome pass: every question answered with k = 0..K contexts, exactly as `ask` would answer it.

Scores each k on its own; sharing the prompts' common beginning between them is not done here yet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from PIL import Image

from calibration import OutcomeTable
from indexing import Encoder, Exclusion, Index, Match, load_image
from rag.mllm import MLLM, Prompt, probabilities
from rag.prompt import PromptTemplate
from rag.questions import Question
from rag.retriever import SimilarCaseRetriever

_IMAGES_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The outcome table, with the questions and what was retrieved for them, all in the same order."""

    table: OutcomeTable
    questions: tuple[Question, ...]
    matches: tuple[tuple[Match, ...], ...]


@dataclass(frozen=True, eq=False)
class Retrieved:
    """Questions with the domain that each was routed to and the cases retrieved there, best first."""

    questions: tuple[Question, ...]
    domains: tuple[str, ...]
    matches: tuple[tuple[Match, ...], ...]


def retrieve(index: Index, encoder: Encoder, questions: Sequence[Question], limit: int) -> Retrieved:
    """Route each question's image and retrieve its similar cases, one embedding an image.

    Raises
    ------
    InputError
        If an image cannot be read, or the encoder is not the index's own.
    """
    retriever = SimilarCaseRetriever(index, encoder, limit)
    ordered = sorted(questions, key=lambda question: (_whose(question), question.id))
    domains: list[str] = []
    found: list[tuple[Match, ...]] = []
    groups = [list(group) for _, group in groupby(ordered, key=_whose)]
    for start in range(0, len(groups), _IMAGES_AT_ONCE * 4):
        chunk = groups[start : start + _IMAGES_AT_ONCE * 4]
        vectors = encoder.embed_images([load_image(group[0].image) for group in chunk])
        routed, _ = index.route(vectors)
        own = [Exclusion(group[0].record, group[0].study, group[0].patient) for group in chunk]
        for group, domain, matches in zip(chunk, routed, retriever.similar(vectors, routed, own, limit), strict=True):
            domains += [domain] * len(group)
            found += [tuple(matches)] * len(group)
    return Retrieved(tuple(ordered), tuple(domains), tuple(found))


def score_outcomes(
    mllm: MLLM,
    prompt: PromptTemplate,
    retrieved: Retrieved,
    max_k: int,
    *,
    alter: Callable[[Image.Image], Image.Image] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outcomes:
    """Answer closed questions at every k = 0..K.

    Parameters
    ----------
    mllm, prompt
        As for `ask`.
    retrieved
        Closed questions with their domains and similar cases. Where fewer than k cases exist, all are read.
    max_k
        K.
    alter
        What to do to each image before the model sees it: how much answers depend on the image is measured so.
    progress
        Told how many questions have been answered, and how many there are.

    Returns
    -------
    Outcomes
        Losses are 0 for the reference answer and 1 for any other; confidences are the probability of the answer given.
    """
    losses, confidences, answers = [], [], []
    for start, end in _image_chunks(retrieved.questions):
        prompts, options = [], []
        picture, shown = None, None
        for question, matches in zip(retrieved.questions[start:end], retrieved.matches[start:end], strict=True):
            if shown != question.image or picture is None:
                loaded = load_image(question.image)
                picture, shown = (alter(loaded) if alter else loaded), question.image
            reports = [match.record.report for match in matches]
            for k in range(max_k + 1):
                prompts.append(Prompt(picture, prompt.render(question.text, question.options, reports[:k])))
                options.append(question.options or ())
        chances = [probabilities(row) for row in mllm.score(prompts, options)]
        for number, question in enumerate(retrieved.questions[start:end]):
            rows = chances[number * (max_k + 1) : (number + 1) * (max_k + 1)]
            said = [(question.options or ())[int(row.argmax())] for row in rows]
            answers.append(said)
            losses.append([float(answer != question.answer) for answer in said])
            confidences.append([float(min(1.0, row.max())) for row in rows])
        if progress is not None:
            progress(end, len(retrieved.questions))
    table = OutcomeTable(
        question_ids=[question.id for question in retrieved.questions],
        units=[question.unit for question in retrieved.questions],
        domains=list(retrieved.domains),
        losses=np.array(losses),
        confidences=np.array(confidences),
        answers=answers,
    )
    return Outcomes(table, retrieved.questions, retrieved.matches)


def _whose(question: Question) -> tuple[str, ...]:
    """What retrieval for a question depends on: its image, and what must not be retrieved with it."""
    return str(question.image), question.record or "", question.study or "", question.patient or ""


def _image_chunks(questions: Sequence[Question]) -> list[tuple[int, int]]:
    """Ranges of questions that are about a few images at a time, so that each image is encoded once."""
    starts = [row for row, question in enumerate(questions) if row == 0 or question.image != questions[row - 1].image]
    edges = [*starts[::_IMAGES_AT_ONCE], len(questions)]
    return list(pairwise(edges))
