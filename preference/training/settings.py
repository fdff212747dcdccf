"""How an adapter, or a whole model, is trained."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from titrate import InputError

PREFERENCE_LOSSES = ("sigmoid", "ipo", "hinge", "robust")
LOSSES = (*PREFERENCE_LOSSES, "sft")
ADAPTER_RATE, FULL_RATE = 1e-4, 1e-6


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of one training run.

    Attributes
    ----------
    epochs
        Passes over the pairs.
    learning_rate
        At the first step; it falls linearly to 0. None for 1e-4, or 1e-6 where all weights are trained.
    beta
        DPO's β: how strongly the model is held to what it was; IPO's τ.
    seed
        Of the adapter's first weights, the order of the pairs and the choice of those held out.
    batch_size
        Pairs that go through the model at once, in each process.
    accumulate
        Batches a step, in each process.
    max_steps
        Stop after so many steps, if that is before the last epoch ends.
    losses
        What is minimised, and the factor of each: ``"sigmoid"`` (DPO, arXiv 2305.18290), ``"ipo"`` (2310.12036),
        ``"hinge"`` (SLiC, 2305.10425), ``"robust"`` (2403.00409), and beside one of these ``"sft"``, the mean negative
        log-likelihood of the chosen answers' tokens.
    label_smoothing
        For the robust loss: the share of pairs whose answers are thought to be the wrong way round, under 0.5.
    full
        Train all weights of the model, not an adapter.
    hold_out
        Share of the patients whose pairs are held out, for a loss that tells when to stop; 0 for none.
    patience
        Stop when the held-out loss has not fallen below its lowest for so many evaluations.
    """

    epochs: float = 3.0
    learning_rate: float | None = None
    beta: float = 0.1
    seed: int = 0
    batch_size: int = 8
    accumulate: int = 1
    max_steps: int | None = None
    losses: tuple[tuple[str, float], ...] = (("sigmoid", 1.0),)
    label_smoothing: float = 0.0
    full: bool = False
    hold_out: float = 0.1
    patience: int = 3

    def __post_init__(self) -> None:
        numbers = {name: getattr(self, name) for name in ("epochs", "learning_rate", "beta")}
        numbers |= {f"the factor of {name}": factor for name, factor in self.losses}
        for name, number in numbers.items():
            if number is not None and not (math.isfinite(number) and number > 0):
                raise InputError(f"{name} is {number}; give a number above 0")
        for name in ("batch_size", "accumulate", "max_steps", "patience"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1")
        names = [name for name, _ in self.losses]
        if len(set(names)) < len(names) or not set(names) <= set(LOSSES) or not set(names) & set(PREFERENCE_LOSSES):
            raise InputError(
                f"losses are {', '.join(names) or 'none'}; give at least one of {', '.join(PREFERENCE_LOSSES)}, "
                "and sft beside it if you like, each once"
            )
        if ("robust" in names) != (self.label_smoothing != 0) or not 0 <= self.label_smoothing < 0.5:
            raise InputError(
                f"label_smoothing is {self.label_smoothing}; the robust loss, and no other, needs one "
                "above 0 and under 0.5, such as 0.1"
            )
        if not 0 <= self.hold_out < 1:
            raise InputError(f"hold_out is {self.hold_out}; give a share of the patients, from 0 to less than 1")

    @property
    def rate(self) -> float:
        """The learning rate at the first step."""
        if self.learning_rate is not None:
            return self.learning_rate
        return FULL_RATE if self.full else ADAPTER_RATE

    def steps(self, pairs: int, processes: int = 1) -> int:
        """Number of optimiser steps on so many pairs."""
        batches = math.ceil(pairs / (self.batch_size * processes))
        whole = math.ceil(self.epochs * math.ceil(batches / self.accumulate))
        return whole if self.max_steps is None else min(whole, self.max_steps)

    def describe(self) -> dict[str, Any]:
        """The settings as JSON, with the learning rate that they come to."""
        return {**asdict(self), "learning_rate": self.rate, "losses": dict(self.losses)}
