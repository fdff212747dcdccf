"""A certificate in plain English."""

from calibration.results import DomainResult


def promise_sentence(domain: str, result: DomainResult, alpha: float, delta: float, unit: str) -> str:
    """Say in one sentence what is promised for a domain, or why nothing is and what might help."""
    promise = f"the average error per {unit} is at most {_percent(alpha)}"
    confidence = f"with {_percent(1 - delta)} confidence"
    k = result.best_k if result.k is None else result.k
    measured = f"{result.risks[k]:.1%} over {result.n_units} {unit}{'' if result.n_units == 1 else 's'}"
    if result.k is not None:
        return f"In {domain}, answers read {_reports(k)}: {confidence}, {promise} (measured: {measured})."
    if result.units_needed is None:
        hope = "more of the same would not help: allow a higher alpha or improve the model"
    else:
        hope = f"about {result.units_needed - result.n_units} more would be needed"
    return (
        f"In {domain}, nothing is certified: no k shows {confidence} that {promise} "
        f"(the best, k = {k}, measured {measured}, p = {result.p_values[k]:.2g}); {hope}."
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.6g}%"


def _reports(k: int) -> str:
    if k == 0:
        return "no reports"
    return "the most similar report" if k == 1 else f"the {k} most similar reports"
