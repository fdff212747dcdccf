"""`titrate train`."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.calibrate import calibrate
from commands.common import FILE, FOLDER, LEVEL, progress, view_options, with_view
from titrate import InputError

if TYPE_CHECKING:
    from indexing import ImageView
    from preference import TrainingReport

SHARE = click.FloatRange(0, 1, max_open=True)
_MOST_SHOWN = 20


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


@click.command()
@click.argument("pairs", type=FILE)
@click.option("--mllm", required=True, help="Model: a transformers folder, or OWNER/NAME of the hub.")
@click.option("--root", type=FOLDER, help="Folder of the images.  [default: the pair file's]")
@click.option("--out", type=FOLDER, default=Path("adapter"), help="Folder of the adapter, or of the model with --full.")
@click.option("--full", is_flag=True, help="Train all weights of the model, not an adapter.")
@click.option("--merge", type=FOLDER, help="Folder for a model with the adapter in its weights, to write as well.")
@click.option("--epochs", type=float, default=3.0, help="Passes over the pairs.")
@click.option("--max-steps", type=click.IntRange(1), help="Stop after so many steps, if that is earlier.")
@click.option("--learning-rate", type=float, help="At the first step.  [default: 1e-4; with --full 1e-6]")
@click.option("--beta", type=float, default=0.1, help="How strongly the model is held to what it was.")
@click.option(
    "--loss-type",
    "losses",
    multiple=True,
    default=["sigmoid"],
    callback=_losses,
    metavar="NAME[=FACTOR]",
    help="Of sigmoid (DPO), ipo, hinge, robust and sft; several are added up.",
)
@click.option("--label-smoothing", type=float, default=0.0, help="Of robust: share of pairs thought to be reversed.")
@click.option("--batch-size", type=click.IntRange(1), default=8, help="Pairs at once, in each process.")
@click.option("--accumulate", type=click.IntRange(1), default=1, help="Batches a step.")
@click.option("--hold-out", type=SHARE, default=0.1, help="Share of patients whose pairs tell when to stop.")
@click.option("--patience", type=click.IntRange(1), default=3, help="Stop after so many evaluations without progress.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of first weights, order, and what is held out.")
@click.option("--skip-bad", is_flag=True, help="Leave out pairs that cannot be trained on, and list them.")
@click.option("--device", help="A torch device.  [default: the first GPU, or else the CPU]")
@view_options
@click.option("--then-calibrate", type=FILE, metavar="QUESTIONS", help="Calibrate anew with these when trained.")
@click.option("--alpha", type=LEVEL, help="Of that calibration: risk to promise.")
@click.option("--delta", type=LEVEL, help="Of that calibration: chance that the promise is false.")
@click.option("--index", type=FOLDER, help="Of that calibration: index folder.")
@click.option("--calibrate-root", type=FOLDER, help="Of that calibration: folder of the questions' images.")
@click.option("--certificate", type=FILE, help="Of that calibration: certificate to write.")
@click.pass_context
def train(
    ctx: click.Context,
    /,
    pairs: Path,
    mllm: str,
    root: Path | None,
    out: Path,
    merge: Path | None,
    skip_bad: bool,
    device: str | None,
    then_calibrate: Path | None,
    alpha: float | None,
    delta: float | None,
    index: Path | None,
    calibrate_root: Path | None,
    certificate: Path | None,
    **options: Any,
) -> None:
    """Train an adapter on preference PAIRS, so that the model leans on image and contexts as far as each deserves.

    Under `accelerate launch` its processes train together.
    """
    from indexing import Manifest
    from preference import Skipped, TrainingSettings, is_main_process, read_pairs, train_adapter

    settings = with_view(options)
    view: ImageView | None = settings.pop("view")
    asked = {"--alpha": alpha, "--delta": delta, "--index": index, "--root": calibrate_root, "--out": certificate}
    told = [word for name, value in asked.items() if value is not None for word in (name, str(value))]
    later = None
    if then_calibrate is not None:
        tuned = ["--mllm", str(out)] if settings["full"] else ["--mllm", mllm, "--adapter", str(out)]
        tuned += [] if device is None else ["--device", device]
        later = _calibration(ctx, then_calibrate, [*told, *tuned, *_words(view)])
        view = view or Manifest.load(later.params["index"]).view
    elif told:
        raise InputError("--alpha, --delta, --index, --calibrate-root and --certificate go with --then-calibrate")
    wanted = TrainingSettings(**settings)
    main, skipped = is_main_process(), list[Skipped]()

    def leave_out(bad: Skipped) -> None:
        skipped.append(bad)
        if main and len(skipped) <= _MOST_SHOWN:
            click.echo(f"left out: {bad.where}: {bad.reason}", err=True)

    skip = leave_out if skip_bad else None
    chosen = read_pairs(pairs, root=root, skip=skip)
    with progress("training") if main else nullcontext() as show:
        report = train_adapter(
            chosen,
            mllm,
            out,
            wanted,
            device=device,
            view=view,
            merge=merge,
            skip=skip,
            progress=show,
        )
    if not main:
        return
    line = _told(report) + (f"; {len(skipped)} bad pairs left out" if skipped else "")
    click.echo(line + ("" if merge is None else f"; merged model: {merge}"))
    if not report.improved:
        click.echo("the held-out loss never fell below what it was before training", err=True)
    if later is not None:
        with later:
            calibrate.invoke(later)


def _calibration(ctx: click.Context, questions: Path, words: Sequence[str]) -> click.Context:
    """`titrate calibrate` with its own settings and these, ready to run; what is wrong with them is told now."""
    later = calibrate.make_context("calibrate", [str(questions), *words], parent=ctx.parent)
    if not questions.is_file():
        raise InputError(f"{questions} does not exist; check the path")
    return later


def _words(view: "ImageView | None") -> list[str]:
    """The options that say how images are decoded."""
    if view is None:
        return []
    window = [] if view.window is None else ["--window", ",".join(map(str, view.window))]
    return window + ([] if view.frame is None else ["--frame", str(view.frame)])


def _told(report: "TrainingReport") -> str:
    """One line about what training did."""
    line = (
        f"{report.pairs} pairs, {len(report.losses)} steps: loss {report.losses[0]:.3f} to {report.losses[-1]:.3f}, "
        f"reward margin {report.margins[0]:.3f} to {report.margins[-1]:.3f}"
    )
    if report.kept is not None:
        line += (
            f"; {report.held_out} held-out pairs: loss {report.evaluations[0].loss:.3f} to {report.kept.loss:.3f} "
            f"after step {report.step}"
        )
    return line + f"; {'adapter' if (report.folder / 'adapter_config.json').exists() else 'model'}: {report.folder}"
