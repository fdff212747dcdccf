"""What this project does: a certified policy, of k alone or with blends and gates, and answers to the surest only."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from calibration import (
    BLENDS,
    HypothesisFamily,
    OutcomeTable,
    Policy,
    PolicyGrid,
    choose_policies,
    choose_tests,
    mean_per_unit,
    order_of_testing,
    read_policy,
    star_p_value,
)
from rag.comparators.base import Answered, ByPolicy, Choice, Comparator, Trial
from rag.outcomes.calibrate import GATES
from rag.report.words import policy_name
from titrate import InputError

CERTIFIED_K, CERTIFIED_BLEND = "certified k", "certified k, blend or gate"
_NO_OUTCOMES = "not available: no outcomes of other patients to calibrate with"


@dataclass(frozen=True)
class CertifiedPolicy(ByPolicy):
    """The policy that `titrate calibrate` certifies, all domains together at level delta; else nothing is answered.

    Parameters
    ----------
    alpha, delta
        Of the promise.
    combined
        Try blends and gates besides k = 0..K, as `titrate calibrate` does.
    """

    alpha: float
    delta: float
    combined: bool = True

    @property
    def name(self) -> str:
        """Which of the two it is."""
        return CERTIFIED_BLEND if self.combined else CERTIFIED_K

    def choose(self, calibrate: OutcomeTable | None, prefer: OutcomeTable | None) -> Mapping[str, Choice]:
        """What is certified in each domain; `prefer`, where there is one, says where that is likely."""
        if calibrate is None:
            raise InputError(_NO_OUTCOMES)
        each = Counter(zip(calibrate.domains, calibrate.units, strict=True))
        single = max(each.values()) == 1 and bool(np.isin(calibrate.losses, (0, 1)).all())
        procedure, p_value = choose_tests(None, None, sequential=False, single_closed=single)
        names = tuple(sorted(set(calibrate.domains)))
        family = _family(self, calibrate.max_k, names, procedure, p_value, prefer)
        found = {}
        for domain, policy in choose_policies(calibrate, family).items():
            told = f"nothing certified at {self.alpha:g}: answers nothing" if policy is None else policy_name(policy)
            found[domain] = Choice(told, policy, policy is not None)
        return found


@lru_cache(maxsize=4)
def _family(
    comparator: CertifiedPolicy,
    max_k: int,
    domains: tuple[str, ...],
    procedure: str,
    p_value: str,
    prefer: OutcomeTable | None,
) -> HypothesisFamily:
    """What `titrate calibrate` tests; kept, since learning the prior takes most of the time on resampled patients."""
    combined = comparator.combined
    grid = PolicyGrid(max_k, blends=BLENDS if combined else (), gates=GATES if combined else ())
    return HypothesisFamily(comparator.alpha, comparator.delta, grid, domains, procedure, p_value, prefer)


@dataclass(frozen=True)
class Selective(ByPolicy):
    """Answers to the surest questions only: the policy and its threshold are fixed on `prefer`, then tested once.

    On `prefer`, each policy gets the threshold with which it answers the share wanted there, and the one is taken whose
    answers have the least risk, of equals the first. Then it alone is tested on `calibrate`, in each domain at an even
    share of delta, by the selective risk E[l A] / P(A) over patients (docs/methods.md, section 4). Where the test fails
    it answers all the same, and promises nothing.

    Parameters
    ----------
    coverage
        Share of the questions to answer, in (0, 1].
    alpha, delta
        Of the promise.
    """

    coverage: float
    alpha: float
    delta: float

    @property
    def name(self) -> str:
        """Says the coverage."""
        return f"the surest {self.coverage:.0%}"

    def choose(self, calibrate: OutcomeTable | None, prefer: OutcomeTable | None) -> Mapping[str, Choice]:
        """Policy and threshold in each domain of `prefer`."""
        if prefer is None:
            raise InputError("not available: no outcomes of the split prefer to fix a threshold on")
        fixed = _fixed(self, prefer)
        found = {}
        for domain, policy in fixed.items():
            told = f"{policy_name(policy)}, fixed on prefer"
            if calibrate is None or domain not in calibrate.domains:
                found[domain] = Choice(f"{told}, not tested", policy)
                continue
            passed = _passes(policy, calibrate.select(domain), self.alpha, self.delta / len(fixed))
            promise = f"certified at {self.alpha:g}" if passed else f"not certified at {self.alpha:g}"
            found[domain] = Choice(f"{told}, {promise}", policy, passed)
        return found


@lru_cache(maxsize=8)
def _fixed(comparator: Selective, prefer: OutcomeTable) -> dict[str, Policy]:
    """By domain, what `prefer` settles; kept, as it is the same for all resampled patients."""
    return {domain: _surest(comparator.coverage, prefer.select(domain)) for domain in sorted(set(prefer.domains))}


def _surest(coverage: float, prefer: OutcomeTable) -> Policy:
    tried = []
    for policy in PolicyGrid(prefer.max_k, blends=BLENDS, gates=GATES).policies:
        confidences = np.sort(read_policy(policy, prefer).confidences)[::-1]
        tau = float(confidences[math.ceil(coverage * len(confidences) - 1e-9) - 1])
        tried.append(replace(policy, tau=tau))
    return min(tried, key=lambda policy: round(_selective_risk(policy, prefer), 12))


def _per_unit(policy: Policy, table: OutcomeTable, alpha: float) -> tuple[NDArray[np.float64], list[str]]:
    """Means over each unit's questions of l A, of A, and of alpha + (l - alpha) A, ``[units, 3]``, and the names."""
    reading = read_policy(policy, table)
    answered = reading.answered.astype(np.float64)
    lost = reading.losses * answered
    return mean_per_unit(np.stack([lost, answered, alpha + lost - alpha * answered], axis=1), table.units)


def _selective_risk(policy: Policy, table: OutcomeTable) -> float:
    lost, answered, _ = _per_unit(policy, table, 0.0)[0].mean(axis=0)
    return float(lost / answered) if answered else 1.0


def _passes(policy: Policy, table: OutcomeTable, alpha: float, delta: float) -> bool:
    """Whether the selective risk is at most alpha by a test at level delta, and measured to be so."""
    means, names = _per_unit(policy, table, alpha)
    order = order_of_testing(names)
    p_value = float(star_p_value(means[order, 2:], alpha, delta)[0])
    return p_value <= delta and _selective_risk(policy, table) <= alpha


@dataclass(frozen=True, eq=False)
class AfterTraining:
    """A comparator with the outcomes of another model: after preference training, say.

    Parameters
    ----------
    comparator
        What is done with them.
    tuned
        The other model's outcomes of the same questions.
    """

    comparator: Comparator
    tuned: Trial

    @property
    def name(self) -> str:
        """Says that training came before."""
        return f"{self.comparator.name} + DPO"

    def answer(self, trial: Trial) -> Answered:
        """Answer by the other model.

        Raises
        ------
        InputError
            If it was asked other questions.
        """
        if [question.id for question in self.tuned.judged.questions] != [q.id for q in trial.judged.questions]:
            raise InputError("the trained model was asked other questions than the first; score the same ones")
        return replace(self.comparator.answer(self.tuned), comparator=self.name)
