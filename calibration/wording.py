"""What a certificate promises, in one plain English sentence a domain."""

import math

from calibration.policies import Policy
from calibration.results import DomainResult


def promise_sentence(
    domain: str, result: DomainResult, alpha: float, delta: float, unit: str, declined: int, *, goes_on: bool = True
) -> str:
    """Say in one sentence what is promised for a domain, or why nothing is and what might help.

    Parameters
    ----------
    domain, result
        Its name, and what was found there.
    alpha, delta, unit, declined
        As in `calibration.Certificate`.
    goes_on
        Whether the tests may go on with new units; else those have to be calibrated by themselves.
    """
    row = result.chosen or result.best(alpha)
    where = f"In {domain} (images routed there and not declined; {_declined(declined)})"
    promise = f"the mean error over {plural(unit)} is at most {_percent(alpha)}"
    if row.policy.tau > 0:  # E[l A] / E[A]
        promise = (
            f"the mean error in answers given, over {plural(unit)}, is at most {_percent(alpha)} of the mean share of "
            "questions answered"
        )
    confidence = f"with {_percent(1 - delta)} confidence"
    measured = f"{row.risk:.1%} over {result.n_units} {unit if result.n_units == 1 else plural(unit)}"
    if result.chosen is not None:
        return (
            f"{where}, the model answers from {_sources(row.policy)}{_condition(row.policy, row.coverage)}: "
            f"{confidence}, {promise} (measured: {measured})."
        )
    if result.further_units is None:
        hope = f"more {plural(unit)} like these would not help: allow a higher alpha or improve the model"
    else:
        new = "more" if goes_on else "other"
        hope = f"about {result.further_units} {new} {plural(unit)} like these would be enough with a chance of 80%"
    grid = result.grid
    tried = "policy" if grid.gammas or grid.taus or grid.blends or grid.gates else "number of reports k"
    return (
        f"{where}, nothing is certified: no {tried} shows {confidence} that {promise} "
        f"(the best, {_short(row.policy)}, measured {measured}, p = {row.p_value:.2g}); {hope}."
    )


def plural(noun: str) -> str:
    """More than one of a kind of unit."""
    return "studies" if noun == "study" else f"{noun}s"


def _declined(questions: int) -> str:
    if questions == 0:
        return "no question was"
    return "1 question was" if questions == 1 else f"{questions} questions were"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.6g}%"


def _sources(policy: Policy) -> str:
    if policy.k == 0:
        return "the image alone (no reports)"
    if policy.blend == "all":
        return f"the mean of its answers with the reports of 0 to {policy.k} similar cases"
    if policy.k == 1:
        reports = "the image and the report of the most similar case"
    else:
        reports = f"the image and the reports of the {policy.k} most similar cases"
    if policy.blend == "pair":
        return f"the mean of its answers from the image alone and from {reports}"
    if not math.isinf(policy.gate):
        return f"the image alone where its confidence is then at least {policy.gate:g}, and elsewhere from {reports}"
    if math.isinf(policy.gamma):
        return reports
    return f"{reports}, fewer where similarity falls to less than {math.exp(-policy.gamma):.0%} of the case before"


def _condition(policy: Policy, coverage: float) -> str:
    if policy.tau == 0:
        return ""
    return f", and only where its confidence is at least {policy.tau:g} ({coverage:.0%} of the questions)"


def _short(policy: Policy) -> str:
    cut = "" if math.isinf(policy.gamma) else f", gamma = {policy.gamma:g}"
    cut += "" if policy.blend == "none" else f", blend {policy.blend}"
    cut += "" if math.isinf(policy.gate) else f", gate = {policy.gate:g}"
    return f"k = {policy.k}{cut}" + (f", tau = {policy.tau:g}" if policy.tau else "")
