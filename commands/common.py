"""What several commands share: options and the progress bar."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

FOLDER = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
LEVEL = click.FloatRange(0, 1, min_open=True, max_open=True)


index_option = click.option("--index", type=FOLDER, default=Path("index"), help="Index folder.")

api_key_option = click.option(
    "--api-key", envvar="TITRATE_API_KEY", help="Of the Qdrant server; better set as TITRATE_API_KEY. It is not stored."
)

mllm_api_key_option = click.option(
    "--mllm-api-key",
    envvar="TITRATE_MLLM_API_KEY",
    help="Of the model's server; better set as TITRATE_MLLM_API_KEY. It is not stored.",
)


def _window(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """Centre and width out of CENTRE,WIDTH."""
    if value is None:
        return None
    try:
        centre, width = (float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not CENTRE,WIDTH, as in 40,400", ctx, parameter) from error
    return centre, width


def view_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How images are decoded that hold more than a screen can show."""
    for option in (
        click.option(
            "--frame",
            type=click.IntRange(0),
            help="Of several, from 0.  [default: the index's, or else the middle one]",
        ),
        click.option(
            "--window",
            callback=_window,
            metavar="CENTRE,WIDTH",
            help="Grey values to show.  [default: the index's, or else the file's]",
        ),
    ):
        command = option(command)
    return command


def with_view(options: dict[str, Any]) -> dict[str, Any]:
    """Options with the window and frame, if a command has them, as a ``view``: None where neither is given."""
    from indexing import ImageView

    window, frame = options.get("window"), options.get("frame")
    rest = {name: value for name, value in options.items() if name not in ("window", "frame")}
    return {**rest, "view": None if window is None and frame is None else ImageView(window, frame)}


def model_options(*, mllm_required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What every command that runs the model needs."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            api_key_option,
            click.option(
                "--retrieve-by",
                "retrieval",
                type=click.Choice(["image-image", "image-report", "question-report", "fusion"]),
                default="image-image",
                help="What is compared to find similar cases.",
            ),
            click.option("--device", help="A torch device.  [default: the first GPU, or else the CPU]"),
            click.option("--encoder", help="The index's encoder, if it has moved since."),
            click.option("--adapter", type=FOLDER, help="PEFT adapter made by `titrate train`."),
            mllm_api_key_option,
            click.option(
                "--mllm",
                required=mllm_required,
                help="Model: a transformers folder, OWNER/NAME of the hub, or http://HOST:PORT/v1#MODEL of a server.",
            ),
            index_option,
        ):
            command = option(command)
        return command

    return add


def question_options(split: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What every command that answers a file of questions needs."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option("--outcomes", type=FOLDER, default=Path("outcomes"), help="Folder that keeps what is scored."),
            click.option("--loss", help="Answer open questions too; score by tokens, findings or module:function."),
            click.option("--max-k", type=click.IntRange(0), default=8, help="K: try 0 to K contexts."),
            click.option("--split", default=split, help="Use the questions of this split."),
            click.option("--root", type=FOLDER, help="Folder of the images.  [default: the question file's]"),
            click.argument("questions", type=FILE),
        ):
            command = option(command)
        return command

    return add


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, with rate and time left; what it yields is told how much is done, and of how much."""
    from tqdm import tqdm

    with tqdm(desc=label, file=sys.stderr, disable=None, mininterval=0.5, dynamic_ncols=True) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
