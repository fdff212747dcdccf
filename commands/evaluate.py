"""`titrate evaluate`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.click_parts import SectionedCommand, example, option, personal_option
from commands.options import OUTPUT, certificate_key_option, progress, question_options, system_options
from commands.output import say_json, say_page
from commands.paths import FILE, FOLDER, SEED, given_files, refuse_overwriting
from titrate import InputError

if TYPE_CHECKING:
    from rag import Comparison, PolicyScore, QuestionOptions, RetrievalScore, SystemOptions

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
@personal_option("--predictions", type=FILE, help="Write every question's answers to this file.", section=OUTPUT)
@personal_option(
    "--measures",
    type=FILE,
    help="Write every figure, with intervals, by domain, by source and over all, to this JSON file.",
    section=OUTPUT,
)
@personal_option("--markdown", type=FILE, help="Write these figures as a page of Markdown.", section=OUTPUT)
@personal_option(
    "--plots", type=FOLDER, help="Draw risk, reliability and reliance as SVG in this folder.", section=OUTPUT
)
@option(
    "--copy-rate",
    is_flag=True,
    help="Ask all again about images that are noise: what is copied from reports, and what is guessed.",
    section=_JUDGED,
)
@option(
    "--seconds",
    "timed",
    type=click.IntRange(1),
    help="Ask so many questions again, one by one, to measure the seconds per answer.",
    section=_JUDGED,
)
@option("--seed", type=SEED, default=0, show_default=True, help="Of intervals, noise and timing.", section=_JUDGED)
@option(
    "--compare",
    "compared",
    type=FILE,
    help="Predictions of another run on the same questions: what changed, paired.",
    section=OUTPUT,
)
@system_options(mllm_required=False)
@option("--json", "as_json", is_flag=True, help="Print JSON.", section=OUTPUT)
def evaluate(
    questions: "QuestionOptions",
    split: str,
    certificate: Path | None,
    signed_by: str | None,
    by_itself: bool,
    predictions: Path | None,
    measures: Path | None,
    markdown: Path | None,
    plots: Path | None,
    copy_rate: bool,
    timed: int | None,
    seed: int,
    compared: Path | None,
    system: "SystemOptions",
    as_json: bool,
) -> None:
    """Compare policies on questions that nothing was chosen by.

    Every number of reports, the certified policy, and answers that need no model, side by side.
    """
    rows: Sequence[PolicyScore | RetrievalScore]
    changes: Sequence[Comparison] = ()
    if by_itself:
        of_answers = {
            "--predictions": predictions, "--compare": compared, "--measures": measures, "--markdown": markdown,
            "--plots": plots, "--copy-rate": copy_rate, "--seconds": timed,
        }  # fmt: skip
        if given := [name for name, value in of_answers.items() if value]:
            raise InputError(f"of answers, not of retrieval: {', '.join(given)}; leave out --retrieval")
        from rag import evaluate_retrieval_file, format_retrieval

        found = evaluate_retrieval_file(system, questions, split, progress=progress)
        rows, table = found, format_retrieval(found)
    else:
        from preference import ImageNoise
        from rag import (
            Noising,
            Predictions,
            QuestionRun,
            compare,
            evaluate_run,
            format_comparison,
            format_scores,
            load_certificate,
            save_plots,
        )

        for name, value in (("--copy-rate", copy_rate), ("--seconds", timed)):
            if value and not (measures or markdown):
                raise InputError(f"{name} is shown among all figures; give --measures or --markdown too")
        other = None if compared is None else Predictions.load(compared)
        refuse_overwriting(
            {"--predictions": predictions, "--measures": measures, "--markdown": markdown, "--plots": plots},
            {**given_files(questions, system), "--certificate": certificate, "--compare": compared},
        )
        promised = load_certificate(certificate, signed_by)
        system.check(promised)
        with QuestionRun.open(system, questions, progress=progress) as run:
            noise = ImageNoise(side=run.system.mllm.image_side, seed=seed)
            judged = evaluate_run(
                run,
                split,
                promised,
                predictions=predictions,
                measured=any(path is not None for path in (measures, markdown, plots)),
                noising=Noising(noise.apply, asdict(noise)) if copy_rate else None,
                timed=timed or 0,
                seed=seed,
            )
        rows, table = judged.scores, format_scores(judged.scores)
        if predictions is not None:
            judged.predictions.save(predictions)
        if judged.measured is not None and measures is not None:
            judged.measured.save(measures)
        if judged.measured is not None and markdown is not None:
            judged.measured.save_markdown(markdown)
        if judged.measured is not None and plots is not None:
            save_plots(judged.measured, plots)
        if other is not None:
            changes = compare(judged.predictions, other)
            left = judged.predictions.unshared(other)
            table += f"\n\nThis run after {compared} before, which {left} questions are not in both of:\n"
            table += format_comparison(changes)
    if as_json and compared is not None:
        say_json({"policies": [asdict(row) for row in rows], "comparison": [asdict(row) for row in changes]})
    elif as_json:
        say_json([asdict(row) for row in rows])
    else:
        say_page(table)
