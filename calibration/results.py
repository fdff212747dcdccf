"""What calibration found in one domain."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from calibration.policies import Policy, PolicyGrid
from titrate import InputError, JsonFields

STOPPED = ("all", "certified", "futile")
"""Why the tests ended: every patient was used, or early, because a policy was certified or none can be."""


@dataclass(frozen=True)
class DomainResult:
    """The tests of every policy in one domain, and the one chosen.

    Policies are numbered as in `PolicyGrid.policies`, where k = 0..K alone come first: without cuts and thresholds, a
    policy's number is its k. Columns have one entry per policy.

    Parameters
    ----------
    n_units, n_questions
        Patients and questions of this domain that were tested.
    max_k
        K, the largest number of contexts tried.
    risks
        Mean loss of the answers given, over patients; 1 where none is given.
    p_values
        Of "the risk of this policy is above alpha".
    certified
        Numbers of the policies whose risk is at most alpha, with the certificate's confidence, rising.
    k
        Of the policy chosen; None if nothing is certified.
    units_needed
        Where nothing is certified: about how many patients like these would certify the best policy, in all. A rough
        guide, None where the measured risk is not below alpha, so that no number would do.
    gammas, taus
        The ratio cuts and confidence thresholds tried.
    chosen
        Number of the certified policy that answers most, then with the least risk, then with the fewest contexts.
    best
        Number of the policy, certified or not, furthest below alpha (or the least above it).
    coverages
        Share of questions answered, mean over patients.
    contexts
        Contexts read, mean over patients.
    deviations
        Standard deviation over patients of alpha + (l - alpha) A, which is the loss where all is answered.
    weights
        Share of delta at the start.
    planned_units, planned_questions
        As many as there were; more than tested where it stopped early.
    stopped
        One of `STOPPED`.
    """

    n_units: int
    n_questions: int
    max_k: int
    risks: tuple[float, ...]
    p_values: tuple[float, ...]
    certified: tuple[int, ...]
    k: int | None
    units_needed: int | None
    gammas: tuple[float, ...] = ()
    taus: tuple[float, ...] = ()
    chosen: int | None = None
    best: int | None = None
    coverages: tuple[float, ...] = ()
    contexts: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    planned_units: int | None = None
    planned_questions: int | None = None
    stopped: str = "all"

    def __post_init__(self) -> None:
        policies = self.grid.policies
        defaults: tuple[tuple[str, Any], ...] = (  # what follows where k alone was tried
            ("coverages", (1.0,) * len(policies)),
            ("contexts", tuple(float(policy.k) for policy in policies)),
            ("deviations", (0.0,) * len(policies)),
            ("weights", (1 / len(policies),) * len(policies)),
            ("chosen", self.k),
            ("planned_units", self.n_units),
            ("planned_questions", self.n_questions),
        )
        for name, value in defaults:
            if getattr(self, name) in (None, ()):
                object.__setattr__(self, name, value)
        if self.best is None:
            object.__setattr__(self, "best", preferred(self, range(len(policies))))

    @cached_property
    def grid(self) -> PolicyGrid:
        """The policies tried."""
        return PolicyGrid(self.max_k, self.gammas, self.taus)

    @property
    def policy(self) -> Policy | None:
        """The policy chosen, None if nothing is certified."""
        return None if self.chosen is None else self.grid.policies[self.chosen]

    @property
    def best_k(self) -> int:
        """Number of contexts of the policy furthest below alpha, certified or not."""
        return self.best_policy.k

    @property
    def best_policy(self) -> Policy:
        """The policy furthest below alpha, certified or not."""
        return self.grid.policies[self.best or 0]

    @property
    def questions_saved(self) -> int:
        """Questions that stopping early left unasked."""
        return (self.planned_questions or self.n_questions) - self.n_questions

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any, where: str, remedy: str) -> "DomainResult":
        """Read what `to_json` returned.

        Raises
        ------
        InputError
            If it is anything else, or contradicts itself.
        """
        read = JsonFields(value, where, (field.name for field in fields(cls)), remedy)
        optional = {
            name: None if read.value[name] is None else read.integer(name, least=0)
            for name in ("k", "chosen", "units_needed")
        }
        try:
            result = cls(
                n_units=read.integer("n_units", least=1),
                n_questions=read.integer("n_questions", least=1),
                max_k=read.integer("max_k", least=0),
                risks=read.fractions("risks"),
                p_values=read.fractions("p_values"),
                certified=read.integers("certified", least=0),
                k=optional["k"],
                units_needed=optional["units_needed"],
                gammas=read.numbers("gammas", least=0),
                taus=read.fractions("taus"),
                chosen=optional["chosen"],
                best=read.integer("best", least=0),
                coverages=read.fractions("coverages"),
                contexts=read.numbers("contexts", least=0),
                deviations=read.numbers("deviations", least=0),
                weights=read.fractions("weights"),
                planned_units=read.integer("planned_units", least=1),
                planned_questions=read.integer("planned_questions", least=1),
                stopped=read.text("stopped"),
            )
        except InputError as error:
            raise read.error(str(error)) from error
        if result.chosen != optional["chosen"]:
            raise read.error("chosen is missing")
        problem = _contradiction(result)
        if problem:
            raise read.error(problem)
        return result


def preferred(result: DomainResult, candidates: Sequence[int]) -> int:
    """Return the candidate that answers most, then with the least risk, then with the fewest contexts.

    Numbers that differ only by rounding count as equal: the same losses summed in another order must not decide.
    """
    return min(
        candidates,
        key=lambda number: (
            -round(result.coverages[number], 12),
            round(result.risks[number], 12),
            round(result.contexts[number], 12),
            number,
        ),
    )


def _contradiction(result: DomainResult) -> str | None:
    size = len(result.grid.policies)
    columns = ("risks", "p_values", "coverages", "contexts", "deviations", "weights")
    if any(len(getattr(result, name)) != size for name in columns):
        return f"expected {size} {', '.join(columns)}"
    if list(result.certified) != sorted(set(result.certified) & set(range(size))):
        return f"certified is not a rising list within 0..{size - 1}"
    if result.units_needed is not None and result.units_needed <= result.n_units:
        return "units_needed is not above n_units"
    if result.chosen != (preferred(result, result.certified) if result.certified else None):
        return "chosen is not the certified policy that answers most, with the least risk"
    if result.k != (None if result.policy is None else result.policy.k):
        return "k is not the chosen policy's"
    if not 0 <= (result.best or 0) < size:
        return f"best is not within 0..{size - 1}"
    if result.stopped not in STOPPED:
        return f"stopped is none of {', '.join(STOPPED)}"
    if result.questions_saved < 0 or (result.planned_units or 0) < result.n_units:
        return "fewer were planned than tested"
    return None
