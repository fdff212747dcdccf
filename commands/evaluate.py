"""`titrate evaluate`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.click_parts import SectionedCommand, example, option
from commands.options import OUTPUT, certificate_key_option, progress, question_options, system_options
from commands.output import say_json, say_page
from commands.paths import FILE

if TYPE_CHECKING:
    from rag import PolicyScore, QuestionOptions, RetrievalScore, SystemOptions

_JUDGED = "What is judged"


@click.command(
    cls=SectionedCommand,
    epilog=example("titrate evaluate questions.jsonl --mllm MODEL --certificate certificate.json"),
)
@question_options("test")
@option("--certificate", type=FILE, help="Judge the certified policy as well.", section=_JUDGED)
@certificate_key_option
@option(
    "--retrieval",
    "by_itself",
    is_flag=True,
    help="Judge the ways to find similar cases instead; needs no model.",
    section=_JUDGED,
)
@system_options(mllm_required=False)
@option("--json", "as_json", is_flag=True, help="Print JSON.", section=OUTPUT)
def evaluate(
    questions: "QuestionOptions",
    split: str,
    certificate: Path | None,
    signed_by: str | None,
    by_itself: bool,
    system: "SystemOptions",
    as_json: bool,
) -> None:
    """Compare policies on questions that nothing was chosen by.

    Every number of reports, the certified policy, and answers that need no model, side by side.
    """
    rows: Sequence[PolicyScore | RetrievalScore]
    if by_itself:
        from rag import evaluate_retrieval_file, format_retrieval

        found = evaluate_retrieval_file(system, questions, split, progress=progress)
        rows, table = found, format_retrieval(found)
    else:
        from rag import QuestionRun, evaluate_run, format_scores, load_certificate

        promised = load_certificate(certificate, signed_by)
        system.check(promised)
        with QuestionRun.open(system, questions, progress=progress) as run:
            scores = evaluate_run(run, split, promised)
        rows, table = scores, format_scores(scores)
    if as_json:
        say_json([asdict(row) for row in rows])
    else:
        say_page(table)
