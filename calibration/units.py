"""From questions to independent units.

Questions about one patient share images, history and errors. Tested as if they were independent they break the
guarantee (0.12 to 0.17 false certificates at delta = 0.1, five questions an image), so their losses are averaged first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.checks import FloatArray, check_same_length, check_unit_interval
from calibration.outcome_table import OutcomeTable
from calibration.policies import PolicyGrid


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


@dataclass(frozen=True, eq=False)
class UnitMeans:
    """Means over each unit's questions, ``[units, policies]``, units in the order in which they are tested.

    Parameters
    ----------
    tested
        alpha + (l - alpha) A, in [0, 1].
    errors
        l A.
    answered
        A.
    contexts
        Contexts read.
    n_questions
        How many questions the units have.
    """

    tested: FloatArray
    errors: FloatArray
    answered: FloatArray
    contexts: FloatArray
    n_questions: int

    @classmethod
    def read(
        cls, table: OutcomeTable, grid: PolicyGrid, alpha: float, order: Sequence[str] | None = None
    ) -> "UnitMeans":
        """Read one domain's table, its units in a given order, or by name."""
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
            means = means[[row_of[name] for name in order]]
        # Of one memory layout, since the order in which numpy adds up depends on it.
        tested, errors, answered, contexts = map(np.ascontiguousarray, np.hsplit(means, len(columns)))
        return cls(tested, errors, answered, contexts * most, len(table.question_ids))

    def take(self, rows: Sequence[int]) -> "UnitMeans":
        """Return the same units in another order."""
        return UnitMeans(
            self.tested[rows], self.errors[rows], self.answered[rows], self.contexts[rows], self.n_questions
        )

    def then(self, later: "UnitMeans") -> "UnitMeans":
        """Return these units, then others."""
        return UnitMeans(
            np.vstack([self.tested, later.tested]),
            np.vstack([self.errors, later.errors]),
            np.vstack([self.answered, later.answered]),
            np.vstack([self.contexts, later.contexts]),
            self.n_questions + later.n_questions,
        )
