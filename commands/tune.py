"""`titrate tune`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.click_parts import SectionedCommand, example, option, option_group, personal_option
from commands.index import corpus_options
from commands.model_options import device_option
from commands.options import OUTPUT, file_view, make_view, progress, view_options
from commands.output import say, show_skipped
from commands.paths import FOLDER, SEED, refuse_overwriting
from commands.training_options import SHARE
from titrate import NothingGainedError

if TYPE_CHECKING:
    from indexing import CorpusOptions, ImageView, TuningResult, TuningSettings

_MODEL, _TRAINING, _STOP = "Model", "Training", "When to stop"


def _make_settings(
    full: bool,
    epochs: int,
    batch_size: int,
    learning_rate: float | None,
    crop: float,
    seed: int,
    hold_out: float,
    patience: int,
) -> "TuningSettings":
    from indexing import TuningSettings

    return TuningSettings(full, epochs, batch_size, learning_rate, crop, hold_out, patience, seed)


_settings_options = option_group(
    "settings",
    _make_settings,
    (
        option("--full", is_flag=True, help="Train all weights, not adapters that are merged.", section=_TRAINING),
        option("--epochs", type=click.IntRange(1), default=12, help="Passes over the pairs.", section=_TRAINING),
        option(
            "--batch-size",
            type=click.IntRange(2),
            default=64,
            help="Pairs that are told apart from one another in a step.",
            section=_TRAINING,
        ),
        option(
            "--learning-rate",
            type=float,
            help="Highest learning rate.  [default: 1e-3; with --full 1e-4]",
            section=_TRAINING,
        ),
        option(
            "--crop",
            type=click.FloatRange(0, 1, min_open=True),
            default=0.8,
            help="Cut images at random to this share of their area or more; 1 shows them whole.",
            section=_TRAINING,
        ),
        option(
            "--seed",
            type=SEED,
            default=0,
            help="Seed of the adapters' first weights, the order of the pairs, the crops.",
            section=_TRAINING,
        ),
        option(
            "--hold-out",
            type=SHARE,
            default=0.15,
            help="Share of the patients who are not trained on: how many of their reports are found says when to stop.",
            section=_STOP,
        ),
        option(
            "--patience",
            type=click.IntRange(1),
            default=5,
            help="Stop after so many evaluations without progress.",
            section=_STOP,
        ),
    ),
)


@click.command(
    cls=SectionedCommand,
    epilog=example("titrate tune corpus.jsonl --encoder local-dir:samples/models/encoder --out tuned"),
)
@click.argument("corpus", type=FOLDER, help="An archive, as `titrate index` takes it.")
@corpus_options()
@personal_option(
    "--encoder",
    required=True,
    help="Model to begin with, of open_clip: local-dir:FOLDER, hf-hub:OWNER/NAME or NAME/WEIGHTS.",
    section=_MODEL,
)
@device_option(_MODEL)
@option_group(
    "view",
    lambda window, frame: make_view(window, frame, file_view),
    view_options("the file's own", "the middle one"),
)
@_settings_options
@personal_option("--out", type=FOLDER, default=Path("encoder"), help="Folder of the encoder to write.", section=OUTPUT)
def tune(
    corpus: Path,
    options: "CorpusOptions",
    encoder: str,
    device: str | None,
    view: "ImageView | None",
    settings: "TuningSettings",
    out: Path,
) -> None:
    """Tune an encoder on an archive's own images and reports.

    Records of split train, or of none, are trained on; part of their patients are held out. `titrate index --encoder
    local-dir:OUT` takes what is written. An interrupted run goes on when it is run again. Exit code 3: nothing was
    gained, and OUT holds the encoder as it was.
    """
    from indexing import tune_encoder

    refuse_overwriting({"--out": out}, {"CORPUS": corpus})
    with progress("reading") as reading, progress("tuning") as tuning:
        result = tune_encoder(
            corpus, encoder, out, settings, replace(options, view=view), device=device, reading=reading, progress=tuning
        )
    _print_result(result)
    if not result.improved:
        raise NothingGainedError(
            f"tuning did not help: no step found more of the held-out reports than before ({result.before}); {out} "
            "holds the encoder as it was"
        )


def _print_result(result: "TuningResult") -> None:
    say(
        f"{result.records} records of {result.patients} patients, {len(result.losses)} steps: loss "
        f"{result.losses[0]:.3f} to {result.losses[-1]:.3f}; {result.other_split} of other splits, {result.skipped} "
        "skipped"
    )
    say(
        f"{result.held_out} records of {result.held_out_patients} patients held out, {result.held_out_reports} "
        f"different reports: {result.before} before"
    )
    if result.improved:
        say(f"{result.after} with the weights after step {result.step}; encoder: {result.folder}")
    show_skipped(result.problems, result.skipped, result.no_pictures)
    if result.skipped:
        say(f"all of them are in {result.folder}.skipped.jsonl", err=True)
