"""How far the model relies on the contexts that were retrieved, in each domain, beside baselines that need no model.

Every answer counts as right or wrong; an answer to an open question is right if its loss is below one half.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag import (
    Baselines,
    Outcomes,
    Question,
    bootstrap_interval,
    leaning,
    right_answers,
    right_despite_noise,
)
from titrate import InputError

_LEARNT = ("majority answer's accuracy", "copying the nearest report")
_ONLY_WITH_NOISE = ("copy-reference rate", "noised image, no contexts")


@dataclass(frozen=True)
class Share:
    """A mean over questions with its uncertainty.

    Attributes
    ----------
    value
        The mean.
    low, high
        Its 95 % interval, from a bootstrap over patients.
    count
        Number of questions that the mean is over.
    """

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Reliance:
    """What k contexts did to the answers in one domain.

    Here a is that a question's answer is right without contexts, and b that it is right with k of them, as in RULE
    (arXiv 2407.05131). A share of no questions at all, such as ``over_reliance`` where no answer is wrong, is None.

    Attributes
    ----------
    domain
        The domain that the questions were routed to.
    k
        Number of contexts.
    questions, patients
        How many questions were asked, and about how many patients.
    alone, with_contexts
        P(a) and P(b): accuracy without contexts and with k of them.
    over_reliance
        #(a ∧ ¬b) / #(¬b): of the answers that are wrong with contexts, the share that was right without them.
    harm
        P(¬b | a): of the answers that are right without contexts, the share that contexts made wrong.
    help
        P(b | ¬a): of the answers that are wrong without contexts, the share that contexts made right.
    net
        P(b) − P(a): by how much contexts raised accuracy.
    copying
        The copy-reference rate of MMed-RAG (arXiv 2410.13085): accuracy with k contexts, retrieved by the clean image,
        when the image that the model sees is noised. None where no noised images were asked about.
    blind
        Accuracy with a noised image and no contexts: what can be guessed from the question alone, to be read beside
        ``copying``. None where no noised images were asked about.
    majority
        Accuracy of always giving the commonest answer to the same question. None where nothing was learnt from.
    nearest
        Accuracy of copying the answer of the most similar case. None likewise.
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
    majority: Share | None
    nearest: Share | None


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
        The answers with every number of contexts. Where pairs are mined from the same outcomes, they should be of the
        ``prefer`` split.
    known
        Questions with answers that the baselines may use, those of the indexed split and none of the measured ones.
    k
        Number of contexts to measure at: one for all domains, or one for each by the domain's name.
    noised
        The answers to the same questions, with the same contexts, about noised images. Without them, ``copying`` and
        ``blind`` are not measured.
    seed
        Seed of the bootstrap's resampling.

    Returns
    -------
    list of Reliance
        One for each domain, by name.

    Raises
    ------
    InputError
        If k is more than the outcomes have or is missing for a domain, or the noised outcomes are of other questions.
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
        own_k = _k_of(k, domain, table.max_k)
        a, b = right[rows, 0], right[rows, own_k]
        shares = {name: means.of_those(*share) for name, share in leaning(a, b).items()}
        measured.append(
            Reliance(
                domain=domain,
                k=own_k,
                questions=len(rows),
                patients=len(set(means.patients.tolist())),
                alone=means.of(a),
                with_contexts=means.of(b),
                **shares,
                net=means.of(b.astype(np.float64) - a),
                copying=None if right_blind is None else means.of(right_blind[rows, own_k]),
                blind=None if right_blind is None else means.of(right_blind[rows, 0]),
                majority=means.of(np.array(majority)) if known else None,
                nearest=means.of(np.array(nearest)) if known else None,
            )
        )
    return measured


def format_reliance(measured: Sequence[Reliance]) -> str:
    """Write the measures as a plain table, one domain after the other."""
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
            (_LEARNT[0], m.majority),
            (_LEARNT[1], m.nearest),
        ):
            if share is None and name in _ONLY_WITH_NOISE and m.copying is None:
                continue
            missing = "no train split to learn from" if name in _LEARNT else "no such questions"
            shown = missing if share is None else _shown(share)
            lines.append(f"  {name:<28}{shown}")
    return "\n".join(lines)


def _shown(share: Share) -> str:
    return f"{share.value:>6.3f}   95 % interval {share.low:.3f} to {share.high:.3f}   n = {share.count}"


@dataclass(frozen=True, eq=False)
class _Means:
    """Means over n questions; the bootstrap resamples their patients, str [n]."""

    patients: NDArray[np.str_]
    seed: int

    def of(self, values: NDArray[np.bool_] | NDArray[np.float64]) -> Share:
        """The mean of the values [n]."""
        numbers = values.astype(np.float64)
        low, high = bootstrap_interval(numbers, self.patients.tolist(), seed=self.seed)
        return Share(float(numbers.mean()), low, high, len(numbers))

    def of_those(self, values: NDArray[np.bool_], among: NDArray[np.bool_]) -> Share | None:
        """The mean of the values [n] over the questions where ``among`` [n] is true; None where there are none."""
        return _Means(self.patients[among], self.seed).of(values[among]) if among.any() else None


def check_k(k: int, max_k: int) -> None:
    """Make sure that questions are answered with k contexts.

    Raises
    ------
    InputError
        If k is not one of 0 to ``max_k``.
    """
    if not 0 <= k <= max_k:
        raise InputError(f"k = {k} is outside the outcome table (0 to {max_k}); score the questions up to that k")


def _k_of(k: int | Mapping[str, int], domain: str, max_k: int) -> int:
    if isinstance(k, Mapping) and domain not in k:
        raise InputError(f"no k is given for {domain}; give one for each domain, or a single number")
    own = k[domain] if isinstance(k, Mapping) else k
    check_k(own, max_k)
    return own
