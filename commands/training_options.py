"""Options of `titrate train` that say how to train."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from commands.click_parts import Decorator, option, option_group
from commands.paths import SEED

if TYPE_CHECKING:
    from preference import TrainingSettings

SHARE = click.FloatRange(0, 1, max_open=True)


def _losses(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Names and factors out of NAME or NAME=FACTOR."""
    losses = []
    for value in values:
        name, _, factor = value.partition("=")
        try:
            losses.append((name, float(factor or 1)))
        except ValueError as error:
            raise click.BadParameter(f"{value!r} is not NAME or NAME=FACTOR, as in sft=0.1", ctx, parameter) from error
    return tuple(losses)


def _make_settings(
    full: bool,
    epochs: float,
    max_steps: int | None,
    learning_rate: float | None,
    beta: float,
    losses: tuple[tuple[str, float], ...],
    label_smoothing: float,
    batch_size: int,
    accumulate: int,
    hold_out: float,
    patience: int,
    seed: int,
) -> "TrainingSettings":
    from preference import TrainingSettings

    return TrainingSettings(
        epochs=epochs,
        learning_rate=learning_rate,
        beta=beta,
        seed=seed,
        batch_size=batch_size,
        accumulate=accumulate,
        max_steps=max_steps,
        losses=losses,
        label_smoothing=label_smoothing,
        full=full,
        hold_out=hold_out,
        patience=patience,
    )


def settings_options(training: str, stop: str) -> Decorator:
    """How to train and when to stop, under two headings; the command gets them as ``settings``."""
    options = (
        option("--full", is_flag=True, help="Train all weights of the model, not an adapter.", section=training),
        option("--epochs", type=float, default=3.0, help="Passes over the pairs.", section=training),
        option(
            "--learning-rate",
            type=float,
            help="Learning rate at the first step.  [default: 1e-4; with --full 1e-6]",
            section=training,
        ),
        option(
            "--beta",
            type=float,
            default=0.1,
            help="How strongly the model is held to what it was.",
            section=training,
        ),
        option(
            "--loss-type",
            "losses",
            multiple=True,
            default=["sigmoid"],
            callback=_losses,
            metavar="NAME[=FACTOR]",
            help="Loss to minimise: sigmoid (DPO), ipo, hinge, robust, and sft beside one of these; several are added "
            "up, each times its factor. Repeatable.",
            section=training,
        ),
        option(
            "--label-smoothing",
            type=float,
            default=0.0,
            help="For the robust loss: the share of pairs that are thought to be the wrong way round.",
            section=training,
        ),
        option(
            "--batch-size",
            type=click.IntRange(1),
            default=8,
            help="Pairs that go through the model at once, in each process.",
            section=training,
        ),
        option(
            "--accumulate",
            type=click.IntRange(1),
            default=1,
            help="Batches whose gradients make one step.",
            section=training,
        ),
        option(
            "--seed",
            type=SEED,
            default=0,
            help="Seed of the adapter's first weights, the order of the pairs, and what is held out.",
            section=training,
        ),
        option("--max-steps", type=click.IntRange(1), help="Stop after so many steps at the latest.", section=stop),
        option(
            "--hold-out",
            type=SHARE,
            default=0.1,
            help="Share of the patients whose pairs are not trained on: their loss says when to stop.",
            section=stop,
        ),
        option(
            "--patience",
            type=click.IntRange(1),
            default=3,
            help="Stop after so many evaluations without progress.",
            section=stop,
        ),
    )
    return option_group("settings", _make_settings, options)
