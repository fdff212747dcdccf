"""The grid of policies, read off one outcome table without asking the model again (METHODS, section 2)."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from calibration.checks import BoolArray, FloatArray, IntArray
from calibration.outcome_table import OutcomeTable
from calibration.policies import Policy
from titrate import InputError


class GridError(InputError):
    """A cut or threshold that no grid can hold."""


@dataclass(frozen=True)
class PolicyOutcomes:
    """What each policy did with each question, ``[questions, policies]``.

    Parameters
    ----------
    losses
        Of the answer that the policy leads to, given or not, in [0, 1].
    answered
        Whether it is given.
    contexts
        How many contexts were read.
    """

    losses: FloatArray
    answered: BoolArray
    contexts: IntArray

    def tested(self, alpha: float) -> FloatArray:
        """Return alpha + (l - alpha) A, in [0, 1]: its mean is at most alpha just where the selective risk is.

        R = E[l A] / P(A) <= alpha is E[(l - alpha) A] <= 0, a mean of values in [-alpha, 1 - alpha] (METHODS, section
        4), here moved up by alpha. Where all is answered it is the loss itself.
        """
        return np.where(self.answered, self.losses, alpha)


@dataclass(frozen=True)
class PolicyGrid:
    """k = 0..K, with no cut and each cut gamma, with no threshold and each threshold tau.

    Fix it before looking at the calibration outcomes. Each policy tried costs some power, so the default is k alone.

    Parameters
    ----------
    max_k
        K.
    gammas
        Finite cuts, 0 or more. None of them changes anything for k = 0 and 1, so they are tried from k = 2 on.
    taus
        Thresholds on the confidence, above 0 and at most 1.

    Raises
    ------
    GridError
        If one of them is out of its range or comes twice.
    """

    max_k: int
    gammas: tuple[float, ...] = ()
    taus: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.max_k < 0:
            raise GridError(f"max_k is {self.max_k}; give 0 or more")
        for name, values in (("gammas", self.gammas), ("taus", self.taus)):
            ordered = tuple(sorted(map(float, values)))
            if len(set(ordered)) < len(ordered):
                raise GridError(f"{name} hold a number twice; give each once")
            object.__setattr__(self, name, ordered)
        if not all(0 <= gamma < math.inf for gamma in self.gammas):
            raise GridError(f"gammas are {list(self.gammas)}; give numbers of 0 or more (no cut is always tried)")
        if not all(0 < tau <= 1 for tau in self.taus):
            raise GridError(f"taus are {list(self.taus)}; give numbers above 0, at most 1 (0 is always tried)")

    @cached_property
    def _places(self) -> tuple[tuple[int, int, int], ...]:
        """(k, number of the cut from the loosest, number of the threshold from the lowest) of each policy."""
        return tuple(
            (k, cut, threshold)
            for threshold in range(1 + len(self.taus))
            for cut in range(1 + len(self.gammas))
            for k in range(2 if cut else 0, self.max_k + 1)
        )

    @cached_property
    def policies(self) -> tuple[Policy, ...]:
        """Every policy: k = 0..K alone, then with the loosest cut, …, then all again with the lowest threshold, …."""
        gammas, taus = (math.inf, *reversed(self.gammas)), (0.0, *self.taus)
        return tuple(Policy(k, gammas[cut], taus[threshold]) for k, cut, threshold in self._places)

    @cached_property
    def neighbours(self) -> tuple[tuple[int, int], ...]:
        """Pairs of positions in `policies` one step apart in k, in the cut or in the threshold; each pair once."""
        position = {place: number for number, place in enumerate(self._places)}
        pairs: set[tuple[int, int]] = set()
        for (k, cut, threshold), number in position.items():
            # With one context or none every cut is no cut.
            fewer = (k - 1, cut if k > 2 else 0, threshold)
            steps = (fewer, (k, cut - 1, threshold), (k, cut, threshold - 1))
            pairs.update((position[step], number) for step in steps if step in position)
        return tuple(sorted(pairs))

    def read(self, table: OutcomeTable) -> PolicyOutcomes:
        """Apply every policy to every question.

        Raises
        ------
        InputError
            If the table holds fewer contexts than the grid, or a cut needs similarities that it has not.
        """
        if table.max_k < self.max_k:
            raise InputError(f"the outcomes end at k = {table.max_k}, the grid at {self.max_k}; score them up to there")
        available = np.full(len(table.question_ids), self.max_k)
        up_to_fall = np.full((len(available), 1 + len(self.gammas)), self.max_k)
        if table.similarities is not None:
            similarities = table.similarities[:, : self.max_k]
            available = np.isfinite(similarities).sum(axis=1)
            falls = -np.diff(similarities, axis=1)  # NaN where no context is left, which is no fall
            for column, gamma in enumerate(reversed(self.gammas), start=1):
                steep = falls > gamma
                found = steep.any(axis=1)
                up_to_fall[found, column] = steep[found].argmax(axis=1) + 1
        elif self.gammas:
            raise InputError("a ratio cut needs the similarities of the contexts; score the questions again")
        places = np.array(self._places)
        counts = np.minimum(up_to_fall[:, places[:, 1]], places[:, 0])
        confidences = np.take_along_axis(table.confidences, counts, axis=1)
        return PolicyOutcomes(
            losses=np.take_along_axis(table.losses, counts, axis=1),
            answered=confidences >= np.array([policy.tau for policy in self.policies]),
            contexts=np.minimum(counts, available[:, None]),
        )
