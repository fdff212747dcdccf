"""What a calibration report shows of each domain: the certificate's rows, and what only the outcomes can tell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration import (
    Certificate,
    DomainResult,
    MeasuredPolicy,
    OutcomeTable,
    Policy,
    PolicyGrid,
    PolicyResult,
    SourceRisk,
    measure_policies,
)
from titrate import InputError

BoolArray = NDArray[np.bool_]

MMED_RAG_GAMMA = math.log(1.5)
"""MMed-RAG's cut where none was tested: it stops where the similarity S falls by more than a third."""

_REMEDY = "give the outcome table that the certificate was computed from"


@dataclass(frozen=True)
class Reliance:
    """How far one policy leans on what it reads (docs/methods.md, section 6); None of no questions.

    Attributes
    ----------
    over_reliance
        Of its wrong answers, the share that are right without contexts.
    harm
        Of the questions that are answered right without contexts, the share that it gets wrong.
    help
        Of those that are answered wrong without, the share that it gets right.
    """

    over_reliance: float | None
    harm: float | None
    help: float | None

    @property
    def shares(self) -> tuple[float | None, float | None, float | None]:
        """All three."""
        return self.over_reliance, self.harm, self.help


@dataclass(frozen=True, eq=False)
class DomainSummary:
    """One domain of a certificate.

    Attributes
    ----------
    name, result
        As in the certificate.
    shown
        The policy chosen, or the best where nothing is certified.
    mmed_rag
        MMed-RAG's cut at its usual ratio; None without similarities, or where no cut can change anything.
    cut
        The ratio cut worth showing: the one chosen, or else the best of those tried. None if none was tried.
    cut_counts
        How many questions got 0, 1, …, K contexts under it.
    reliance
        Of each of the result's policies.
    sources
        What `shown` did with the questions of each source; empty where they name none.
    """

    name: str
    result: DomainResult
    shown: PolicyResult
    mmed_rag: MeasuredPolicy | None
    cut: Policy | None
    cut_counts: tuple[int, ...]
    reliance: tuple[Reliance, ...]
    sources: tuple[SourceRisk, ...]

    @property
    def least_error(self) -> PolicyResult:
        """The fixed k of least measured risk, without a test: what RULE (arXiv 2407.05131) does in practice."""
        return min(self.by_k(math.inf, 0.0), key=lambda row: (round(row.risk, 12), row.policy.k))

    def by_k(self, gamma: float, tau: float) -> list[PolicyResult]:
        """The policies k = 0..K of one cut and threshold; with fewer than two contexts there is nothing to cut."""
        ks = range(self.result.grid.max_k + 1)
        return [self._row(Policy(k, gamma if k > 1 else math.inf, tau)) for k in ks]

    def by_tau(self) -> list[PolicyResult]:
        """The policies of every threshold, with the k and the cut of `shown`."""
        policy = self.shown.policy
        return [self._row(replace(policy, tau=tau)) for tau in (0.0, *self.result.grid.taus)]

    def _row(self, policy: Policy) -> PolicyResult:
        return self.result.policies[self.result.grid.policies.index(policy)]


def summarise(certificate: Certificate, table: OutcomeTable) -> list[DomainSummary]:
    """Summarise each domain, sorted by name.

    Raises
    ------
    InputError
        If the table is not the one that the certificate was computed from.
    """
    if set(table.domains) != set(certificate.domains):
        raise InputError(f"the outcomes are of other domains than the certificate's; {_REMEDY}")
    names = sorted(certificate.domains)
    parts = [certificate.tested_outcomes(name, table.select(name)) for name in names]
    summaries = [_summarise(certificate, *pair) for pair in zip(names, parts, strict=True)]
    if OutcomeTable.join(parts).fingerprint != certificate.outcomes:
        raise InputError(f"the outcomes are not those that the certificate was computed from; {_REMEDY}")
    return summaries


def _summarise(certificate: Certificate, name: str, part: OutcomeTable) -> DomainSummary:
    result = certificate.domains[name]
    measured = _measure(certificate, part, result.grid)
    certain, again = ([row.risk for row in rows] for rows in (result.policies, measured))
    if len(part.question_ids) != result.n_questions or not np.allclose(certain, again, rtol=0, atol=1e-9):
        raise InputError(f"the outcomes in {name} are not what the certificate says; {_REMEDY}")
    shown = result.chosen or result.best(certificate.alpha)
    cut = _cut(result, shown)
    counts: Sequence[int] = ()
    if cut is not None:
        grid = PolicyGrid(result.grid.max_k, (cut.gamma,))
        read = grid.read(part).contexts[:, grid.policies.index(Policy(cut.k, cut.gamma))]
        counts = np.bincount(read, minlength=grid.max_k + 1).tolist()
    mmed_rag = _mmed_rag(certificate, result, part)
    leaning = _reliance(result.grid.read(part).losses, part.losses[:, 0])
    sources = tuple(certificate.sources.get(name, ()))
    return DomainSummary(name, result, shown, mmed_rag, cut, tuple(counts), leaning, sources)


def _reliance(losses: NDArray[np.float64], losses_alone: NDArray[np.float64]) -> tuple[Reliance, ...]:
    """Of each policy, given losses ``[questions, policies]`` and those without contexts ``[questions]``."""
    right, alone = losses < 0.5, losses_alone < 0.5

    def share(of: BoolArray, among: BoolArray) -> float | None:
        return float(np.mean(of[among])) if among.any() else None

    return tuple(Reliance(share(alone, ~given), share(~given, alone), share(given, ~alone)) for given in right.T)


def _measure(certificate: Certificate, part: OutcomeTable, grid: PolicyGrid) -> Sequence[MeasuredPolicy]:
    return measure_policies(part, grid, alpha=certificate.alpha)


def _mmed_rag(certificate: Certificate, result: DomainResult, part: OutcomeTable) -> MeasuredPolicy | None:
    max_k = result.grid.max_k
    if part.similarities is None or max_k < 2:
        return None
    policy = Policy(max_k, MMED_RAG_GAMMA)
    if policy in result.grid.policies:
        return result.policies[result.grid.policies.index(policy)]
    grid = PolicyGrid(max_k, (MMED_RAG_GAMMA,))
    return _measure(certificate, part, grid)[grid.policies.index(policy)]


def _cut(result: DomainResult, shown: PolicyResult) -> Policy | None:
    cuts = [row for row in result.policies if not math.isinf(row.policy.gamma)]
    if not cuts or not math.isinf(shown.policy.gamma):
        return shown.policy if cuts else None
    return min([row for row in cuts if row.certified] or cuts, key=lambda row: row.rank).policy
