"""How an adapter is trained."""

import math
from dataclasses import dataclass

from titrate.errors import InputError


@dataclass(frozen=True)
class Settings:
    """The settings of one training run.

    Attributes
    ----------
    epochs
        Passes over the pairs.
    learning_rate
        At the first step; it falls linearly to 0.
    beta
        DPO's β: how strongly the adapter is held to the model it started from.
    seed
        Of the adapter's first weights and the order of the pairs.
    batch_size
        Pairs a step.
    max_steps
        Stop after so many steps, if that is before the last epoch ends.
    """

    epochs: float = 3.0
    learning_rate: float = 1e-4
    beta: float = 0.1
    seed: int = 0
    batch_size: int = 8
    max_steps: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "learning_rate", "beta"):
            number = getattr(self, name)
            if not (math.isfinite(number) and number > 0):
                raise InputError(f"{name} is {number}; give a number above 0")
        if self.batch_size < 1 or (self.max_steps is not None and self.max_steps < 1):
            raise InputError("batch_size and max_steps must be at least 1")

    def steps(self, pairs: int) -> int:
        """Number of optimiser steps on so many pairs."""
        whole = math.ceil(self.epochs * math.ceil(pairs / self.batch_size))
        return whole if self.max_steps is None else min(whole, self.max_steps)
