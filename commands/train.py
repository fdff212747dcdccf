"""`titrate train`."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.calibrate import calibrate
from commands.click_parts import SectionedCommand, example, option, option_group, personal_option
from commands.model_options import device_option, loading_options
from commands.options import IMAGES, LEVEL, OUTPUT, file_view, make_view, progress, prompt_options, view_options
from commands.output import say
from commands.paths import FILE, FOLDER, refuse_overwriting
from commands.training_options import settings_options
from titrate import InputError

if TYPE_CHECKING:
    from indexing import ImageView
    from preference import TrainingResult, TrainingSettings
    from rag import LoadingOptions

_MOST_SHOWN = 20
_MODEL, _TRAINING, _STOP, _LATER = "Model", "Training", "When to stop", "Calibrate afterwards"


def _make_loading(device_map: str | None, quantize_model: str | None, attention: str | None) -> "LoadingOptions":
    from rag import LoadingOptions

    return LoadingOptions(device_map, quantize_model, attention)


_prompt_option, _max_report_tokens_option = prompt_options(_LATER)


@click.command(cls=SectionedCommand, epilog=example("titrate train pairs.jsonl --mllm MODEL --out adapter"))
@click.argument("pairs", type=FILE, help="Preference pairs, as `titrate mine` writes them.")
@personal_option(
    "--mllm", required=True, help="Model: a transformers folder, or OWNER/NAME of the hub.", section=_MODEL
)
@device_option(_MODEL)
@option_group("loading", _make_loading, loading_options(_MODEL))
@option("--root", type=FOLDER, help="Folder of the images.  [default: the pair file's]", section=IMAGES)
@option_group(
    "view",
    lambda window, frame: make_view(window, frame, file_view),
    view_options("the file's own, or with --then-calibrate the index's", "the middle one, or with it the index's"),
)
@settings_options(_TRAINING, _STOP)
@option("--skip-bad", is_flag=True, help="Leave out pairs that cannot be trained on, and list them.", section=OUTPUT)
@personal_option(
    "--out",
    type=FOLDER,
    default=Path("adapter"),
    help="Folder of the adapter to write, or of the model with --full.",
    section=OUTPUT,
)
@personal_option(
    "--merge", type=FOLDER, help="Write a model with the adapter merged into its weights too.", section=OUTPUT
)
@option(
    "--then-calibrate",
    type=FILE,
    metavar="QUESTIONS",
    help="Calibrate the trained model with these questions.",
    section=_LATER,
)
@option("--alpha", type=LEVEL, help="Risk to promise.", section=_LATER)
@option("--delta", type=LEVEL, help="Chance that the promise is false.", section=_LATER)
@option("--index", type=FOLDER, help="Index folder.", section=_LATER)
@personal_option("--encoder", help="The index's encoder, as `titrate calibrate` takes it.", section=_LATER)
@personal_option("--url", help="The index's Qdrant server, as `titrate calibrate` takes it.", section=_LATER)
@option("--calibrate-root", type=FOLDER, help="Folder of those questions' images.", section=_LATER)
@personal_option("--certificate", type=FILE, help="Certificate to write.", section=_LATER)
@_prompt_option
@_max_report_tokens_option
@click.pass_context
def train(
    ctx: click.Context,
    pairs: Path,
    mllm: str,
    device: str | None,
    loading: "LoadingOptions",
    root: Path | None,
    view: "ImageView | None",
    settings: "TrainingSettings",
    skip_bad: bool,
    out: Path,
    merge: Path | None,
    then_calibrate: Path | None,
    alpha: float | None,
    delta: float | None,
    index: Path | None,
    encoder: str | None,
    url: str | None,
    calibrate_root: Path | None,
    certificate: Path | None,
    prompt: Path | None,
    max_report_tokens: int | None,
) -> None:
    """Train an adapter on preference pairs.

    Afterwards the model leans on image and reports as far as each deserves. Under `accelerate launch` its processes
    train together.
    """
    from indexing import Manifest
    from preference import SkippedPair, is_main_process, read_pairs

    system = {"--prompt": prompt, "--max-report-tokens": max_report_tokens, "--encoder": encoder, "--url": url}
    files = {"--index": index, "--root": calibrate_root, "--out": certificate}
    asked: dict[str, object] = {"--alpha": alpha, "--delta": delta, **files, **system}
    told = [word for name, value in asked.items() if value is not None for word in (name, str(value))]
    later = None
    if then_calibrate is not None:
        tuned = ["--mllm", str(out)] if settings.full else ["--mllm", mllm, "--adapter", str(out)]
        tuned += [] if device is None else ["--device", device]
        tuned += [word for name, value in loading.named().items() for word in (name, value)]
        later = _calibration(ctx, then_calibrate, [*told, *tuned, *_words(view)])
        view = view or Manifest.load(later.params["index"]).view
    elif told:
        raise InputError(
            "--alpha, --delta, --index, --encoder, --url, --calibrate-root, --certificate, --prompt and "
            "--max-report-tokens go with --then-calibrate"
        )
    read = {"PAIRS": pairs, "--then-calibrate": then_calibrate, "--prompt": prompt, "--index": index}
    read |= {"--mllm": Path(mllm)} if os.path.exists(mllm) else {}
    refuse_overwriting({"--out": out, "--merge": merge, "--certificate": certificate}, read)
    main, skipped = is_main_process(), list[SkippedPair]()

    def leave_out(bad: SkippedPair) -> None:
        skipped.append(bad)
        if main and len(skipped) <= _MOST_SHOWN:
            say(f"left out: {bad.where}: {bad.reason}", err=True)

    skip = leave_out if skip_bad else None
    chosen = read_pairs(pairs, root=root, skip=skip)
    from preference import train_adapter  # takes seconds, which a pair file that is refused need not cost

    with progress("training") if main else nullcontext() as show:
        report = train_adapter(
            chosen,
            mllm,
            out,
            settings,
            device=device,
            loading=loading,
            view=view,
            merge=merge,
            skip=skip,
            progress=show,
        )
    if not main:
        return
    line = _told(report) + (f"; {len(skipped)} bad pairs left out" if skipped else "")
    say(line + ("" if merge is None else f"; merged model: {merge}"))
    if not report.improved:
        say("the held-out loss never fell below what it was before training", err=True)
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
    """The options that say how images are shown."""
    window = [] if view is None or view.window is None else ["--window", ",".join(map(str, view.window))]
    return window + ([] if view is None or view.frame is None else ["--frame", str(view.frame)])


def _told(report: "TrainingResult") -> str:
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
