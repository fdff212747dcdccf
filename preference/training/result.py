"""The result of training, read from the trainer's history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Evaluation:
    """One evaluation on the held-out pairs.

    Attributes
    ----------
    step
        The step after which it was made; 0 before training.
    loss
        Mean loss of the held-out pairs.
    margin
        Mean reward margin of the held-out pairs, in nats, as in `TrainingResult`.
    accuracy
        Share of the held-out pairs whose margin is above 0.
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
        The folder of the adapter, or of the whole model.
    pairs, held_out
        Number of pairs that were trained on, and of pairs that were held out.
    losses
        Loss of each step, before the step changes the weights. For DPO with weights of 1 the first is log 2.
    margins
        Mean reward margin of each step, in nats: β times the rise of the chosen answer's log-probability since the
        start, less that of the rejected answer's.
    evaluations
        The evaluations on held-out pairs, by step; none if nothing was held out.
    step
        The step whose weights were kept: the one with the lowest loss on held-out pairs or, if nothing was held out,
        the last.
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
        """The evaluation of the weights that were kept; None if nothing was held out."""
        return next((evaluation for evaluation in self.evaluations if evaluation.step == self.step), None)

    @property
    def improved(self) -> bool:
        """Whether the loss on held-out pairs is lower than before training; True if nothing was held out."""
        return self.kept is None or self.kept.loss < self.evaluations[0].loss


def read_result(
    folder: Path, pairs: int, held_out: int, history: Sequence[Mapping[str, Any]], step: int
) -> TrainingResult:
    """Read the result from the trainer's history.

    Parameters
    ----------
    folder, pairs, held_out, step
        As in `TrainingResult`.
    history
        What the trainer logged, in order.
    """
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
