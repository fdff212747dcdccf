"""What one domain's units showed of every policy, and what follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.checks import BoolArray, FloatArray
from calibration.family import Design
from calibration.grid import PolicyGrid
from calibration.outcome_table import OutcomeTable
from calibration.pvalues import P_VALUES
from calibration.results import DomainResult, preferred
from calibration.sample_size import units_needed
from calibration.units import mean_per_unit


@dataclass(frozen=True, eq=False)
class Evidence:
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
    ) -> "Evidence":
        """Read one domain's table, its units in a given order, or by name."""
        # Sorted first, so that not even the rounding of a sum depends on the order of the questions.
        ids = table.question_ids
        table = table.take(sorted(range(len(ids)), key=lambda row: ids[row]))
        readings = grid.read(table)
        most = max(grid.max_k, 1)
        columns = (
            readings.tested(alpha),
            np.where(readings.answered, readings.losses, 0.0),
            readings.answered.astype(np.float64),
            readings.contexts / most,
        )
        means, names = mean_per_unit(np.hstack(columns), table.units)
        if order is not None:
            row_of = {name: row for row, name in enumerate(names)}
            means = means[[row_of[name] for name in order]]
        # Of one memory layout, since the order in which numpy adds up depends on it.
        tested, errors, answered, contexts = map(np.ascontiguousarray, np.hsplit(means, len(columns)))
        return cls(tested, errors, answered, contexts * most, len(table.question_ids))

    def take(self, rows: Sequence[int]) -> "Evidence":
        """Return the same units in another order."""
        return Evidence(
            self.tested[rows], self.errors[rows], self.answered[rows], self.contexts[rows], self.n_questions
        )

    def then(self, later: "Evidence") -> "Evidence":
        """Return these units, then others."""
        return Evidence(
            np.vstack([self.tested, later.tested]),
            np.vstack([self.errors, later.errors]),
            np.vstack([self.answered, later.answered]),
            np.vstack([self.contexts, later.contexts]),
            self.n_questions + later.n_questions,
        )

    def result(
        self,
        design: Design,
        domain: int,
        p_values: FloatArray,
        certified: BoolArray,
        *,
        planned: tuple[int, int] | None = None,
        stopped: str = "all",
    ) -> DomainResult:
        """Sum up one domain, given its row ``[policies]`` of the tests of all.

        Parameters
        ----------
        design
            The family of tests.
        domain
            Number of the domain in the design.
        p_values, certified
            Of the domain's policies.
        planned
            Units and questions there were, where the tests ended early.
        stopped
            Why they ended.
        """
        units = len(self.tested)
        answered = self.answered.sum(axis=0)
        risks = np.divide(self.errors.sum(axis=0), answered, out=np.ones_like(answered), where=answered > 0)
        passed = tuple(np.flatnonzero(certified).tolist())
        means = self.tested.mean(axis=0)
        contexts = self.contexts.mean(axis=0)
        best = int(np.lexsort((np.arange(len(means)), np.round(contexts, 12), np.round(means, 12)))[0])
        hopeful = not passed and means[best] < design.alpha
        level = float(design.prior.weights[domain, best]) * design.delta
        needed = None
        if hopeful:

            def test(values: FloatArray) -> FloatArray:
                return P_VALUES[design.p_value](values, design.alpha, np.array([level]))

            needed = units_needed(self.tested[:, [best]], test, level)
        planned_units, planned_questions = planned or (units, self.n_questions)
        result = DomainResult(
            n_units=units,
            n_questions=self.n_questions,
            max_k=design.grid.max_k,
            risks=tuple(np.clip(risks, 0.0, 1.0).tolist()),
            p_values=tuple(p_values.tolist()),
            certified=passed,
            k=None,
            units_needed=needed,
            gammas=design.grid.gammas,
            taus=design.grid.taus,
            best=best,
            coverages=tuple(self.answered.mean(axis=0).tolist()),
            contexts=tuple(contexts.tolist()),
            deviations=tuple(self.tested.std(axis=0).tolist()),
            weights=tuple(design.prior.weights[domain].tolist()),
            planned_units=planned_units,
            planned_questions=planned_questions,
            stopped=stopped,
        )
        if not passed:
            return result
        chosen = preferred(result, passed)
        return replace(result, chosen=chosen, k=result.grid.policies[chosen].k)
