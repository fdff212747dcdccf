"""The hypotheses that a calibration tests, and everything else that is fixed before its outcomes are seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from calibration.checks import BoolArray, FloatArray, check_level
from calibration.grid import PolicyGrid
from calibration.outcome_table import OutcomeTable
from calibration.testing.betting import star_log_capital
from calibration.testing.prior import Prior, prefer_prior, uniform_prior
from calibration.testing.procedures import (
    PROCEDURES,
    certify_by_p_values,
    closed_betting_moments,
    neighbour_transitions,
)
from calibration.testing.pvalues import P_VALUES, capital_p_value, wsr_p_value
from titrate import InputError

MOST_POLICIES = 5000
"""In all domains together: `sequential_graphical` takes a table of all pairs, of 200 MB then."""


def choose_tests(
    procedure: str | None, p_value: str | None, *, sequential: bool, single_closed: bool
) -> tuple[str, str]:
    """Return the procedure and the p-value to use, with those filled in that nobody named.

    Parameters
    ----------
    procedure, p_value
        Names in `PROCEDURES` and `P_VALUES`; None to choose.
    sequential
        Whether the tests are looked at as outcomes come in: then wsr, which does not hurry towards the end, and sgt.
    single_closed
        Whether every patient has one question in a domain, it has options, and every answer is given: then the exact
        binomial test has the most power, with sgt. Otherwise star, with closed-e.

    Raises
    ------
    InputError
        If what is named may not be looked at as outcomes come in.
    """
    if sequential and (p_value not in (None, "wsr") or procedure == "closed-e"):
        named = procedure if procedure == "closed-e" else f"p-values of {p_value}"
        raise InputError(f"{named} may be looked at at the end only; leave out --sequential, or take wsr with sgt")
    if sequential:
        return procedure or "sgt", "wsr"
    if procedure is None and p_value is None:
        return ("sgt", "binomial") if single_closed else ("closed-e", "star")
    if procedure is None:
        return "closed-e" if p_value == "star" else "sgt", str(p_value)
    return procedure, p_value or ("binomial" if single_closed and procedure != "closed-e" else "star")


@dataclass(frozen=True, eq=False)
class HypothesisFamily:
    """One hypothesis for each policy in each domain, "its risk is above alpha", all tested together.

    To reject a hypothesis is to certify the policy. With probability 1 - delta no true hypothesis is rejected.

    Parameters
    ----------
    alpha, delta
        The risk to promise, and the chance that the promise is false, over all domains together.
    grid
        The policies tried in every domain.
    domains
        Names of the domains, sorted. Rows of every array ``[domains, …]`` come in this order.
    procedure, p_value
        How hypotheses share delta, and how each is tested: names in `PROCEDURES` and `P_VALUES`. ``"closed-e"`` tests
        them together, by the capital of ``"star"``.
    prior_outcomes
        Outcomes of other patients, from which the prior is learnt; without them the prior is uniform.

    Raises
    ------
    InputError
        If a level or a name cannot be used, they do not go together, the procedure takes no prior, or there are more
        than `MOST_POLICIES`.
    """

    alpha: float
    delta: float
    grid: PolicyGrid
    domains: Sequence[str]
    procedure: str = "closed-e"
    p_value: str = "star"
    prior_outcomes: OutcomeTable | None = None

    def __post_init__(self) -> None:
        check_level("alpha", self.alpha)
        check_level("delta", self.delta)
        if len(self.domains) * self.grid.size > MOST_POLICIES:
            raise InputError(
                f"{self.grid.size} policies in each of {len(self.domains)} domains are more than {MOST_POLICIES}; try "
                "fewer contexts, cuts, blends, gates or thresholds"
            )
        for kind, name, known in (
            ("procedure", self.procedure, PROCEDURES),
            ("p-value", self.p_value, tuple(P_VALUES)),
        ):
            if name not in known:
                raise InputError(f"unknown {kind} {name}; it can be {', '.join(known)}")
        if self.procedure == "closed-e" and self.p_value != "star":
            raise InputError(f"closed-e tests by the capital of star, not by {self.p_value}; take star, or sgt")
        if self.prior_outcomes is not None and self.procedure not in ("closed-e", "sgt"):
            raise InputError(f"{self.procedure} takes no prior; use closed-e or sgt, or leave out the prior")

    @cached_property
    def prior(self) -> Prior:
        """How delta is shared among the hypotheses before any outcome is seen."""
        if self.prior_outcomes is None:
            return uniform_prior(len(self.domains), len(self.grid.policies))
        return prefer_prior(self.prior_outcomes, self.grid, self.domains, self.alpha)

    @cached_property
    def _transitions(self) -> FloatArray:
        return neighbour_transitions(self.grid.neighbours, len(self.domains), len(self.grid.policies))

    def test(
        self, values: Sequence[FloatArray], planned: Sequence[ArrayLike | None] | None = None
    ) -> tuple[FloatArray, BoolArray]:
        """Test everything, once all patients of all domains have been scored.

        Parameters
        ----------
        values
            Of each domain, `PolicyOutcomes.tested` averaged per unit, ``[units, policies]``, the units in the order of
            testing.
        planned
            Of each domain, for how many units the bets on each were planned; see `wsr_log_capital`.

        Returns
        -------
        p_values, certified
            Both ``[domains, policies]``. With ``"closed-e"`` the second does not follow from the first, which is what
            each policy's capital shows by itself.
        """
        p_values, certified, _ = self.test_and_keep(values, planned)
        return p_values, certified

    def test_and_keep(
        self, values: Sequence[FloatArray], planned: Sequence[ArrayLike | None] | None = None
    ) -> tuple[FloatArray, BoolArray, list[FloatArray]]:
        """`test`, and what ``certified`` can be found again from besides the p-values.

        Returns
        -------
        p_values, certified
            As `test`.
        log_capitals
            Of each domain with ``"closed-e"``, log K of every policy at the moments that certified one, ``[moments,
            policies]``; else of no moment.
        """
        plans = planned or [None] * len(values)
        if self.procedure == "closed-e":
            capitals = [self.log_capital(row, part, plans[row]) for row, part in enumerate(values)]
            p_values = np.stack([capital_p_value(capital) for capital in capitals])
            certified, moments = closed_betting_moments(capitals, self.delta, self.prior.weights)
            return p_values, certified, [capital[rows] for capital, rows in zip(capitals, moments, strict=True)]
        p_values = np.stack([self.p_values(row, part, plans[row]) for row, part in enumerate(values)])
        return p_values, self.certify(p_values), [np.empty((0, p_values.shape[1])) for _ in values]

    def log_capital(self, domain: int, values: FloatArray, planned: ArrayLike | None = None) -> FloatArray:
        """Logarithm of the capital ``[..., units, policies]`` that ``"closed-e"`` tests a domain by."""
        return star_log_capital(values, self.alpha, self.delta, planned, self.prior.weights[domain])

    def p_values(self, domain: int, values: FloatArray, planned: ArrayLike | None = None) -> FloatArray:
        """Return the p-values ``[..., policies]`` of one domain, all of whose patients have been scored.

        Parameters
        ----------
        domain
            Number of the domain in `domains`.
        values, planned
            As for `test`, of this domain. Bets are sized for each policy's own share of delta.
        """
        return P_VALUES[self.p_value](values, self.alpha, self.prior.weights[domain] * self.delta, planned)

    def anytime_p_values(self, domain: int, values: FloatArray, planned: int) -> FloatArray:
        """Return p-values from the first of ``planned`` units, valid at whatever moment scoring stops."""
        return wsr_p_value(values, self.alpha, self.prior.weights[domain] * self.delta, planned)

    @property
    def most_share(self) -> float:
        """The largest share of delta that one policy can ever hold.

        All of it where certified policies hand their shares on, no more than at the start with ``"bonferroni"``.
        """
        return float(self.prior.weights.max()) if self.procedure == "bonferroni" else 1.0

    def certify(self, p_values: FloatArray) -> BoolArray:
        """Return which policies are certified, bool ``[domains, policies]``, given all p-values, of the same shape.

        Raises
        ------
        ValueError
            With ``"closed-e"``, which p-values do not suffice for; see `test`.
        """
        if self.procedure == "closed-e":
            raise ValueError("closed-e certifies by capital, not by p-values; call test")
        return certify_by_p_values(self.procedure, p_values, self.delta, self.prior.weights, lambda: self._transitions)
