"""What calibration found in one domain: a row for each policy, and which of them was chosen."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from calibration.grid import PolicyGrid
from calibration.policies import BLENDS, Policy
from calibration.units import MeasuredPolicy
from titrate import InputError, JsonFields

STOPPED = ("all", "certified", "futile")
"""Why the tests ended: every patient was used, or early, because a policy was certified or none can be."""

_MOST_LOG = 1e12
"""More than any bets can lose."""
_FIELDS = (
    "n_units", "n_questions", "planned_units", "planned_questions", "stopped", "chosen", "further_units",
    "log_capitals", "policies",
)  # fmt: skip
_ROW = (
    "k", "gamma", "tau", "blend", "gate",
    "risk", "question_risk", "interval", "p_value", "coverage", "contexts", "deviation", "weight", "certified",
)  # fmt: skip
_SAME = 1e-9


@dataclass(frozen=True)
class PolicyResult(MeasuredPolicy):
    """What one policy did with the units of one domain, and what its test says.

    Attributes
    ----------
    p_value
        Of "the risk of this policy is above alpha".
    weight
        Its share of delta at the start; those of all policies of all domains add up to 1.
    certified
        Whether its risk is at most alpha, with the certificate's confidence.
    """

    p_value: float
    weight: float
    certified: bool

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return _name_in_json(self.policy) | {
            "risk": self.risk,
            "question_risk": self.question_risk,
            "interval": list(self.interval),
            "p_value": self.p_value,
            "coverage": self.coverage,
            "contexts": self.contexts,
            "deviation": self.deviation,
            "weight": self.weight,
            "certified": self.certified,
        }

    @classmethod
    def from_json(cls, value: Any, where: str, remedy: str) -> "PolicyResult":
        """Read what `to_json` returned.

        Raises
        ------
        InputError
            If it is anything else.
        """
        read = JsonFields(value, where, _ROW, remedy)
        gamma = math.inf if read.value["gamma"] is None else read.number("gamma", least=0)
        blend = read.text("blend")
        if blend not in ("none", *BLENDS):
            raise read.error(f"blend is none of none, {', '.join(BLENDS)}")
        gate = math.inf if read.value["gate"] is None else read.fraction("gate")
        try:
            policy = Policy(read.integer("k", least=0), gamma, read.fraction("tau"), blend, gate)
        except InputError as error:
            raise read.error(str(error)) from error
        return cls(
            policy=policy,
            risk=read.fraction("risk"),
            question_risk=read.fraction("question_risk"),
            interval=read_interval(read),
            coverage=read.fraction("coverage"),
            contexts=read.number("contexts", least=0),
            deviation=read.number("deviation", least=0),
            p_value=read.fraction("p_value"),
            weight=read.fraction("weight"),
            certified=read.flag("certified"),
        )


@dataclass(frozen=True)
class DomainResult:
    """The tests of every policy in one domain.

    Parameters
    ----------
    n_units, n_questions
        Patients and questions of this domain that were tested.
    planned_units, planned_questions
        As many as there were; more than tested where it stopped early.
    stopped
        One of `STOPPED`.
    policies
        A row for each policy of `grid`, in its order.
    further_units
        Where nothing is certified: about how many more patients like these would certify something with a chance of
        four in five (`calibration.testing.sample_size`). None where no measured risk is below alpha, or no ten thousand
        would do.
    log_capitals
        With ``"closed-e"``, log K of each policy at the few moments that certified one, ``[moments][policies]``: what
        is certified follows from those and the weights. Else empty.
    """

    n_units: int
    n_questions: int
    planned_units: int
    planned_questions: int
    stopped: str
    policies: tuple[PolicyResult, ...]
    further_units: int | None
    log_capitals: tuple[tuple[float, ...], ...] = ()

    @cached_property
    def grid(self) -> PolicyGrid:
        """The policies tried."""
        tried = [row.policy for row in self.policies]
        return PolicyGrid(
            max_k=max(policy.k for policy in tried),
            gammas=tuple({policy.gamma for policy in tried} - {math.inf}),
            taus=tuple({policy.tau for policy in tried} - {0.0}),
            blends=tuple(blend for blend in BLENDS if any(policy.blend == blend for policy in tried)),
            gates=tuple({policy.gate for policy in tried} - {math.inf}),
        )

    @property
    def certified(self) -> tuple[PolicyResult, ...]:
        """The rows of the certified policies, in the order of the grid."""
        return tuple(row for row in self.policies if row.certified)

    @property
    def chosen(self) -> PolicyResult | None:
        """The certified policy that answers most, then with the least risk, then with the fewest contexts.

        The first of those that are equal to 12 digits; None if nothing is certified.
        """
        return min(self.certified, key=lambda row: row.rank, default=None)

    @property
    def policy(self) -> Policy | None:
        """The policy chosen, None if nothing is certified."""
        return None if self.chosen is None else self.chosen.policy

    def best(self, alpha: float) -> PolicyResult:
        """The policy, certified or not, furthest below alpha (or least above it), then with the fewest contexts.

        With thresholds, what counts is the risk's distance from alpha times the share of questions answered.
        """
        return min(self.policies, key=lambda row: (row.excess(alpha), row.rank[2]))

    @property
    def questions_saved(self) -> int:
        """Questions that stopping early left unasked."""
        return self.planned_questions - self.n_questions

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON values, with the name of the policy chosen, which a reader looks for first."""
        return {
            "n_units": self.n_units,
            "n_questions": self.n_questions,
            "planned_units": self.planned_units,
            "planned_questions": self.planned_questions,
            "stopped": self.stopped,
            "chosen": None if self.policy is None else _name_in_json(self.policy),
            "further_units": self.further_units,
            "log_capitals": [list(row) for row in self.log_capitals],
            "policies": [row.to_json() for row in self.policies],
        }

    @classmethod
    def from_json(cls, value: Any, where: str, remedy: str) -> "DomainResult":
        """Read what `to_json` returned.

        Raises
        ------
        InputError
            If it is anything else, or contradicts itself.
        """
        read = JsonFields(value, where, _FIELDS, remedy)
        moments = [
            JsonFields({"log_capitals": row}, where, ("log_capitals",), remedy) for row in read.items("log_capitals")
        ]
        result = cls(
            n_units=read.integer("n_units", least=1),
            n_questions=read.integer("n_questions", least=1),
            planned_units=read.integer("planned_units", least=1),
            planned_questions=read.integer("planned_questions", least=1),
            stopped=read.text("stopped"),
            policies=tuple(
                PolicyResult.from_json(row, f"{where}, policy {number}", remedy)
                for number, row in enumerate(read.items("policies"), start=1)
            ),
            further_units=None if read.value["further_units"] is None else read.integer("further_units", least=1),
            log_capitals=tuple(row.numbers("log_capitals", least=-_MOST_LOG) for row in moments),
        )
        problem = _contradiction(result, read.value["chosen"])
        if problem:
            raise read.error(problem)
        return result


def read_interval(read: JsonFields) -> tuple[float, float]:
    """The low and the high number of the field ``interval``.

    Raises
    ------
    InputError
        If it is anything else.
    """
    interval = read.fractions("interval")
    if len(interval) != 2 or interval[0] > interval[1]:
        raise read.error("interval is not a low and a high number")
    return interval[0], interval[1]


def _name_in_json(policy: Policy) -> dict[str, Any]:
    return {
        "k": policy.k,
        "gamma": None if math.isinf(policy.gamma) else policy.gamma,
        "tau": policy.tau,
        "blend": policy.blend,
        "gate": None if math.isinf(policy.gate) else policy.gate,
    }


def _contradiction(result: DomainResult, chosen: Any) -> str | None:
    if not result.policies:
        return "policies is empty"
    # The size first: a file of a few rows could name a grid that no memory holds.
    if result.grid.size != len(result.policies) or result.grid.policies != tuple(row.policy for row in result.policies):
        return "policies are not every k = 0..K with every cut, blend, gate and threshold, once each and in order"
    if chosen != (None if result.policy is None else _name_in_json(result.policy)):
        return "chosen is not the certified policy that answers most, with the least risk"
    if any(len(row) != len(result.policies) for row in result.log_capitals):
        return "log_capitals are not a number for each policy"
    if result.further_units is not None and result.certified:
        return "further_units are named although something is certified"
    if result.stopped not in STOPPED:
        return f"stopped is none of {', '.join(STOPPED)}"
    if result.questions_saved < 0 or result.planned_units < result.n_units:
        return "fewer were planned than tested"
    if result.n_questions < result.n_units:
        return "there are fewer questions than units"
    for row in result.policies:
        apart = abs(row.risk - row.question_risk) > _SAME
        if apart and (result.n_questions == result.n_units or 0 in (row.risk, row.question_risk, row.coverage)):
            return "risk and question_risk do not go together"
    return None
