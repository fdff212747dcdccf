"""The hypotheses that a calibration tests, and everything else that is fixed before its outcomes are seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from calibration.checks import BoolArray, FloatArray, check_level
from calibration.outcome_table import OutcomeTable
from calibration.policies import PolicyGrid
from calibration.prior import Prior, prefer_prior, uniform_prior
from calibration.procedures import PROCEDURES, bonferroni, holm, neighbour_transitions, sequential_graphical
from calibration.pvalues import P_VALUES, wsr_p_value
from calibration.units import order_of_testing
from titrate import InputError


@dataclass(frozen=True, eq=False)
class HypothesisFamily:
    """One hypothesis for each policy in each domain, "its risk is above alpha", tested together.

    Parameters
    ----------
    alpha, delta
        The risk to promise, and the chance that the promise is false, over all domains together.
    grid
        The policies tried in every domain.
    domains
        Sorted.
    seed
        Of the order of the patients.
    procedure, p_value
        Names in `PROCEDURES` and `P_VALUES`.
    prior_outcomes
        Outcomes of other patients to take the prior from; uniform without them.

    Raises
    ------
    InputError
        If a level, the seed or a name cannot be used, or the procedure takes no prior.
    """

    alpha: float
    delta: float
    grid: PolicyGrid
    domains: Sequence[str]
    seed: int = 0
    procedure: str = "sgt"
    p_value: str = "wsr"
    prior_outcomes: OutcomeTable | None = None

    def __post_init__(self) -> None:
        check_level("alpha", self.alpha)
        check_level("delta", self.delta)
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; give 0 or more")
        for kind, name, known in (
            ("procedure", self.procedure, PROCEDURES),
            ("p-value", self.p_value, tuple(P_VALUES)),
        ):
            if name not in known:
                raise InputError(f"unknown {kind} {name}; it can be {', '.join(known)}")
        if self.prior_outcomes is not None and self.procedure != "sgt":
            raise InputError(f"{self.procedure} takes no prior; use sgt, or leave out the prior")

    @cached_property
    def prior(self) -> Prior:
        """Shares of delta, ``[domains, policies]``."""
        if self.prior_outcomes is None:
            return uniform_prior(len(self.domains), len(self.grid.policies))
        return prefer_prior(self.prior_outcomes, self.grid, self.domains, self.alpha)

    @cached_property
    def _transitions(self) -> FloatArray:
        return neighbour_transitions(self.grid.neighbours, len(self.domains), len(self.grid.policies))

    def order(self, units: int) -> list[int]:
        """The order in which a domain's units, sorted by name, are tested: `order_of_testing`."""
        return order_of_testing(units, self.seed)

    def p_values(self, domain: int, values: FloatArray) -> FloatArray:
        """p-values ``[policies]`` of one domain's values ``[units, policies]``, its units in `order`.

        The level of each policy is its own share of delta.
        """
        return P_VALUES[self.p_value](values, self.alpha, self.prior.weights[domain] * self.delta)

    def anytime_p_values(self, domain: int, values: FloatArray, planned: int) -> FloatArray:
        """The same from the first units of ``planned``, valid whenever one chooses to stop."""
        return wsr_p_value(values, self.alpha, self.prior.weights[domain] * self.delta, planned)

    @property
    def most_share(self) -> float:
        """The largest share of delta that any one policy can come to: with ``"bonferroni"`` shares do not move."""
        return float(self.prior.weights.max()) if self.procedure == "bonferroni" else 1.0

    def certify(self, p_values: FloatArray) -> BoolArray:
        """Certified or not, ``[domains, policies]``, from the p-values of the whole family."""
        if self.procedure == "bonferroni":
            return bonferroni(p_values, self.delta)
        if self.procedure == "holm":
            return holm(p_values, self.delta)
        return sequential_graphical(p_values, self.delta, self.prior.weights, self._transitions)
