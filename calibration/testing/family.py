"""The hypotheses that a calibration tests, and everything else that is fixed before its outcomes are seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from calibration.checks import BoolArray, FloatArray, check_level
from calibration.outcome_table import OutcomeTable
from calibration.policies import PolicyGrid
from calibration.testing.prior import Prior, prefer_prior, uniform_prior
from calibration.testing.procedures import PROCEDURES, bonferroni, holm, neighbour_transitions, sequential_graphical
from calibration.testing.pvalues import P_VALUES, wsr_p_value
from titrate import InputError


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
        How hypotheses share delta, and how each is tested: names in `PROCEDURES` and `P_VALUES`.
    prior_outcomes
        Outcomes of other patients, from which the prior is learnt; without them the prior is uniform.

    Raises
    ------
    InputError
        If a level or a name cannot be used, or the procedure takes no prior.
    """

    alpha: float
    delta: float
    grid: PolicyGrid
    domains: Sequence[str]
    procedure: str = "sgt"
    p_value: str = "wsr"
    prior_outcomes: OutcomeTable | None = None

    def __post_init__(self) -> None:
        check_level("alpha", self.alpha)
        check_level("delta", self.delta)
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
        """How delta is shared among the hypotheses before any outcome is seen."""
        if self.prior_outcomes is None:
            return uniform_prior(len(self.domains), len(self.grid.policies))
        return prefer_prior(self.prior_outcomes, self.grid, self.domains, self.alpha)

    @cached_property
    def _transitions(self) -> FloatArray:
        return neighbour_transitions(self.grid.neighbours, len(self.domains), len(self.grid.policies))

    def p_values(self, domain: int, values: FloatArray) -> FloatArray:
        """Return the p-values ``[policies]`` of one domain, all of whose patients have been scored.

        Parameters
        ----------
        domain
            Number of the domain in `domains`.
        values
            `PolicyOutcomes.tested`, averaged per unit, ``[units, policies]``, the units in the order of testing.
            Bets are sized for each policy's own share of delta.
        """
        return P_VALUES[self.p_value](values, self.alpha, self.prior.weights[domain] * self.delta)

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
        """Return which policies are certified, bool ``[domains, policies]``, given all p-values, of the same shape."""
        if self.procedure == "bonferroni":
            return bonferroni(p_values, self.delta)
        if self.procedure == "holm":
            return holm(p_values, self.delta)
        return sequential_graphical(p_values, self.delta, self.prior.weights, self._transitions)
