"""Policies: how many of the retrieved contexts the model reads (METHODS, section 2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from calibration.checks import FloatArray
from titrate.errors import InputError


class Policy(Protocol):
    """Anything that says how many contexts to keep."""

    def count(self, similarities: Sequence[float] | FloatArray) -> int:
        """Return how many of the contexts, best first, the model reads: between 0 and ``len(similarities)``."""
        ...


@dataclass(frozen=True)
class FixedK:
    """The first k contexts, or all of them where fewer were retrieved.

    >>> FixedK(2).count([31.0, 30.0, 12.0])
    2
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 0:
            raise InputError(f"k is {self.k}; give 0 or more")

    def count(self, similarities: Sequence[float] | FloatArray) -> int:
        """Return min(k, number of contexts)."""
        return min(self.k, len(similarities))


@dataclass(frozen=True)
class RatioCut:
    """Contexts up to the first steep fall in similarity, and at most ``max_k`` (MMed-RAG, arXiv 2410.13085).

    Stops at the first i with log(S_i / S_{i+1}) > gamma. Similarities are given as log S_i = s cos_i, with s the
    encoder's logit scale, so that the log ratio is a difference and is defined for negative similarities also.

    >>> RatioCut(gamma=4, max_k=8).count([30, 28, 10, 5, -1, -20])
    2
    """

    gamma: float
    max_k: int

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise InputError(f"gamma is {self.gamma}; give 0 or more")
        if self.max_k < 0:
            raise InputError(f"max_k is {self.max_k}; give 0 or more")

    def count(self, similarities: Sequence[float] | FloatArray) -> int:
        """Return the number of contexts before the first fall by more than gamma, at most ``max_k``.

        Raises
        ------
        InputError
            If the similarities are not finite and best first.
        """
        falls = -np.diff(np.asarray(similarities, dtype=np.float64))
        if not bool(np.all(np.isfinite(similarities))) or bool(np.any(falls < 0)):
            raise InputError("similarities must be finite and come best first; sort the contexts")
        steep = np.flatnonzero(falls > self.gamma)
        before_fall = int(steep[0]) + 1 if steep.size else len(similarities)
        return min(before_fall, self.max_k)
