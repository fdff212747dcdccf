"""The settings of a training run."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from titrate import InputError, check_seed

PREFERENCE_LOSSES = ("sigmoid", "ipo", "hinge", "robust")
LOSSES = (*PREFERENCE_LOSSES, "sft")
ADAPTER_RATE, FULL_RATE = 1e-4, 1e-6


@dataclass(frozen=True)
class TrainingSettings:
    """How an adapter, or a whole model, is trained.

    Attributes
    ----------
    epochs
        Number of passes over the pairs; it need not be whole.
    learning_rate
        The learning rate at the first step, from which it falls linearly to 0. None for 1e-4, or 1e-6 where all weights
        are trained.
    beta
        β of DPO, and τ of IPO: the higher it is, the more strongly the model is held to what it was before training.
    seed
        Decides the adapter's first weights, the order of the pairs and which pairs are held out.
    batch_size
        Number of pairs that go through the model at once, in each process.
    accumulate
        Number of batches whose gradients are added up for one step, in each process.
    max_steps
        Stop after so many steps, if that is before the last epoch ends; None for no such limit.
    losses
        The losses whose weighted sum is minimised, each with its factor: ``"sigmoid"`` (DPO, arXiv 2305.18290),
        ``"ipo"`` (arXiv 2310.12036), ``"hinge"`` (SLiC, arXiv 2305.10425), ``"robust"`` (arXiv 2403.00409) and, beside
        at least one of these, ``"sft"``, the mean negative log-likelihood of the chosen answers' tokens.
    label_smoothing
        For the robust loss alone, which needs it: the share of pairs whose chosen and rejected answers are thought to
        be reversed, above 0 and under 0.5.
    full
        Whether all weights of the model are trained, and not an adapter.
    hold_out
        Share of the patients whose pairs are held out of training, so that their loss tells when to stop; 0 for none.
    patience
        Stop when so many evaluations in a row brought no new lowest loss on the held-out pairs.

    Raises
    ------
    InputError
        If a setting is outside its range, or losses and label smoothing do not go together.
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
        check_seed(self.seed)
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
        """Number of optimiser steps that training on so many pairs takes, with so many processes."""
        batches = math.ceil(pairs / (self.batch_size * processes))
        whole = math.ceil(self.epochs * math.ceil(batches / self.accumulate))
        return whole if self.max_steps is None else min(whole, self.max_steps)

    def describe(self) -> dict[str, Any]:
        """The settings as JSON, with the learning rate that is used."""
        return {**asdict(self), "learning_rate": self.rate, "losses": dict(self.losses)}
