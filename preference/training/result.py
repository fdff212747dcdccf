"""What training did, read from the trainer's history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Evaluation:
    """What held-out pairs said.

    Attributes
    ----------
    step
        After which it was made; 0 for before training.
    loss
        Mean loss of the held-out pairs.
    margin
        Their mean reward margin, as in `TrainingResult`.
    accuracy
        Share of them whose margin is above 0.
    """

    step: int
    loss: float
    margin: float
    accuracy: float


@dataclass(frozen=True)
class TrainingResult:
    """What training did.

    Attributes
    ----------
    folder
        The adapter's folder, or the whole model's.
    pairs, held_out
        How many it was trained on, and how many were held out.
    losses
        Loss of each step, before the step's update; log 2 at the first, for DPO with weights of 1.
    margins
        Mean reward margin of each step: β times how much more likely than at the start the chosen answer has become
        against the rejected one, in nats.
    evaluations
        In order; none without held-out pairs.
    step
        The step after which the weights are as they were kept: where the held-out loss was lowest, or else the last.
    """

    folder: Path
    pairs: int
    held_out: int
    losses: tuple[float, ...]
    margins: tuple[float, ...]
    evaluations: tuple[Evaluation, ...]
    step: int

    @property
    def kept(self) -> Evaluation | None:
        """What held-out pairs said about the weights that were kept."""
        return next((evaluation for evaluation in self.evaluations if evaluation.step == self.step), None)

    @property
    def improved(self) -> bool:
        """Whether the held-out loss fell below what it was before training, or nothing was held out."""
        return self.kept is None or self.kept.loss < self.evaluations[0].loss


def read_result(
    folder: Path, pairs: int, held_out: int, history: Sequence[Mapping[str, Any]], step: int
) -> TrainingResult:
    """Read a report out of the trainer's history."""
    steps = [entry for entry in history if "rewards/margins" in entry]
    return TrainingResult(
        folder=folder,
        pairs=pairs,
        held_out=held_out,
        losses=tuple(float(entry["loss"]) for entry in steps),
        margins=tuple(float(entry["rewards/margins"]) for entry in steps),
        evaluations=tuple(
            Evaluation(
                int(entry["step"]),
                float(entry["eval_loss"]),
                float(entry["eval_rewards/margins"]),
                float(entry["eval_rewards/accuracies"]),
            )
            for entry in history
            if "eval_loss" in entry
        ),
        step=step,
    )
