"""How delta is spread over domains and policies before the calibration outcomes are seen.

The prior decides how likely a certificate is, never whether it is true. That holds only while it knows nothing of the
calibration outcomes, so a table that shares a patient or a question with them is refused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.checks import FloatArray
from calibration.grid import PolicyGrid
from calibration.outcome_table import OutcomeTable
from calibration.units import mean_per_unit
from titrate import InputError

PRIORS = ("uniform", "prefer")
"""The names that a certificate may carry."""

_DRAWS = 1000
_UNIFORM_SHARE = 0.1
"""So that a policy that looked bad among the `prefer` patients can still be certified, and a wrong prior costs little:
a tenth of delta changes what is needed of the favourite by log(1/0.9) = 0.1 on the scale of log capital."""


@dataclass(frozen=True, eq=False)
class Prior:
    """How delta is shared: ``weights`` ``[domains, policies]``, adding up to 1, and where they came from.

    Parameters
    ----------
    kind
        ``"uniform"`` or ``"prefer"``.
    table
        `OutcomeTable.fingerprint` of the outcomes that it was learnt from, None if uniform.
    weights
        The shares, all above 0.
    """

    kind: str
    table: str | None
    weights: FloatArray


def uniform_prior(domains: int, policies: int) -> Prior:
    """Return the prior that gives every policy of every domain the same share."""
    return Prior("uniform", None, np.full((domains, policies), 1 / (domains * policies)))


def prefer_prior(prior_outcomes: OutcomeTable, grid: PolicyGrid, domains: Sequence[str], alpha: float) -> Prior:
    """Spread delta by how likely each policy is to be its domain's best, and good enough, given other outcomes.

    1000 times the patients of a domain are given random weights (the Bayesian bootstrap of Rubin 1981), and the policy
    whose margin under alpha is largest, in standard deviations of a patient, gets a vote if it has a margin at all.
    Nine tenths of delta are shared in proportion to the votes of all domains, the rest evenly. A domain that is
    hopeless thus leaves its share to the others; one that was never met gets its even share, evenly.

    Parameters
    ----------
    prior_outcomes
        Outcomes of patients who are not in the calibration table, as used for mining preferences.
    grid
        The policies.
    domains
        Those to calibrate.
    alpha
        The risk to promise.

    Raises
    ------
    InputError
        If the table holds too few contexts for the grid, or no similarities for its cuts.
    """
    size = len(grid.policies)
    votes = np.zeros((len(domains), size))
    for row, domain in enumerate(domains):
        if domain not in prior_outcomes.domains:
            votes[row] = _DRAWS / size
            continue
        part = prior_outcomes.select(domain)
        values, _ = mean_per_unit(grid.read(part).tested(alpha), part.units)
        draws = np.random.default_rng(0).exponential(size=(_DRAWS, len(values)))
        means = (draws / draws.sum(axis=1, keepdims=True)) @ values
        spread = np.sqrt((0.25 + ((values - values.mean(axis=0)) ** 2).sum(axis=0)) / (len(values) + 1))
        margins = np.round((alpha - means) / spread, 9)  # so that policies that read the same contexts tie
        best = margins.argmax(axis=1)
        votes[row] = np.bincount(best[margins.max(axis=1) > 0], minlength=size)
    even = uniform_prior(*votes.shape).weights
    informed = votes / votes.sum() if votes.any() else even
    return Prior("prefer", prior_outcomes.fingerprint, (1 - _UNIFORM_SHARE) * informed + _UNIFORM_SHARE * even)


def check_disjoint(units: Iterable[str], question_ids: Iterable[str], prior_outcomes: OutcomeTable) -> None:
    """Check that a prior's table shares neither patients nor questions with the calibration.

    Raises
    ------
    InputError
        Saying how many it shares.
    """
    for kind, ours, theirs in (
        ("patients", units, prior_outcomes.units),
        ("questions", question_ids, prior_outcomes.question_ids),
    ):
        shared = len(set(ours) & set(theirs))
        if shared:
            raise InputError(
                f"{shared} {kind} of the prior are in the calibration table too; take the prior from the prefer split"
            )
