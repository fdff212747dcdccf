"""`titrate ask`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import FILE, decoding_options, model_options

if TYPE_CHECKING:
    from rag import Unfamiliar


@click.command()
@click.argument("image", type=FILE)
@click.argument("question")
@model_options()
@click.option("--options", help="Answers to choose from, separated by commas; without them the answer is free text.")
@click.option("--certificate", type=FILE, help="Certificate that decides how many contexts are read.")
@click.option("--k", type=click.IntRange(0), help="Read so many contexts, without a guarantee.")
@click.option("--patient", help="Whose image this is; nothing of theirs is retrieved.")
@click.option("--study", help="Study that it belongs to; nothing of it is retrieved.")
@click.option(
    "--unfamiliar",
    type=click.Choice(["decline", "search"]),
    default="decline",
    help="What to do about an image unlike the index's domains: decline to answer, or search them all.",
)
@decoding_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--show-prompt", is_flag=True, help="Print the prompt as well.")
def ask(
    image: Path,
    question: str,
    options: str | None,
    certificate: Path | None,
    k: int | None,
    patient: str | None,
    study: str | None,
    unfamiliar: "Unfamiliar",
    window: tuple[float, float] | None,
    frame: int | None,
    as_json: bool,
    show_prompt: bool,
    **models: Any,
) -> None:
    """Answer a QUESTION about an IMAGE."""
    from indexing import Decoding
    from rag import Pipeline, answer_json, answer_page

    choices = None if options is None else [option.strip() for option in options.split(",")]
    decoding = Decoding(window, frame) if window is not None or frame is not None else None
    with Pipeline.open(certificate=certificate, k=k, unfamiliar=unfamiliar, decoding=decoding, **models) as pipeline:
        answer = pipeline.ask(image, question, choices, patient=patient, study=study)
    if as_json:
        click.echo(json.dumps(answer_json(answer, with_prompt=show_prompt), ensure_ascii=False, indent=1))
    else:
        click.echo(answer_page(answer, with_prompt=show_prompt))
