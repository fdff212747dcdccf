"""Policies: how many of the retrieved contexts the model reads, and when it answers.

A grid of policies is read off one outcome table, without asking the model again (docs/methods.md, sections 2 and 4).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from calibration.checks import BoolArray, FloatArray, IntArray
from calibration.outcome_table import OutcomeTable
from titrate import InputError


@dataclass(frozen=True)
class Policy:
    """Read the first k contexts, or fewer where the similarity falls steeply; answer only where confidence is enough.

    The ratio cut (MMed-RAG, arXiv 2410.13085) stops at the first i with log(S_i / S_{i+1}) > gamma. Similarities are
    given as log S_i = s cos_i, with s the encoder's logit scale, so that the log ratio is a difference and is defined
    for negative similarities also.

    Parameters
    ----------
    k
        The most contexts to read.
    gamma
        Largest fall in log similarity to read on after, 0 or more; infinite means no cut.
    tau
        Least confidence to answer with, in [0, 1]; 0 means that every question is answered.

    Raises
    ------
    InputError
        If one of them is out of its range.

    Examples
    --------
    >>> Policy(2).count([31.0, 30.0, 12.0])
    2
    >>> Policy(8, gamma=4).count([30, 28, 10, 5, -1, -20])
    2
    """

    k: int
    gamma: float = math.inf
    tau: float = 0.0

    def __post_init__(self) -> None:
        if self.k < 0:
            raise InputError(f"k is {self.k}; give 0 or more")
        if not self.gamma >= 0:
            raise InputError(f"gamma is {self.gamma}; give 0 or more")
        if not 0 <= self.tau <= 1:
            raise InputError(f"tau is {self.tau}; give a confidence from 0 to 1")

    def count(self, similarities: Sequence[float] | FloatArray) -> int:
        """Return how many of the contexts, best first, the model reads: all up to the cut, at most k.

        Raises
        ------
        InputError
            If there is a cut and the similarities are not finite and best first.
        """
        if math.isinf(self.gamma):
            return min(self.k, len(similarities))
        falls = -np.diff(np.asarray(similarities, dtype=np.float64))
        if not bool(np.all(np.isfinite(similarities))) or bool(np.any(falls < 0)):
            raise InputError("similarities must be finite and come best first; sort the contexts")
        steep = np.flatnonzero(falls > self.gamma)
        before_fall = int(steep[0]) + 1 if steep.size else len(similarities)
        return min(before_fall, self.k)

    def answers(self, confidence: float) -> bool:
        """Return whether an answer of this confidence is given."""
        return confidence >= self.tau


@dataclass(frozen=True)
class PolicyOutcomes:
    """What each policy did with each question, ``[questions, policies]``.

    Parameters
    ----------
    losses
        The loss l of the answer that the policy leads to, in [0, 1], whether or not the answer is given.
    answered
        A: whether the answer is given, which a threshold can prevent.
    contexts
        How many contexts were read.
    """

    losses: FloatArray
    answered: BoolArray
    contexts: IntArray

    def tested(self, alpha: float) -> FloatArray:
        """Return alpha + (l - alpha) A, in [0, 1], whose mean is at most alpha exactly where the risk is.

        The risk of the answers given, R = E[l A] / P(A), is at most alpha where E[(l - alpha) A] <= 0. That is a mean
        of values in [-alpha, 1 - alpha], here moved up by alpha (docs/methods.md, section 4). Where every question is
        answered it is the loss itself.
        """
        return np.where(self.answered, self.losses, alpha)


@dataclass(frozen=True)
class PolicyGrid:
    """Every combination of k = 0..K, a ratio cut (none or one of gammas) and a threshold (none or one of taus).

    Fix it before looking at the calibration outcomes. Each policy tried makes certificates a little less likely, so the
    default is to try k alone.

    Parameters
    ----------
    max_k
        K, the largest number of contexts.
    gammas
        Finite cuts, 0 or more. With one context or none there is nothing to cut, so they are tried from k = 2 on.
    taus
        Thresholds on the confidence, above 0 and at most 1.

    Raises
    ------
    InputError
        If one of them is out of its range or comes twice.
    """

    max_k: int
    gammas: tuple[float, ...] = ()
    taus: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.max_k < 0:
            raise InputError(f"max_k is {self.max_k}; give 0 or more")
        for name, values in (("gammas", self.gammas), ("taus", self.taus)):
            ordered = tuple(sorted(map(float, values)))
            if len(set(ordered)) < len(ordered):
                raise InputError(f"{name} hold a number twice; give each once")
            object.__setattr__(self, name, ordered)
        if not all(0 <= gamma < math.inf for gamma in self.gammas):
            raise InputError(f"gammas are {list(self.gammas)}; give numbers of 0 or more (no cut is always tried)")
        if not all(0 < tau <= 1 for tau in self.taus):
            raise InputError(f"taus are {list(self.taus)}; give numbers above 0, at most 1 (0 is always tried)")

    @property
    def size(self) -> int:
        """How many policies there are."""
        return (1 + len(self.taus)) * (self.max_k + 1 + len(self.gammas) * max(self.max_k - 1, 0))

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
