"""Pairs that are held out of training: which patients' they are, and how their loss decides when to stop."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from preference.pairs import PreferencePair
from preference.training.rows import TrainingRow
from titrate import InputError, independent_unit

LOSS = "eval_loss"
History = Sequence[Mapping[str, Any]]


def hold_out(rows: Sequence[TrainingRow], share: float, seed: int) -> tuple[list[TrainingRow], list[TrainingRow]]:
    """Split rows by patient into those to train on and those to hold out.

    The pairs that name no patient are split by study, or else by image.

    Parameters
    ----------
    rows
        The rows to split; both parts keep their order.
    share
        Share of the patients to hold out. Their number is rounded, but at least one and never all; 0 holds out nobody.
    seed
        Decides which patients are held out.

    Raises
    ------
    InputError
        If a share is wanted and all pairs are of one patient.
    """
    if share == 0:
        return list(rows), []
    owners = sorted({owner(row.pair) for row in rows})
    if len(owners) == 1:
        raise InputError("all pairs are of one patient, and none can be held out; set --hold-out to 0")
    count = min(max(round(share * len(owners)), 1), len(owners) - 1)
    held = set(random.Random(seed).sample(owners, count))
    return [row for row in rows if owner(row.pair) not in held], [row for row in rows if owner(row.pair) in held]


def owner(pair: PreferencePair) -> str:
    """Name whom a pair is about: its patient, or else its study, or else its image."""
    return independent_unit(
        pair.patient and f"patient {pair.patient}", pair.study and f"study {pair.study}", str(pair.image)
    )


def out_of_patience(history: History, patience: int) -> bool:
    """Whether the last ``patience`` evaluations brought no new lowest loss on the held-out pairs.

    This depends on the trainer's history alone, which checkpoints keep, so that a run that was interrupted and resumed
    stops at the same step as one that was not.

    >>> out_of_patience([{"eval_loss": 0.7}, {"loss": 0.1}, {"eval_loss": 0.6}, {"eval_loss": 0.6}], patience=1)
    True
    """
    losses = [entry[LOSS] for entry in history if LOSS in entry]
    return bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= patience


class StopEarly(TrainerCallback):
    """Ends training when `out_of_patience` says so."""

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell the trainer where its best checkpoint is, so that it is not deleted: the folder may have been moved."""
        if state.best_global_step:
            state.best_model_checkpoint = str(Path(args.output_dir) / f"checkpoint-{state.best_global_step}")

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop after an evaluation, whose figures are in the history by now, if patience is over."""
        if out_of_patience(state.log_history, self._patience):
            control.should_training_stop = True
