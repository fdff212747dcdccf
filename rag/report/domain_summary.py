"""What a calibration report shows of each domain: read again from the outcomes, and checked against the certificate."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration import (
    Certificate,
    DomainResult,
    HypothesisFamily,
    OutcomeTable,
    Policy,
    PolicyGrid,
    UnitMeans,
    preferred,
)
from titrate import InputError, hash_patient

MMED_RAG_GAMMA = math.log(1.5)
"""MMed-RAG's cut where none was tested: it stops where the similarity S falls by more than a third."""

_COUNTS_AT_ONCE = 4_000_000
_REMEDY = "give the outcome table that the certificate was computed from"


@dataclass(frozen=True)
class Measured:
    """One policy on the patients tested.

    Attributes
    ----------
    policy
        The policy.
    risk, low, high
        Mean loss of the answers given, over patients, and its 95 % interval from the bootstrap over patients.
    coverage
        Share of questions answered, mean over patients.
    contexts
        Contexts read, mean over patients.
    certified
        None if the policy was not tested.
    """

    policy: Policy
    risk: float
    low: float
    high: float
    coverage: float
    contexts: float
    certified: bool | None


@dataclass(frozen=True, eq=False)
class DomainSummary:
    """One domain of a certificate.

    Attributes
    ----------
    name, result
        As in the certificate.
    measured
        Every policy tried and, where there are similarities, MMed-RAG's cut.
    cut
        The ratio cut worth showing: the one chosen, or else the best of those tried. None if none was tried.
    cut_counts
        How many questions got 0, 1, …, K contexts under it.
    """

    name: str
    result: DomainResult
    measured: Mapping[Policy, Measured]
    cut: Policy | None
    cut_counts: tuple[int, ...]

    @property
    def shown(self) -> Measured:
        """The policy chosen, or the best where nothing is certified."""
        return self.measured[self.result.policy or self.result.best_policy]

    @property
    def least_error(self) -> Measured:
        """The fixed k of least measured risk, without a test: what RULE (arXiv 2407.05131) does in practice."""
        return min(self.by_k(math.inf, 0.0), key=lambda one: (round(one.risk, 12), one.policy.k))

    @property
    def mmed_rag(self) -> Measured | None:
        """MMed-RAG's cut at its usual ratio, None without similarities or where no cut can tell."""
        return self.measured.get(Policy(self.result.max_k, MMED_RAG_GAMMA))

    def by_k(self, gamma: float, tau: float) -> list[Measured]:
        """The policies k = 0..K of one cut and threshold; the first two know no cut."""
        return [self.measured[Policy(k, gamma if k > 1 else math.inf, tau)] for k in range(self.result.max_k + 1)]

    def by_tau(self) -> list[Measured]:
        """The policies of every threshold, with the k and the cut of `shown`."""
        policy = self.shown.policy
        return [self.measured[Policy(policy.k, policy.gamma, tau)] for tau in (0.0, *self.result.taus)]


def summarise(certificate: Certificate, table: OutcomeTable) -> list[DomainSummary]:
    """Summarise each domain, sorted by name.

    Raises
    ------
    InputError
        If the table is not the one that the certificate was computed from.
    """
    known = set(certificate.patient_hashes)
    if set(table.domains) != set(certificate.domains) or any(
        hash_patient(unit) not in known for unit in set(table.units)
    ):
        raise InputError(f"the outcomes are of other domains or patients than the certificate's; {_REMEDY}")
    return [_summarise(certificate, name, table.select(name)) for name in sorted(certificate.domains)]


def risk_intervals(
    errors: NDArray[np.float64], answered: NDArray[np.float64], *, seed: int = 0, rounds: int = 2000
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % percentile intervals of sum(errors) / sum(answered), patients drawn with replacement.

    The same draws as `rag.evaluation.metrics.bootstrap_interval`, for all policies at once.

    Parameters
    ----------
    errors, answered
        l A and A, ``[patients, policies]``.
    seed
        Of the draws.
    rounds
        How many.

    Returns
    -------
    low, high
        ``[policies]``; a draw without an answer counts as risk 1, as in `calibration.DomainResult`.
    """
    rng, n = np.random.default_rng(seed), len(errors)
    risks = []
    for start in range(0, rounds, step := max(1, _COUNTS_AT_ONCE // n)):
        size = min(step, rounds - start)
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
        total = counts @ answered
        risks.append(np.divide(counts @ errors, total, out=np.ones_like(total), where=total > 0))
    low, high = np.quantile(np.vstack(risks), [0.025, 0.975], axis=0)
    return low, high


def _summarise(certificate: Certificate, name: str, part: OutcomeTable) -> DomainSummary:
    result = certificate.domains[name]
    part = _tested(certificate, name, part)
    measured = _measure(certificate, name, part, result.grid)
    risks = [one.risk for one in measured.values()]
    if len(part.question_ids) != result.n_questions or not np.allclose(risks, result.risks, rtol=0, atol=1e-9):
        raise InputError(f"the outcomes in {name} are not what the certificate says; {_REMEDY}")
    if part.similarities is not None and result.max_k > 1:
        measured = _measure(certificate, name, part, PolicyGrid(result.max_k, (MMED_RAG_GAMMA,))) | measured
    cut = _cut(result)
    counts: Sequence[int] = ()
    if cut is not None:
        grid = PolicyGrid(result.max_k, (cut.gamma,))
        read = grid.read(part).contexts[:, grid.policies.index(Policy(cut.k, cut.gamma))]
        counts = np.bincount(read, minlength=result.max_k + 1).tolist()
    return DomainSummary(name, result, measured, cut, tuple(counts))


def _tested(certificate: Certificate, name: str, part: OutcomeTable) -> OutcomeTable:
    """The rows of the patients tested: all of them, or the first of those planned where the tests ended early."""
    result, names = certificate.domains[name], sorted(set(part.units))
    if len(names) == result.n_units:
        return part
    if len(names) != result.planned_units:
        raise InputError(f"{len(names)} patients in {name}, the certificate tested {result.n_units}; {_REMEDY}")
    family = HypothesisFamily(certificate.alpha, certificate.delta, result.grid, [name], certificate.seed)
    tested = {names[place] for place in family.order(len(names))[: result.n_units]}
    return part.take([row for row, unit in enumerate(part.units) if unit in tested])


def _measure(certificate: Certificate, name: str, part: OutcomeTable, grid: PolicyGrid) -> dict[Policy, Measured]:
    result = certificate.domains[name]
    evidence = UnitMeans.read(part, grid, certificate.alpha)
    answered = evidence.answered.sum(axis=0)
    risks = np.divide(evidence.errors.sum(axis=0), answered, out=np.ones_like(answered), where=answered > 0)
    intervals = risk_intervals(evidence.errors, evidence.answered, seed=certificate.seed)
    coverages, contexts = evidence.answered.mean(axis=0), evidence.contexts.mean(axis=0)
    verdicts = {policy: number in result.certified for number, policy in enumerate(result.grid.policies)}
    # Rounded, so that nothing shown depends on the order in which a machine adds up.
    columns = np.round(np.column_stack([risks, *intervals, coverages, contexts]), 12).tolist()
    return {
        policy: Measured(policy, risk, low, high, coverage, read, verdicts.get(policy))
        for policy, (risk, low, high, coverage, read) in zip(grid.policies, columns, strict=True)
    }


def _cut(result: DomainResult) -> Policy | None:
    policies = result.grid.policies
    shown = result.policy or result.best_policy
    cuts = [number for number, policy in enumerate(policies) if not math.isinf(policy.gamma)]
    if not cuts or not math.isinf(shown.gamma):
        return shown if cuts else None
    return policies[preferred(result, [number for number in cuts if number in result.certified] or cuts)]
