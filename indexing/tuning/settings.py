"""How an encoder is tuned."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from titrate import InputError, check_seed

ADAPTER_RATE, FULL_RATE = 1e-3, 1e-4


@dataclass(frozen=True)
class TuningSettings:
    """How an encoder is tuned.

    Attributes
    ----------
    full
        Train all weights, and not low-rank adapters that are merged into them at the end (LoRA, arXiv 2106.09685).
    epochs
        Passes over the pairs, at most.
    batch_size
        Pairs that are told apart from one another in a step.
    learning_rate
        The highest, reached after a tenth of the steps; from there it falls to 0 along a cosine. None for 1e-3, or
        1e-4 where all weights are trained.
    crop
        Images are cut at random to between this share of their area and all of it; 1 shows them as `index` does.
    hold_out
        Share of the patients who are not trained on: by them it is told when to stop, and whether anything was gained.
    patience
        Stop when so many evaluations in a row brought no better recall.
    seed
        Decides the adapters' first weights, the order of the pairs, the crops, and which parts of long reports are
        read. Who is held out depends on the patient alone.

    Raises
    ------
    InputError
        If a setting is outside its range.
    """

    full: bool = False
    epochs: int = 12
    batch_size: int = 64
    learning_rate: float | None = None
    crop: float = 0.8
    hold_out: float = 0.15
    patience: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("patience", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}")
        if self.learning_rate is not None and not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError(f"learning_rate is {self.learning_rate}; give a number above 0")
        if not 0 < self.crop <= 1:
            raise InputError(f"crop is {self.crop}; give a share of the image, above 0 and at most 1")
        if not 0 < self.hold_out < 1:
            raise InputError(f"hold_out is {self.hold_out}; give a share of the patients, between 0 and 1")
        check_seed(self.seed)

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return FULL_RATE if self.full else ADAPTER_RATE

    def describe(self) -> dict[str, Any]:
        """The settings as JSON, with the learning rate that is used."""
        return {**asdict(self), "learning_rate": self.rate}
