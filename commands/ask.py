"""`titrate ask`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.click_parts import SectionedCommand, example, option
from commands.options import OUTPUT, certificate_key_option, system_options
from commands.output import say_json, say_page
from commands.paths import FILE, FOLDER
from titrate import InputError

if TYPE_CHECKING:
    from rag import OutOfDomain, SystemOptions

_HOW_MANY, _IMAGE = "How many reports are read", "The image"


@click.command(
    cls=SectionedCommand,
    epilog=example('titrate ask chest.png "Is there an effusion?" --options yes,no --mllm MODEL --k 3'),
)
@click.argument("image", type=FILE, help="PNG, JPEG, TIFF, WebP or DICOM file.")
@click.argument("question", help="What to ask about it.")
@option(
    "--options",
    help="Answers to choose from, separated by commas; without them the answer is free text.",
    section="The answer",
)
@option(
    "--option",
    multiple=True,
    help="One answer to choose from, which may hold commas. Repeatable, in place of --options.",
    section="The answer",
)
@option("--certificate", type=FILE, help="Read as many as this certificate says.", section=_HOW_MANY)
@option("--k", type=click.IntRange(0), help="Read so many, without a guarantee.", section=_HOW_MANY)
@option(
    "--questions",
    type=FILE,
    help="Question file of the calibration: refuse to answer if it has changed since.",
    section=_HOW_MANY,
)
@option("--root", type=FOLDER, help="Folder of those questions' images.  [default: the file's]", section=_HOW_MANY)
@option("--split", default="calibrate", help="Split of those questions.", section=_HOW_MANY)
@option("--patient", help="Whose image this is: nothing of theirs is retrieved.", section=_IMAGE)
@option("--study", help="Study that the image belongs to: nothing of it is retrieved.", section=_IMAGE)
@option(
    "--out-of-domain",
    type=click.Choice(["decline", "search"]),
    default="decline",
    help="What to do about an image unlike the index's domains: decline to answer, or search all domains.",
    section=_IMAGE,
)
@certificate_key_option
@system_options()
@option("--json", "as_json", is_flag=True, help="Print JSON.", section=OUTPUT)
@option("--show-prompt", is_flag=True, help="Print what the model was asked as well.", section=OUTPUT)
def ask(
    image: Path,
    question: str,
    options: str | None,
    option: tuple[str, ...],
    certificate: Path | None,
    k: int | None,
    questions: Path | None,
    root: Path | None,
    split: str,
    patient: str | None,
    study: str | None,
    out_of_domain: "OutOfDomain",
    signed_by: str | None,
    system: "SystemOptions",
    as_json: bool,
    show_prompt: bool,
) -> None:
    """Answer a question about an image.

    Shows the reports of similar cases that the answer rests on, and what is promised of it.
    """
    from rag import (
        Pipeline,
        answer_json,
        answer_page,
        check_calibration_questions,
        check_query,
        load_certificate,
        make_query,
    )

    if options is not None and option:
        raise InputError("--options and --option both name the answers to choose from; give one of the two")
    choices = list(option) or (None if options is None else options.split(","))
    check_query(make_query(image, question, choices, patient=patient, study=study), system)
    promised = load_certificate(certificate, signed_by)
    if questions is not None:
        if promised is None:
            raise InputError("without a certificate there are no questions of its calibration; leave out --questions")
        check_calibration_questions(promised, questions, root, split)
    with Pipeline.open_system(system, promised, k, out_of_domain) as pipeline:
        answer = pipeline.ask(image, question, choices, patient=patient, study=study)
    if as_json:
        say_json(answer_json(answer, with_prompt=show_prompt))
    else:
        say_page(answer_page(answer, with_prompt=show_prompt))
