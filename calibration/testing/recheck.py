"""What must hold between the numbers of a certificate: what it claims is found again from what it says was seen.

Whoever edits a certificate can also make its digest fit. What is certified, however, follows from the p-values (or the
capital), the shares of delta and the procedure, and a p-value from so many patients can be only so small. None of this
makes a certificate true: that takes a signature, or the outcomes.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import numpy as np

from calibration.checks import BoolArray, FloatArray, check_level
from calibration.coverage import QuestionKind, SourceRisk, sources_problem
from calibration.results import DomainResult, PolicyResult
from calibration.testing.betting import MAX_BET
from calibration.testing.prior import PRIORS
from calibration.testing.procedures import (
    PROCEDURES,
    certify_by_p_values,
    closed_betting_moments,
    neighbour_transitions,
)
from calibration.testing.pvalues import ANYTIME, P_VALUES, binomial_tail, hoeffding_bentkus_bound
from titrate import InputError

UNITS = ("patient", "study", "image", "case")
"""What may count as one independent observation."""

_ROUNDING = 1e-6
_OTHER_MACHINE = 1e-9
"""By how much the same sums may differ on another machine, as a share."""
_MOST_UNITS = 10**8
_HASH = frozenset("0123456789abcdef")


class Claims(Protocol):
    """What of a `calibration.Certificate` is checked."""

    @property
    def alpha(self) -> float: ...  # noqa: D102

    @property
    def delta(self) -> float: ...  # noqa: D102

    @property
    def spent(self) -> float: ...  # noqa: D102

    @property
    def unit(self) -> str: ...  # noqa: D102

    @property
    def p_value(self) -> str: ...  # noqa: D102

    @property
    def procedure(self) -> str: ...  # noqa: D102

    @property
    def created(self) -> str: ...  # noqa: D102

    @property
    def domains(self) -> Mapping[str, DomainResult]: ...  # noqa: D102

    @property
    def prior(self) -> str: ...  # noqa: D102

    @property
    def prior_table(self) -> str | None: ...  # noqa: D102

    @property
    def sequential(self) -> bool: ...  # noqa: D102

    @property
    def rounds(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def questions(self) -> Mapping[str, tuple[QuestionKind, ...]]: ...  # noqa: D102

    @property
    def sources(self) -> Mapping[str, tuple[SourceRisk, ...]]: ...  # noqa: D102


def contradiction(certificate: Claims) -> str | None:
    """What in a certificate of no more than `MOST_POLICIES` cannot be so, in a few words; None if nothing is found."""
    domains = list(certificate.domains.values())
    problem = _names(certificate) or _patients(certificate)
    if problem:
        return problem
    for name, rows in certificate.sources.items():
        problem = sources_problem(rows, certificate.domains[name]) if name in certificate.domains else "no domain"
        if problem:
            return f"sources: {name}: {problem}"
    for name, result in certificate.domains.items():
        for number, row in enumerate(result.policies, start=1):
            problem = _measured(row, certificate.alpha) or _too_sure(certificate, result, row)
            if problem:
                return f"domain {name}, policy {number}: {problem}"
        problem = _early(certificate, result) or _kinds(result, certificate.questions.get(name, ()))
        if problem:
            return f"domain {name}: {problem}"
    if abs(sum(row.weight for result in domains for row in result.policies) - 1) > _ROUNDING:
        return "the weights of all policies of all domains do not add up to 1"
    return _shares(certificate, domains) or _certified(certificate, domains)


def _names(certificate: Claims) -> str | None:
    if certificate.spent >= certificate.delta:
        return "spent leaves nothing of delta"
    try:
        check_level("alpha", certificate.alpha)
        check_level("delta", certificate.delta - certificate.spent)
    except InputError:
        return "alpha and delta are not between 0 and 1"
    if certificate.unit not in UNITS:
        return f"unit is none of {', '.join(UNITS)}"
    if certificate.procedure not in PROCEDURES or certificate.p_value not in P_VALUES:
        return f"procedure is none of {', '.join(PROCEDURES)}, or p_value none of {', '.join(P_VALUES)}"
    wrong = certificate.p_value != ("wsr" if certificate.sequential else "star")
    if wrong and (certificate.sequential or certificate.procedure == "closed-e"):
        return "procedure, p_value and sequential do not go together"
    if certificate.sequential and certificate.procedure == "closed-e":
        return "procedure, p_value and sequential do not go together"
    uniform = certificate.prior == "uniform"
    if certificate.prior not in PRIORS or uniform != (certificate.prior_table is None):
        return "prior and prior_table do not go together"
    if not uniform and certificate.procedure not in ("closed-e", "sgt"):
        return f"{certificate.procedure} takes no prior"
    try:
        zone = datetime.fromisoformat(certificate.created).tzinfo
    except ValueError:
        return "created is not a time in ISO 8601"
    return "created names no time zone" if zone is None else None


def _patients(certificate: Claims) -> str | None:
    domains, patients = certificate.domains.values(), sum(certificate.rounds)
    planned = [result.planned_units for result in domains]
    if not planned:
        return "domains is empty"
    if not max(planned) <= patients <= min(sum(planned), _MOST_UNITS):  # one patient may be in several domains
        return "rounds do not add up to the patients of the domains"
    if len(certificate.rounds) > 1 and (certificate.sequential or certificate.p_value not in ANYTIME):
        return "it has several rounds, which these tests do not allow"
    if any(result.n_questions < result.n_units or result.planned_questions > _MOST_UNITS for result in domains):
        return "n_questions are fewer than n_units, or too many"
    if len({tuple(row.policy for row in result.policies) for result in domains}) > 1:
        return "policies differ from domain to domain"
    unknown = certificate.questions.keys() - certificate.domains.keys()
    return f"questions of {min(unknown)}, which is no domain" if unknown else None


def _measured(row: PolicyResult, alpha: float) -> str | None:
    policy, mean = row.policy, _mean(row, alpha)
    if row.contexts > policy.k + _ROUNDING:
        return "contexts are more than k"
    if policy.tau == 0 and row.coverage < 1 - _OTHER_MACHINE:
        return "coverage is below 1 without a threshold"
    if row.coverage == 0 and row.risk != 1:
        return "risk is not 1 although nothing is answered"
    if row.deviation**2 > mean * (1 - mean) + _ROUNDING:
        return "deviation is larger than such a risk allows"
    return "certified although its measured risk is above alpha" if row.certified and not row.keeps(alpha) else None


def _mean(row: PolicyResult, alpha: float) -> float:
    """The measured mean of alpha + (l - alpha) A, which is tested."""
    return min(max(alpha + row.coverage * (row.risk - alpha), 0.0), 1.0)


def _too_sure(certificate: Claims, result: DomainResult, row: PolicyResult) -> str | None:
    """A p-value that so many patients with such a risk cannot have given."""
    n, alpha = result.n_units, certificate.alpha
    total = n * _mean(row, alpha)
    if certificate.p_value == "binomial":
        right = abs(total - round(total)) < n * _OTHER_MACHINE + _ROUNDING and math.isclose(
            row.p_value, float(binomial_tail(round(total), n, alpha)), rel_tol=_ROUNDING, abs_tol=1e-300
        )
        return None if right else "p_value is not that of such a risk"
    if certificate.p_value == "hoeffding-bentkus":
        low, high = hoeffding_bentkus_bound(np.array([total - _ROUNDING, total + _ROUNDING]), n, alpha)
        right = low * (1 - _ROUNDING) <= row.p_value <= high * (1 + _ROUNDING)
        return None if right else "p_value is not that of such a risk"
    most = n * math.log1p(MAX_BET * alpha / (1 - alpha)) + _ROUNDING
    told = max(-math.log(row.p_value) if row.p_value > 0 else 0.0, 0.0)
    if told > most or (row.p_value == 0 and most < _LOG_OF_LEAST):
        return "p_value is smaller than so few patients can show"
    return None


_LOG_OF_LEAST = 745.0
"""exp(-x) is 0 from here on."""


def _early(certificate: Claims, result: DomainResult) -> str | None:
    early = result.planned_units > result.n_units
    if early != (result.stopped != "all") or (early and not certificate.sequential):
        return "stopped does not go with the patients tested"
    if not early and result.planned_questions != result.n_questions:
        return "planned_questions are not those tested, though all patients were"
    if early and (result.stopped == "certified") != bool(result.certified):
        return "stopped does not go with what is certified"
    if result.log_capitals and certificate.procedure != "closed-e":
        return f"log_capitals are given, which {certificate.procedure} does not test by"
    # One moment certifies one policy or more.
    if len(result.log_capitals) > len(result.policies):
        return "log_capitals are of more moments than there are policies"
    least = [-math.log(row.p_value) if row.p_value > 0 else math.inf for row in result.policies]
    if any(log > most + _ROUNDING for moment in result.log_capitals for log, most in zip(moment, least, strict=True)):
        return "log_capitals are above what p_value allows"
    return None


def _kinds(result: DomainResult, kinds: Sequence[QuestionKind]) -> str | None:
    for kind in kinds:
        if kind.units > result.n_units or not 0 < len(kind.wordings) <= result.n_questions:
            return "questions are of more patients, or more wordings, than were tested"
        if list(kind.wordings) != sorted(set(kind.wordings)):
            return "wordings are not sorted, or come twice"
        if any(len(wording) != 64 or not _HASH.issuperset(wording) for wording in kind.wordings):
            return "wordings are not hashes"
        if kind.options is not None and list(kind.options) != sorted(kind.options):
            return "options are not sorted"
    if len({kind.options for kind in kinds}) < len(kinds):
        return "questions with the same options come twice"
    return None


def _shares(certificate: Claims, domains: Sequence[DomainResult]) -> str | None:
    weights = _weights(domains)
    if not bool(np.all(weights > 0)):
        return "a weight is 0"
    if certificate.prior == "uniform" and not np.allclose(weights, 1 / weights.size, rtol=_ROUNDING, atol=0):
        return "weights differ although prior is uniform"
    return None


def _certified(certificate: Claims, domains: Sequence[DomainResult]) -> str | None:
    told = np.array([[row.certified for row in result.policies] for result in domains])
    kept = np.array([[row.keeps(certificate.alpha) for row in result.policies] for result in domains])
    least, most = _certified_again(certificate, domains)
    if bool(np.any((least & kept) & ~told) or np.any(told & ~most)):
        return "certified is not what p_value, weight, log_capitals and procedure give"
    return None


def _certified_again(certificate: Claims, domains: Sequence[DomainResult]) -> tuple[BoolArray, BoolArray]:
    """What the procedure certifies, ``[domains, policies]``: surely, and if sums came out a little larger."""
    weights, delta = _weights(domains), certificate.delta - certificate.spent
    if certificate.procedure == "closed-e":
        weights = weights / weights.sum()
        capitals = [np.array(result.log_capitals).reshape(-1, weights.shape[1]) for result in domains]
        least, most = (
            closed_betting_moments(capitals, delta, weights, slack)[0] for slack in (-_OTHER_MACHINE, _OTHER_MACHINE)
        )
        return least, most
    p_values = np.array([[row.p_value for row in result.policies] for result in domains])

    def transitions() -> FloatArray:
        return neighbour_transitions(domains[0].grid.neighbours, *weights.shape)

    weights = weights / max(weights.sum(), 1.0)
    least, most = (
        certify_by_p_values(certificate.procedure, p_values * (1 + more), delta, weights, transitions)
        for more in (_OTHER_MACHINE, -_OTHER_MACHINE)
    )
    return least, most


def _weights(domains: Sequence[DomainResult]) -> FloatArray:
    return np.array([[row.weight for row in result.policies] for result in domains])
