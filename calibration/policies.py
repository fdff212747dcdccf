"""Policies: how many of the retrieved contexts the model reads, and when it declines (METHODS, sections 2 and 4)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.checks import FloatArray
from titrate import InputError


@dataclass(frozen=True)
class Policy:
    """The first k contexts, fewer where the similarity falls steeply, and an answer only where confidence is enough.

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
