"""Policies: how many of the retrieved contexts the model reads, what is made of that, and when it answers.

docs/methods.md, sections 2 and 4. `calibration.grid` reads many of them off one outcome table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from calibration.checks import BoolArray, FloatArray, IntArray
from titrate import InputError

Blend = Literal["none", "pair", "all"]
BLENDS: tuple[Blend, ...] = ("pair", "all")
"""What may be averaged: the probabilities of the options alone and with k contexts, half and half, or the
log-probabilities with each of 0..k contexts."""


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
    blend
        ``"pair"`` or ``"all"``: answer by a mean over several numbers of contexts (`BLENDS`).
    gate
        Answer without contexts where the confidence is at least so much then, in (0, 1], and read k contexts
        elsewhere (after BalanceRAG, arXiv 2605.20084); infinite means no gate.

    A cut, a blend and a gate exclude each other. Blends and gates need options to choose from.

    Raises
    ------
    InputError
        If one of them is out of its range, or two of them exclude each other.

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
    blend: Blend = "none"
    gate: float = math.inf

    def __post_init__(self) -> None:
        if self.k < 0:
            raise InputError(f"k is {self.k}; give 0 or more")
        if not self.gamma >= 0:
            raise InputError(f"gamma is {self.gamma}; give 0 or more")
        if not 0 <= self.tau <= 1:
            raise InputError(f"tau is {self.tau}; give a confidence from 0 to 1")
        if self.blend not in ("none", *BLENDS):
            raise InputError(f"unknown blend {self.blend}; it can be {', '.join(BLENDS)}")
        if not (0 < self.gate <= 1 or math.isinf(self.gate)):
            raise InputError(f"gate is {self.gate}; give a confidence above 0, at most 1")
        if (not math.isinf(self.gamma)) + (self.blend != "none") + (not math.isinf(self.gate)) > 1:
            raise InputError("a ratio cut, a blend and a gate exclude each other; give one of them")

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

    @property
    def needs_options(self) -> bool:
        """Whether it takes the probabilities of options: a blend or a gate."""
        return self.blend != "none" or not math.isinf(self.gate)

    @property
    def ks(self) -> tuple[int, ...]:
        """The numbers of contexts to ask the model with, rising, unless a ratio cut says otherwise."""
        if self.blend == "all":
            return tuple(range(self.k + 1))
        return tuple(sorted({0, self.k})) if self.needs_options else (self.k,)

    def decide(self, log_probabilities: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Make one answer of those with each of `ks` contexts.

        Parameters
        ----------
        log_probabilities
            Of each option, normalised over the options, ``[..., len(ks), options]``.

        Returns
        -------
        log_probabilities
            Of each option, ``[..., options]``: the likeliest is the answer, its probability the confidence.
        alone
            Whether the answer is the one without contexts, which none was read for, ``[...]``.
        """
        alone = np.zeros(log_probabilities.shape[:-2], dtype=np.bool_)
        if self.blend == "pair":
            return np.logaddexp.reduce(log_probabilities, axis=-2) - math.log(len(self.ks)), alone
        if self.blend == "all":
            mean = log_probabilities.mean(axis=-2)
            return mean - np.logaddexp.reduce(mean, axis=-1, keepdims=True), alone
        if math.isinf(self.gate):
            return log_probabilities[..., -1, :], alone
        alone = np.exp(log_probabilities[..., 0, :]).max(axis=-1) >= self.gate
        return np.where(alone[..., None], log_probabilities[..., 0, :], log_probabilities[..., -1, :]), alone

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
