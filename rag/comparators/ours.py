"""What this project does: a certified policy, of k alone or with blends and gates, and answers to the surest only."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration import (
    BLENDS,
    FINGERPRINTS,
    OutcomeTable,
    Policy,
    PolicyGrid,
    certify,
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
_FINGERPRINTS = dict.fromkeys(FINGERPRINTS, "not kept")  # the certificate is read here and thrown away


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
        certificate = certify(
            calibrate,
            alpha=self.alpha,
            delta=self.delta,
            fingerprints=_FINGERPRINTS,
            procedure=procedure,
            p_value=p_value,
            blends=BLENDS if self.combined else (),
            gates=GATES if self.combined else (),
            prior_outcomes=prefer,
        )
        found = {}
        for domain, result in certificate.domains.items():
            policy = result.policy
            told = f"nothing certified at {self.alpha:g}: answers nothing" if policy is None else policy_name(policy)
            found[domain] = Choice(told, policy, policy is not None)
        return found


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
        domains = sorted(set(prefer.domains))
        found = {}
        for domain in domains:
            policy = self._surest(prefer.select(domain))
            told = f"{policy_name(policy)}, fixed on prefer"
            if calibrate is None or domain not in calibrate.domains:
                found[domain] = Choice(f"{told}, not tested", policy)
                continue
            passed = _passes(policy, calibrate.select(domain), self.alpha, self.delta / len(domains))
            promise = f"certified at {self.alpha:g}" if passed else f"not certified at {self.alpha:g}"
            found[domain] = Choice(f"{told}, {promise}", policy, passed)
        return found

    def _surest(self, prefer: OutcomeTable) -> Policy:
        tried = []
        for policy in PolicyGrid(prefer.max_k, blends=BLENDS, gates=GATES).policies:
            confidences = np.sort(read_policy(policy, prefer).confidences)[::-1]
            tau = float(confidences[math.ceil(self.coverage * len(confidences) - 1e-9) - 1])
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
