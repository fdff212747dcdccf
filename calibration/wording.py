"""A certificate in plain English."""

import math

from calibration.policies import Policy
from calibration.results import DomainResult


def promise_sentence(domain: str, result: DomainResult, alpha: float, delta: float, unit: str) -> str:
    """Say in one sentence what is promised for a domain, or why nothing is and what might help."""
    policy = result.policy or result.best_policy
    number = result.best if result.chosen is None else result.chosen
    assert number is not None  # a result without a best policy cannot be built
    among = "" if policy.tau == 0 else ", among the answers given,"
    promise = f"the average error per {unit}{among} is at most {_percent(alpha)}"
    confidence = f"with {_percent(1 - delta)} confidence"
    measured = f"{result.risks[number]:.1%} over {result.n_units} {unit}{'' if result.n_units == 1 else 's'}"
    if result.policy is not None:
        given = ""
        if policy.tau > 0:
            share = result.coverages[number]
            given = f" and are given where the confidence is at least {policy.tau:g} ({share:.0%} of questions)"
        return f"In {domain}, answers read {_reports(policy)}{given}: {confidence}, {promise} (measured: {measured})."
    if result.units_needed is None:
        hope = "more of the same would not help: allow a higher alpha or improve the model"
    else:
        hope = f"about {result.units_needed - result.n_units} more would be needed"
    tried = "policy" if result.gammas or result.taus else "k"
    return (
        f"In {domain}, nothing is certified: no {tried} shows {confidence} that {promise} "
        f"(the best, {_short(policy)}, measured {measured}, p = {result.p_values[number]:.2g}); {hope}."
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.6g}%"


def _reports(policy: Policy) -> str:
    if policy.k == 0:
        return "no reports"
    reports = "the most similar report" if policy.k == 1 else f"the {policy.k} most similar reports"
    if math.isinf(policy.gamma):
        return reports
    return (
        f"up to {reports}, fewer where similarity falls to less than {math.exp(-policy.gamma):.0%} of the one before,"
    )


def _short(policy: Policy) -> str:
    cut = "" if math.isinf(policy.gamma) else f", gamma = {policy.gamma:g}"
    return f"k = {policy.k}{cut}" + (f", tau = {policy.tau:g}" if policy.tau else "")
