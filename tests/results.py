"""What calibration might have found in a domain, written down by hand."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from calibration import DomainResult, Policy, PolicyResult


def policy_result(policy: Policy, *, risk: float = 0.1, certified: bool, weight: float = 1.0) -> PolicyResult:
    """A policy that answers everything and finds all the contexts it asks for."""
    return PolicyResult(
        policy=policy,
        risk=risk,
        question_risk=risk,
        interval=(risk / 2, (1 + risk) / 2),
        coverage=1.0,
        contexts=float(policy.k),
        deviation=0.2,
        p_value=0.001 if certified else 0.9,
        weight=weight,
        certified=certified,
    )


def domain_result(risks: Sequence[float], certified: Collection[int] = (), *, units: int = 40) -> DomainResult:
    """Of k = 0, 1, … tried without cuts and thresholds, a question a patient, of which some k are certified."""
    return DomainResult(
        n_units=units,
        n_questions=units,
        planned_units=units,
        planned_questions=units,
        stopped="all",
        policies=tuple(
            policy_result(Policy(k), risk=risk, certified=k in certified, weight=1 / len(risks))
            for k, risk in enumerate(risks)
        ),
        further_units=None,
    )


def with_certified(result: DomainResult, numbers: Collection[int]) -> DomainResult:
    """The same measurements, with the policies of these numbers certified and no others."""
    rows = enumerate(result.policies)
    return replace(result, policies=tuple(replace(row, certified=number in numbers) for number, row in rows))


def numbers_certified(result: DomainResult) -> list[int]:
    """Numbers of the certified policies in the grid; without cuts and thresholds they are the k."""
    return [number for number, row in enumerate(result.policies) if row.certified]
