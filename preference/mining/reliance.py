"""How far the model leans on what was retrieved, per domain, beside answers that need no model.

Answers are judged right or wrong; those of open questions by whether their loss is below one half.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration import OutcomeTable
from rag import Baselines, Outcomes, Question, bootstrap_interval
from titrate import InputError

RIGHT_BELOW = 0.5
"""Loss of an answer that counts as right."""

_ONLY_WITH_NOISE = ("copy-reference rate", "noised image, no contexts")


@dataclass(frozen=True)
class Share:
    """A mean over questions with its 95 % interval from the bootstrap over patients; ``count`` questions went in."""

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Reliance:
    """What k contexts did to the answers in one domain.

    With a = right without contexts and b = right with k of them (RULE, arXiv 2407.05131):

    Attributes
    ----------
    domain, k
        Where, and with how many contexts.
    questions, patients
        How many were asked, and of how many patients.
    alone, with_contexts
        P(a) and P(b): accuracy without contexts and with them.
    over_reliance
        #(a ∧ ¬b) / #(¬b): of the wrong answers, the share that was right before the contexts came.
    harm
        P(¬b | a).
    help
        P(b | ¬a).
    net
        P(b) − P(a).
    copying, blind
        P(n), the copy-reference rate (MMed-RAG, arXiv 2410.13085): right with k contexts of the clean image although
        the image itself was noised; and beside it accuracy with a noised image and no contexts, which shows what can
        be guessed. None where no noised images were asked about.
    majority, nearest
        Accuracy of the commonest answer, and of copying the answer of the most similar case.

    A share of no questions at all, such as ``over_reliance`` where nothing was answered wrongly, is None.
    """

    domain: str
    k: int
    questions: int
    patients: int
    alone: Share
    with_contexts: Share
    over_reliance: Share | None
    harm: Share | None
    help: Share | None
    net: Share
    copying: Share | None
    blind: Share | None
    majority: Share
    nearest: Share


def measure_reliance(
    outcomes: Outcomes,
    known: Sequence[Question],
    k: int | Mapping[str, int],
    *,
    noised: Outcomes | None = None,
    seed: int = 0,
) -> list[Reliance]:
    """Measure reliance on contexts in every domain that questions were routed to.

    Parameters
    ----------
    outcomes
        Of the ``prefer`` split when pairs are to be mined from the same.
    known
        Answered questions of the indexed split, for the baselines.
    k
        How many contexts are read: one number, or one for each domain.
    noised
        Outcomes of the same questions with noised images.
    seed
        Of the bootstrap.

    Raises
    ------
    InputError
        If k is outside the table or missing for a domain, or the noised outcomes are of other questions.
    """
    baselines = Baselines(known)
    table, right = outcomes.table, right_answers(outcomes.table)
    right_blind = None if noised is None else right_despite_noise(outcomes, noised)
    measured = []
    for domain in sorted(set(table.domains)):
        rows = [row for row, name in enumerate(table.domains) if name == domain]
        questions = [outcomes.questions[row] for row in rows]
        near = [[match.record.id for match in outcomes.matches[row]] for row in rows]
        majority = [baselines.majority(question) == question.answer for question in questions]
        nearest = [baselines.nearest(q, ids) == q.answer for q, ids in zip(questions, near, strict=True)]
        means = _Means(np.array([table.units[row] for row in rows]), seed)
        read = _k_of(k, domain, table.max_k)
        a, b = right[rows, 0], right[rows, read]
        measured.append(
            Reliance(
                domain=domain,
                k=read,
                questions=len(rows),
                patients=len(set(means.patients.tolist())),
                alone=means.of(a),
                with_contexts=means.of(b),
                over_reliance=means.of_those(a, ~b),
                harm=means.of_those(~b, a),
                help=means.of_those(b, ~a),
                net=means.of(b.astype(np.float64) - a),
                copying=None if right_blind is None else means.of(right_blind[rows, read]),
                blind=None if right_blind is None else means.of(right_blind[rows, 0]),
                majority=means.of(np.array(majority)),
                nearest=means.of(np.array(nearest)),
            )
        )
    return measured


def right_answers(table: OutcomeTable) -> NDArray[np.bool_]:
    """Which answers are right, bool [questions, K + 1]: those whose loss is below one half."""
    return np.asarray(table.losses < RIGHT_BELOW, dtype=np.bool_)


def right_despite_noise(outcomes: Outcomes, noised: Outcomes) -> NDArray[np.bool_]:
    """Which answers are right although the image was noised, bool [questions, K + 1].

    Raises
    ------
    InputError
        If the two are not about the same questions in the same order, each with the same number of contexts.
    """
    if list(noised.table.question_ids) != list(outcomes.table.question_ids) or noised.matches != outcomes.matches:
        raise InputError("the outcomes with noised images are of other questions or contexts; score the same ones")
    return right_answers(noised.table)


def format_reliance(measured: Sequence[Reliance]) -> str:
    """The measurements as a plain table, a domain after the other."""
    lines = []
    for m in measured:
        lines.append(f"{m.domain}: {m.questions} questions of {m.patients} patients, k = {m.k}")
        for name, share in (
            ("accuracy without contexts", m.alone),
            ("accuracy with contexts", m.with_contexts),
            ("over-reliance ratio", m.over_reliance),
            ("harm", m.harm),
            ("help", m.help),
            ("net", m.net),
            ("copy-reference rate", m.copying),
            ("noised image, no contexts", m.blind),
            ("majority answer's accuracy", m.majority),
            ("copying the nearest report", m.nearest),
        ):
            if share is None and name in _ONLY_WITH_NOISE and m.copying is None:
                continue
            shown = "no such questions" if share is None else _shown(share)
            lines.append(f"  {name:<28}{shown}")
    return "\n".join(lines)


def _shown(share: Share) -> str:
    return f"{share.value:>6.3f}   95 % interval {share.low:.3f} to {share.high:.3f}   n = {share.count}"


@dataclass(frozen=True, eq=False)
class _Means:
    """Means over questions whose patients, str [n], are the unit of the bootstrap."""

    patients: NDArray[np.str_]
    seed: int

    def of(self, values: NDArray[np.bool_] | NDArray[np.float64]) -> Share:
        """Over all of them, values [n]."""
        numbers = values.astype(np.float64)
        low, high = bootstrap_interval(numbers, self.patients.tolist(), seed=self.seed)
        return Share(float(numbers.mean()), low, high, len(numbers))

    def of_those(self, values: NDArray[np.bool_], among: NDArray[np.bool_]) -> Share | None:
        """Over the questions of ``among``, both bool [n]; resampled are the patients who have such questions."""
        return _Means(self.patients[among], self.seed).of(values[among]) if among.any() else None


def _k_of(k: int | Mapping[str, int], domain: str, max_k: int) -> int:
    if isinstance(k, Mapping) and domain not in k:
        raise InputError(f"no k is given for {domain}; give one for each domain, or a single number")
    read = k[domain] if isinstance(k, Mapping) else k
    if not 0 <= read <= max_k:
        raise InputError(f"k = {read} is outside the outcome table (0 to {max_k}); score the questions up to that k")
    return read
