"""Answers to questions, whoever gave them, with all that they are held against."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from calibration import OutcomeTable
from rag.comparators.base import Answered
from rag.outcomes.score import Outcomes
from rag.questions import Question
from titrate import InputError

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]

RIGHT_BELOW = 0.5
"""An answer whose loss is below this counts as right."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What one policy answered to n questions, all with options or all open, and what it is held against.

    Parameters
    ----------
    questions
        All with options, or all without, ``[n]``.
    answers
        None where it declines, ``[n]``.
    alone
        Whether the model is right without contexts, ``[n]``; None where no model is asked.
    contexts
        How many the model read, ``[n]``.
    probabilities
        Of each option, ``[n][options]``; None where there are none.
    tokens
        Of the text of the longest prompt read, ``[n]``; None where not counted.
    copied, blind
        Whether the answer is right about a noised image, with the contexts of the clean one and without any, ``[n]``;
        None where not asked.
    losses
        Of open answers, ``[n]``: below `RIGHT_BELOW` they count as right. Not for closed ones.

    Raises
    ------
    InputError
        If there is no question, some are open and others closed, or something is not given once for each.
    """

    questions: Sequence[Question]
    answers: Sequence[str | None]
    alone: Flags | None
    contexts: NDArray[np.int64]
    probabilities: Sequence[Numbers | None]
    tokens: NDArray[np.int64] | None = None
    copied: Flags | None = None
    blind: Flags | None = None
    losses: Numbers | None = None

    def __post_init__(self) -> None:
        closed = sum(question.options is not None for question in self.questions)
        if not self.questions or closed not in (0, len(self.questions)):
            raise InputError("measure questions with options and open ones apart, at least one of them")
        if (self.losses is None) != bool(closed):
            raise InputError("open answers need losses, and closed ones have none")
        for one in fields(self):
            given = getattr(self, one.name)
            if given is not None and len(given) != len(self.questions):
                raise InputError(f"{one.name}: {len(given)} for {len(self.questions)} questions; give one for each")

    @classmethod
    def of(cls, outcomes: Outcomes, answered: Answered) -> "Judged":
        """What a comparator answered to the questions of these outcomes."""
        alone = right_answers(outcomes.table)[:, 0]
        return cls(outcomes.questions, answered.answers, alone, answered.contexts, answered.probabilities)

    def take(self, rows: Sequence[int]) -> "Judged":
        """These questions only."""

        def picked(numbers: NDArray[np.generic] | None) -> NDArray[np.generic] | None:
            return None if numbers is None else numbers[list(rows)]

        return Judged(
            [self.questions[row] for row in rows],
            [self.answers[row] for row in rows],
            picked(self.alone),  # type: ignore[arg-type]
            self.contexts[list(rows)],
            [self.probabilities[row] for row in rows],
            *map(picked, (self.tokens, self.copied, self.blind, self.losses)),  # type: ignore[arg-type]
        )


def leaning(alone: Flags, given: Flags) -> dict[str, tuple[Flags, Flags]]:
    """What contexts did: over-reliance (RULE, arXiv 2407.05131), harm and help, each as "of whom, which".

    Parameters
    ----------
    alone, given
        Whether each answer is right without contexts, a, and as it is given, b, ``[n]``.

    Returns
    -------
    dict
        ``over_reliance`` a among not b, ``harm`` not b among a, ``help`` b among not a; each as two arrays, ``[n]``:
        the share that the first has among the second is the figure.
    """
    return {"over_reliance": (alone, ~given), "harm": (~given, alone), "help": (given, ~alone)}


def right_answers(table: OutcomeTable) -> NDArray[np.bool_]:
    """Which answers are right, bool [questions, K + 1]; an answer is right if its loss is below one half."""
    return np.asarray(table.losses < RIGHT_BELOW, dtype=np.bool_)


def right_despite_noise(outcomes: Outcomes, noised: Outcomes) -> NDArray[np.bool_]:
    """Which answers are right although the image was noised, bool [questions, K + 1].

    Parameters
    ----------
    outcomes
        The answers about the images as they are.
    noised
        The answers about the noised images.

    Raises
    ------
    InputError
        If the two are not about the same questions in the same order, each with the same number of contexts.
    """
    if list(noised.table.question_ids) != list(outcomes.table.question_ids) or noised.matches != outcomes.matches:
        raise InputError("the outcomes with noised images are of other questions or contexts; score the same ones")
    return right_answers(noised.table)
