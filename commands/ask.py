"""`titrate ask`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import FILE, FOLDER, model_options, view_options, with_view
from titrate import InputError

if TYPE_CHECKING:
    from rag import OutOfDomain, Pipeline


@click.command()
@click.argument("image", type=FILE)
@click.argument("question")
@model_options()
@click.option("--options", help="Answers to choose from, separated by commas; without them the answer is free text.")
@click.option("--certificate", type=FILE, help="Certificate that decides how many contexts are read.")
@click.option("--questions", type=FILE, help="Questions of the calibration: refuse to answer if they have changed.")
@click.option("--root", type=FOLDER, help="Folder of those questions' images.  [default: the question file's]")
@click.option("--split", default="calibrate", help="Split of those questions.")
@click.option("--k", type=click.IntRange(0), help="Read so many contexts, without a guarantee.")
@click.option("--patient", help="Whose image this is; nothing of theirs is retrieved.")
@click.option("--study", help="Study that it belongs to; nothing of it is retrieved.")
@click.option(
    "--out-of-domain",
    type=click.Choice(["decline", "search"]),
    default="decline",
    help="What to do about an image unlike the index's domains: decline to answer, or search them all.",
)
@view_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--show-prompt", is_flag=True, help="Print the prompt as well.")
def ask(
    image: Path,
    question: str,
    options: str | None,
    certificate: Path | None,
    questions: Path | None,
    root: Path | None,
    split: str,
    k: int | None,
    patient: str | None,
    study: str | None,
    out_of_domain: "OutOfDomain",
    as_json: bool,
    show_prompt: bool,
    **models: Any,
) -> None:
    """Answer a QUESTION about an IMAGE."""
    from rag import Pipeline, answer_json, answer_page

    if questions is not None and certificate is None:
        raise InputError("without a certificate there are no questions of its calibration; leave out --questions")
    choices = None if options is None else [option.strip() for option in options.split(",")]
    opened = Pipeline.open(certificate=certificate, k=k, out_of_domain=out_of_domain, **with_view(models))
    with opened as pipeline:
        if questions is not None:
            _verify_questions(pipeline, questions, root, split)
        answer = pipeline.ask(image, question, choices, patient=patient, study=study)
    if as_json:
        click.echo(json.dumps(answer_json(answer, with_prompt=show_prompt), ensure_ascii=False, indent=1))
    else:
        click.echo(answer_page(answer, with_prompt=show_prompt))


def _verify_questions(pipeline: "Pipeline", path: Path, root: Path | None, split: str) -> None:
    """Make sure that the certificate was made with these questions."""
    from rag import closed_questions, questions_fingerprint, read_questions

    assert pipeline.certificate is not None  # the caller sees to it
    read = read_questions(path, root=root, splits=[split])
    asked = read if "loss" in pipeline.certificate.fingerprints else closed_questions(read, path)
    pipeline.certificate.verify({**pipeline.fingerprints, "questions": questions_fingerprint(asked)})
