"""From retrieved cases to answers at any number of contexts: the one path, for one question and for ten thousand.

An answer depends on the image, the question, its options, and how many of the retrieved reports the model reads. So a
question that is asked at one policy, and a question file that is answered at every k = 0..K, differ only in the list
of ks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from calibration import Policy
from indexing import load_image
from rag.models.base import MLLM, NestedPrompt, PromptTooLongError, normalised
from rag.prompt import PromptTemplate
from rag.questions import Query
from rag.retrieval.routing import Asked, Retrieved
from titrate import InputError, hash_json, one_line, shorten

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

MAX_NEW_TOKENS = 96
"""Of an answer in free text."""


@dataclass(frozen=True)
class Reply:
    """What the model says to a question after k contexts.

    Attributes
    ----------
    text
        The likeliest option, or free text.
    log_probabilities
        Of each option, in the question's order, normalised over the options; None for free text.
    """

    text: str
    log_probabilities: tuple[float, ...] | None

    @property
    def probabilities(self) -> tuple[float, ...] | None:
        """Of each option; None for free text."""
        return None if self.log_probabilities is None else tuple(np.exp(self.log_probabilities).tolist())

    @property
    def confidence(self) -> float:
        """Probability of the answer among the options; 1 for free text, which nothing measures yet."""
        return 1.0 if self.probabilities is None else min(1.0, max(self.probabilities))

    @classmethod
    def likeliest(cls, options: Sequence[str], log_probabilities: "NDArray[np.float64]") -> "Reply":
        """The option of the highest log-probability ``[options]``, the first of several."""
        return cls(options[int(log_probabilities.argmax())], tuple(log_probabilities.tolist()))


def generation_fingerprint() -> str:
    """SHA-256 of how answers are generated: the limit on new tokens, and that the likeliest token is taken."""
    return hash_json({"max_new_tokens": MAX_NEW_TOKENS, "sampling": "greedy"})


def answer(
    mllm: MLLM,
    template: PromptTemplate,
    retrieved: Retrieved[Asked],
    ks: Sequence[int],
    alter: "Callable[[Image.Image], Image.Image] | None" = None,
) -> list[list[Reply]]:
    """Answer every question after each of several numbers of contexts.

    Questions about one image that read the same cases are asked together: the image is decoded once, and a model that
    can do so reads the contexts once for all of them.

    Parameters
    ----------
    mllm, template
        The model, and the words around questions and reports.
    retrieved
        The questions, n of them, with their cases.
    ks
        Numbers of contexts, rising. Where fewer cases were retrieved, all of them are read.
    alter
        What to do to each image before the model sees it.

    Returns
    -------
    list
        [n][len(ks)] replies, in the order of the questions and of ``ks``.

    Raises
    ------
    InputError
        If an image cannot be read, an option cannot be scored, or a prompt is too long for the model.
    """
    template = template.for_model(mllm)  # whoever asks: reports are cut as this model counts
    asked = list(_prompts(template, retrieved, max(ks), alter))
    try:
        found = _open(mllm, [one for one in asked if not one.closed], ks) | _closed(
            mllm, template, [one for one in asked if one.closed], retrieved, ks
        )
    except PromptTooLongError as error:
        raise InputError(f"{_which(error, asked, retrieved, ks)}{error}") from None
    return [found[row] for row in range(len(retrieved.questions))]


@dataclass(frozen=True)
class _Asked:
    """Questions that are asked together, by their rows; all with options, or none."""

    prompt: NestedPrompt
    rows: list[int]
    closed: bool


def _prompts(
    template: PromptTemplate,
    retrieved: Retrieved[Asked],
    max_k: int,
    alter: "Callable[[Image.Image], Image.Image] | None",
) -> Iterator[_Asked]:
    """Each image once for all questions about it that read the same cases."""
    rows = range(len(retrieved.questions))
    for _, group in groupby(rows, key=lambda row: (retrieved.questions[row].image, retrieved.matches[row])):
        about = list(group)
        picture = load_image(retrieved.questions[about[0]].image, retrieved.view)
        if alter is not None:
            picture = alter(picture)
        for closed in (True, False):
            chosen = [row for row in about if (retrieved.questions[row].options is not None) == closed]
            if chosen:
                yield _Asked(nested_prompt(template, picture, retrieved, chosen, max_k), chosen, closed)


def _closed(
    mllm: MLLM, template: PromptTemplate, asked: Sequence[_Asked], retrieved: Retrieved[Asked], ks: Sequence[int]
) -> dict[int, list[Reply]]:
    """Replies to questions with options, by row."""
    if not asked:
        return {}
    options = [[template.options_read(retrieved.questions[row].options or ()) for row in one.rows] for one in asked]
    scores = mllm.score_nested([one.prompt for one in asked], options, ks)
    found = {}
    for one, tables in zip(asked, scores, strict=True):
        for row, table in zip(one.rows, tables, strict=True):  # table: [len(ks), number of options]
            named = retrieved.questions[row].options or ()
            found[row] = [Reply.likeliest(named, normalised(line)) for line in table]
    return found


def _open(mllm: MLLM, asked: Sequence[_Asked], ks: Sequence[int]) -> dict[int, list[Reply]]:
    """Replies in free text, by row."""
    found: dict[int, list[Reply]] = {}
    for one in asked:
        found |= zip(one.rows, _generate(mllm, one.prompt, len(one.rows), ks), strict=True)
    return found


def _which(error: PromptTooLongError, asked: Sequence[_Asked], retrieved: Retrieved[Asked], ks: Sequence[int]) -> str:
    """Whose prompt was too long, and with how many reports, as the beginning of a message."""
    for one in asked:
        for number, row in enumerate(one.rows):
            for k in sorted({min(k, len(one.prompt.contexts)) for k in ks}):
                if one.prompt.at(number, k).text in error.prompt.text:
                    question = retrieved.questions[row]
                    name = question.id or f'"{shorten(one_line(question.text), 60)}"'
                    return f"question {name} with {k} report{'s' * (k != 1)}: "
    return ""


def combine(policy: Policy, query: Query, replies: Sequence[Reply]) -> tuple[Reply, bool]:
    """Make one reply of several.

    Parameters
    ----------
    policy, query
        What decides, and the question.
    replies
        After each of ``policy.ks`` contexts, or, where the policy cuts, after as many as it leaves.

    Returns
    -------
    reply, alone
        The second says whether a gate let the answer without contexts through.
    """
    if not policy.needs_options or query.options is None:
        return replies[-1], False
    logs, alone = policy.decide(np.array([reply.log_probabilities for reply in replies], dtype=np.float64))
    return Reply.likeliest(query.options, logs), bool(alone)


def nested_prompt(
    template: PromptTemplate, picture: "Image.Image", retrieved: Retrieved[Asked], rows: Sequence[int], max_k: int
) -> NestedPrompt:
    """The prompts of some questions about one image, which read the same cases, for every number of contexts.

    Parameters
    ----------
    template
        The words around questions and reports.
    picture
        The image.
    retrieved
        The questions with their cases.
    rows
        Which of them.
    max_k
        The most contexts that any prompt is to hold.
    """
    reports = [match.record.report for match in retrieved.matches[rows[0]][:max_k]]
    contexts = tuple(template.context(number, report) for number, report in enumerate(reports, start=1))
    questions = [retrieved.questions[row] for row in rows]
    closings = tuple(template.closing(question.text, question.options) for question in questions)
    return NestedPrompt(picture, template.opening(), contexts, closings)


def _generate(mllm: MLLM, prompt: NestedPrompt, questions: int, ks: Sequence[int]) -> Iterator[list[Reply]]:
    """Free text for each of some questions at each of ``ks``; nothing is written twice where fewer cases exist."""
    read = sorted({min(k, len(prompt.contexts)) for k in ks})
    asked = [prompt.at(number, k) for number in range(questions) for k in read]
    texts = iter(mllm.generate(asked, MAX_NEW_TOKENS))
    for _ in range(questions):
        said = {k: Reply(next(texts), None) for k in read}
        yield [said[min(k, len(prompt.contexts))] for k in ks]
