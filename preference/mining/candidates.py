"""Which questions show a fault that a preference pair can teach against, and with how many contexts.

An answer counts as right as `rag.right_answers` has it. Over-reliance, under-use and copying are
the three kinds of MMed-RAG (arXiv 2410.13085), of which RULE (arXiv 2407.05131) had over-reliance alone. The fourth,
the anchor, is ours, and no fault: pairs of over-reliance all have contexts, so a model that reads nothing else in
training can lower their loss by changing its answer whenever there are contexts, whatever they say. Anchors are right
answers without contexts, and training on them holds these where they are.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from preference.pairs import ANCHOR, COPYING, OVER_RELIANCE, UNDER_USE
from rag import Outcomes, right_answers, right_despite_noise
from titrate import InputError

MINED_KINDS = (OVER_RELIANCE, UNDER_USE, COPYING, ANCHOR)
"""The kinds of pairs that can be mined, in the order in which they are mined."""

DEFAULT_KINDS = (OVER_RELIANCE, ANCHOR)


@dataclass(frozen=True)
class Candidate:
    """A question that shows a fault when it is asked with one number of contexts.

    Attributes
    ----------
    row
        The question's row in the outcome table.
    k
        How many contexts the prompt has.
    chosen, rejected
        The answer to prefer and the answer to avoid; the same text for copying.
    confidence
        How sure the model was of the fault, in [0, 1]; see `preference.MinedPairs`.
    """

    row: int
    k: int
    chosen: str
    rejected: str
    confidence: float


def find_candidates(
    kind: str, outcomes: Outcomes, noised: Outcomes | None, rng: random.Random
) -> Iterator[list[Candidate]]:
    """Find all candidates of one kind, the candidates of a question together.

    Parameters
    ----------
    kind
        One of `MINED_KINDS`, whose meanings `preference.mine_pairs` gives.
    outcomes
        The answers at every number of contexts.
    noised
        The answers to the same questions about noised images; needed for copying, and not read for other kinds.
    rng
        Draws the answer that an anchor rejects, where there are several.

    Raises
    ------
    InputError
        If the kind is copying, and the noised outcomes are missing or of other questions or contexts.
    """
    if kind == COPYING:
        yield from _copied(outcomes, noised)
        return
    table, right = outcomes.table, right_answers(outcomes.table)
    for row in range(len(outcomes.questions)):
        answers, confidences, ks = (
            table.answers[row],
            [float(sure) for sure in table.confidences[row]],
            _ks(outcomes, row),
        )
        if kind == OVER_RELIANCE:
            misled = [k for k in ks if right[row, 0] and not right[row, k]]
            yield [Candidate(row, k, answers[0], answers[k], confidences[k]) for k in misled]
        elif kind == UNDER_USE:
            helped = [k for k in ks if not right[row, 0] and right[row, k]]
            yield [Candidate(row, k, answers[k], answers[0], confidences[0]) for k in helped]
        else:
            others = [answers[k] for k in ks if not right[row, k]]
            others = others or [option for option in outcomes.questions[row].options or () if option != answers[0]]
            if right[row, 0] and others:
                yield [Candidate(row, 0, answers[0], rng.choice(others), 1 - confidences[0])]


def _copied(outcomes: Outcomes, noised: Outcomes | None) -> Iterator[list[Candidate]]:
    """Where the answer was right although the image was noised; it is both the chosen and the rejected answer."""
    if noised is None:
        raise InputError("pairs of copying need the outcomes with noised images")
    right, table = right_despite_noise(outcomes, noised), noised.table
    for row in range(len(outcomes.questions)):
        answers, confidences = table.answers[row], table.confidences[row]
        copied = [k for k in _ks(outcomes, row) if right[row, k]]
        yield [Candidate(row, k, answers[k], answers[k], float(confidences[k])) for k in copied]


def _ks(outcomes: Outcomes, row: int) -> range:
    """The numbers of contexts above 0 with prompts of their own: with fewer than K cases, larger k repeat the same."""
    return range(1, min(outcomes.table.max_k, len(outcomes.matches[row])) + 1)
