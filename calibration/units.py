"""From questions to independent units, and what the units of one domain show of every policy.

Questions about one patient share images, history and errors. Tested as if they were independent they break the
guarantee (0.12 to 0.17 false certificates at delta = 0.1, five questions an image), so their losses are averaged first.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.checks import BoolArray, FloatArray, IntArray, check_same_length, check_unit_interval
from calibration.grid import PolicyGrid
from calibration.outcome_table import OutcomeTable
from calibration.policies import Policy

_DIGITS = 12
"""Numbers that differ only by rounding count as equal: the same losses summed in another order must not decide."""
_COUNTS_AT_ONCE = 4_000_000
"""Bootstrap counts in memory at a time: 32 MB."""


@dataclass(frozen=True)
class MeasuredPolicy:
    """What one policy did with the units of one domain.

    Attributes
    ----------
    policy
        The policy.
    risk
        Mean loss of the answers given, over units; 1 where none is given.
    question_risk
        The same with every question counted once, instead of every unit. No test is about it, and nothing is promised
        of it.
    interval
        95 % interval of the risk, low and high, from the bootstrap over units (`risk_intervals`).
    coverage
        Share of questions answered, mean over units.
    contexts
        Contexts read, mean over units.
    deviation
        Standard deviation over units of alpha + (l - alpha) A, which is the loss where all is answered.
    """

    policy: Policy
    risk: float
    question_risk: float
    interval: tuple[float, float]
    coverage: float
    contexts: float
    deviation: float

    def keeps(self, alpha: float) -> bool:
        """Whether the measured risk is at most alpha; see `keeps`."""
        return bool(keeps(np.array([self.risk]), alpha)[0])

    @property
    def rank(self) -> tuple[float, float, float]:
        """Of several policies, the one of least rank is chosen: most answers, then least risk, then fewest contexts."""
        return -round(self.coverage, _DIGITS), round(self.risk, _DIGITS), round(self.contexts, _DIGITS)

    def excess(self, alpha: float) -> float:
        """The measured mean of (l - alpha) A: below 0 where the risk is below alpha, 0 where nothing is answered."""
        return round(self.coverage * (self.risk - alpha), _DIGITS)


@dataclass(frozen=True, eq=False)
class UnitMeans:
    """Means over each unit's questions, ``[units, policies]``, units in the order in which they are tested.

    Here l is the loss of an answer, and A is 1 where the policy gives the answer and 0 where it declines.

    Parameters
    ----------
    names
        The unit of each row.
    tested
        Means of alpha + (l - alpha) A, in [0, 1]: `PolicyOutcomes.tested`.
    errors
        Means of l A.
    answered
        Means of A.
    contexts
        Mean number of contexts read.
    sizes
        How many questions each unit has, ``[units]``.
    """

    names: tuple[str, ...]
    tested: FloatArray
    errors: FloatArray
    answered: FloatArray
    contexts: FloatArray
    sizes: IntArray

    @property
    def n_questions(self) -> int:
        """How many questions the units have."""
        return int(self.sizes.sum())

    @classmethod
    def read(
        cls, table: OutcomeTable, grid: PolicyGrid, alpha: float, order: Sequence[str] | None = None
    ) -> "UnitMeans":
        """Average one domain's table per unit, the units in a given order, or else sorted by name."""
        # Sorted first, so that not even the rounding of a sum depends on the order of the questions.
        ids = table.question_ids
        table = table.take(sorted(range(len(ids)), key=lambda row: ids[row]))
        outcomes = grid.read(table)
        most = max(grid.max_k, 1)
        columns = (
            outcomes.tested(alpha),
            np.where(outcomes.answered, outcomes.losses, 0.0),
            outcomes.answered.astype(np.float64),
            outcomes.contexts / most,
        )
        means, names = mean_per_unit(np.hstack(columns), table.units)
        if order is not None:
            row_of = {name: row for row, name in enumerate(names)}
            means, names = means[[row_of[name] for name in order]], list(order)
        # Of one memory layout, since the order in which numpy adds up depends on it.
        tested, errors, answered, contexts = map(np.ascontiguousarray, np.hsplit(means, len(columns)))
        asked = Counter(table.units)
        sizes = np.array([asked[name] for name in names], dtype=np.int64)
        return cls(tuple(names), tested, errors, answered, contexts * most, sizes)

    def take(self, rows: Sequence[int]) -> "UnitMeans":
        """Return the same units in another order."""
        return UnitMeans(
            tuple(self.names[row] for row in rows),
            self.tested[rows],
            self.errors[rows],
            self.answered[rows],
            self.contexts[rows],
            self.sizes[rows],
        )

    def then(self, later: "UnitMeans") -> "UnitMeans":
        """Return these units, then others."""
        return UnitMeans(
            self.names + later.names,
            np.vstack([self.tested, later.tested]),
            np.vstack([self.errors, later.errors]),
            np.vstack([self.answered, later.answered]),
            np.vstack([self.contexts, later.contexts]),
            np.concatenate([self.sizes, later.sizes]),
        )

    @property
    def risks(self) -> FloatArray:
        """Mean loss of the answers given, ``[policies]``; 1 where none is given."""
        return _ratio(self.errors.sum(axis=0), self.answered.sum(axis=0))

    def choose(self, grid: PolicyGrid, among: BoolArray) -> Policy | None:
        """The policy of least rank, see `MeasuredPolicy.rank`, ``among`` ``[policies]``; None where there is none."""
        ranks = np.stack((-self.answered.mean(axis=0), self.risks, self.contexts.mean(axis=0)), axis=1).round(_DIGITS)
        best = min(np.flatnonzero(among).tolist(), key=lambda row: tuple(ranks[row]), default=None)
        return None if best is None else grid.policies[best]

    def measure(self, grid: PolicyGrid) -> tuple[MeasuredPolicy, ...]:
        """Sum up each policy over the units.

        Parameters
        ----------
        grid
            The one that the means were read with.
        """
        # By name, so that neither sums nor draws depend on the order of testing.
        rows = sorted(range(len(self.names)), key=lambda row: self.names[row])
        sizes = self.sizes[rows, None]
        low, high = risk_intervals(self.errors[rows], self.answered[rows])
        columns = (
            self.risks,
            # Rounded, since a question's weight goes through the mean of its unit and back.
            np.round(
                _ratio((self.errors[rows] * sizes).sum(axis=0), (self.answered[rows] * sizes).sum(axis=0)), _DIGITS
            ),
            low,
            high,
            self.answered.mean(axis=0),
            self.contexts.mean(axis=0),
            self.tested.std(axis=0),
        )
        return tuple(
            MeasuredPolicy(policy, risk, by_question, (lowest, highest), coverage, contexts, deviation)
            for policy, risk, by_question, lowest, highest, coverage, contexts, deviation in zip(
                grid.policies, *(column.tolist() for column in columns), strict=True
            )
        )


def keeps(risks: FloatArray, alpha: float) -> BoolArray:
    """Whether each measured risk is at most alpha, to within rounding.

    A bet can be won early and the risk be above alpha in the end. The test holds all the same, but nobody wants to
    promise what was measured otherwise; and to certify less than a test allows is never wrong.
    """
    return np.asarray(risks <= alpha + 10.0**-_DIGITS, dtype=np.bool_)


def mean_per_unit(losses: ArrayLike, units: Sequence[str]) -> tuple[FloatArray, list[str]]:
    """Average the losses of each unit, so that every patient counts once however many questions were asked.

    Parameters
    ----------
    losses
        In [0, 1], ``[questions, policies]``.
    units
        The patient (or study) of each question.

    Returns
    -------
    values
        ``[units, policies]``
    names
        The units in sorted order, one per row of ``values``, whatever the order of the questions.

    Raises
    ------
    InputError
        If a loss is outside [0, 1] or NaN, the table is empty, or there is not one unit per question.
    """
    table = check_unit_interval("losses", losses)
    check_same_length(len(table), units=units)
    names = sorted(set(units))
    position = {name: row for row, name in enumerate(names)}
    rows = np.array([position[unit] for unit in units])
    order = np.argsort(rows, kind="stable")
    sizes = np.bincount(rows)
    sums = np.add.reduceat(table[order], np.cumsum(sizes) - sizes, axis=0)
    return sums / sizes[:, None], names


def measure_policies(table: OutcomeTable, grid: PolicyGrid, *, alpha: float) -> tuple[MeasuredPolicy, ...]:
    """What each policy of a grid did with one domain's questions, without testing anything.

    Nothing follows from it about new patients: among many policies the least measured risk looks better than it is.
    `certify` gives the tests.

    Parameters
    ----------
    table
        Outcomes of one domain's questions.
    grid
        The policies.
    alpha
        The risk to promise; of what is measured, only `MeasuredPolicy.deviation` depends on it.

    Returns
    -------
    One for each of ``grid.policies``, in that order, the same to the bit whatever the order of the questions.

    Raises
    ------
    InputError
        If the table holds too few contexts for the grid, or no similarities for its cuts.
    """
    return UnitMeans.read(table, grid, alpha).measure(grid)


def _ratio(errors: FloatArray, answers: FloatArray) -> FloatArray:
    """Errors over answers, in [0, 1]; 1 where there are no answers."""
    return np.clip(np.divide(errors, answers, out=np.ones_like(answers), where=answers > 0), 0.0, 1.0)


def risk_intervals(
    errors: FloatArray, answered: FloatArray, *, seed: int = 0, rounds: int = 2000
) -> tuple[FloatArray, FloatArray]:
    """95 % percentile intervals of sum(errors) / sum(answered), units drawn with replacement.

    Each policy gets an interval by itself: they do not hold together, and no choice may be made by them.

    Parameters
    ----------
    errors, answered
        Means over each unit's questions of l A and of A, ``[units, policies]``, as in `UnitMeans`.
    seed
        Decides the draws.
    rounds
        How many samples of units to draw.

    Returns
    -------
    low, high
        ``[policies]``; a draw without an answer counts as risk 1. Rounded to 12 digits, as matrix products differ in
        the last ones from machine to machine.
    """
    rng, n = np.random.default_rng(seed), len(errors)
    risks = []
    for start in range(0, rounds, step := max(1, _COUNTS_AT_ONCE // n)):
        size = min(step, rounds - start)
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
        total = counts @ answered
        risks.append(np.divide(counts @ errors, total, out=np.ones_like(total), where=total > 0))
    low, high = np.round(np.quantile(np.clip(np.vstack(risks), 0.0, 1.0), [0.025, 0.975], axis=0), _DIGITS)
    return low, high
