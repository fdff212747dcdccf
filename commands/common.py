"""What several commands share: options, the progress bar, and answering a file of questions."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rag import Outcomes, Pipeline

FOLDER = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
LEVEL = click.FloatRange(0, 1, min_open=True, max_open=True)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every command that runs the model needs."""
    for option in (
        click.option("--device", help="A torch device.  [default: the first GPU, or else the CPU]"),
        click.option("--encoder", help="The index's encoder, if it has moved since."),
        click.option("--adapter", type=FOLDER, help="PEFT adapter made by `titrate train`."),
        click.option("--mllm", required=True, help="Model: a transformers folder, or OWNER/NAME of the hub."),
        click.option("--index", type=FOLDER, required=True, help="Index folder."),
    ):
        command = option(command)
    return command


def question_options(split: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What every command that answers a file of questions needs."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option("--max-k", type=click.IntRange(0), default=8, help="K: try 0 to K contexts."),
            click.option("--split", default=split, help="Use the questions of this split."),
            click.option("--root", type=FOLDER, help="Folder of the images.  [default: the question file's]"),
            click.argument("questions", type=FILE),
        ):
            command = option(command)
        return command

    return add


def answer_all(
    path: Path, root: Path | None, split: str, max_k: int, models: dict[str, Any], certificate: Any = None
) -> "tuple[Pipeline, Outcomes]":
    """Answer every closed question of a split at k = 0..K."""
    from rag import Pipeline, closed_questions, read_questions, retrieve, score_outcomes

    asked = read_questions(path, root=root, splits=[split])
    closed = closed_questions(asked, path)
    if len(closed) < len(asked):
        click.echo(f"{len(asked) - len(closed)} of {len(asked)} questions are open and left out", err=True)
    with Pipeline.open(certificate=None, k=0, **models) as pipeline, progress("answering") as show:
        if certificate is not None:
            certificate.verify(pipeline.fingerprints)
        retrieved = retrieve(pipeline.index, pipeline.encoder, closed, max_k)
        return pipeline, score_outcomes(pipeline.mllm, pipeline.prompt, retrieved, max_k, progress=show)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr; what it yields is told how much is done, and how much there is in all."""
    with click.progressbar(length=0, label=label, file=sys.stderr, show_pos=True) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield show
