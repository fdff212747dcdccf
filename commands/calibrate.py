"""`titrate calibrate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.click_parts import SectionedCommand, example, option, option_group, personal_option
from commands.options import LEVEL, OUTPUT, progress, question_options, system_options
from commands.output import say
from commands.paths import FILE, given_files, refuse_overwriting
from titrate import InputError, NothingCertifiedError

if TYPE_CHECKING:
    from rag import CalibrationOptions, QuestionOptions, SystemOptions

_PROMISE, _TRIED, _TEST = "The promise", "What is tried", "How it is tested"


def _make_options(
    alpha: float,
    delta: float,
    prior_split: str | None,
    procedure: str | None,
    p_value: str | None,
    gammas: tuple[float, ...],
    taus: tuple[float, ...],
    blends: tuple[str, ...],
    gates: tuple[float, ...],
    only_k: bool,
    sequential: bool,
) -> "CalibrationOptions":
    from calibration import BLENDS
    from rag import CalibrationOptions

    if only_k and (blends or gates):
        raise InputError("--only-k tries neither blends nor gates; leave it out, or --blend and --gate")
    return CalibrationOptions(
        alpha=alpha,
        delta=delta,
        prior_split=prior_split,
        procedure=procedure,
        p_value=p_value,
        gammas=gammas,
        taus=taus,
        blends=() if only_k else tuple(blend for blend in BLENDS if blend in blends) if blends else None,
        gates=() if only_k else gates or None,
        sequential=sequential,
    )


_calibration_options = option_group(
    "options",
    _make_options,
    (
        option(
            "--alpha", type=LEVEL, required=True, help="Risk to promise: the share of wrong answers.", section=_PROMISE
        ),
        option("--delta", type=LEVEL, default=0.1, help="Chance that the promise is false.", section=_PROMISE),
        option(
            "--gamma",
            "gammas",
            type=float,
            multiple=True,
            help="Try a ratio cut too: read on only while the log-similarity falls by at most so much. Repeatable.",
            section=_TRIED,
        ),
        option(
            "--tau",
            "taus",
            type=float,
            multiple=True,
            help="Try answering only where the confidence is at least so much. Repeatable.",
            section=_TRIED,
        ),
        option(
            "--blend",
            "blends",
            type=click.Choice(["pair", "all"]),
            multiple=True,
            help="Try blends: the mean of the answers alone and with k reports, or with each of 0 to k. Repeatable.  "
            "[default: both, where every question has options]",
            section=_TRIED,
        ),
        option(
            "--gate",
            "gates",
            type=float,
            multiple=True,
            help="Try reading reports only where the confidence without is below so much. Repeatable.  "
            "[default: 0.8, where every question has options]",
            section=_TRIED,
        ),
        option("--only-k", is_flag=True, help="Try neither blends nor gates.", section=_TRIED),
        option(
            "--prior",
            "prior_split",
            help="Split whose questions say beforehand where a certificate is likely, such as prefer.",
            section=_TEST,
        ),
        option(
            "--procedure",
            type=click.Choice(["closed-e", "sgt", "holm", "bonferroni"]),
            help="How the chance of a false promise is kept over all that is tried.  [default: closed-e with star, or "
            "else sgt]",
            section=_TEST,
        ),
        option(
            "--p-value",
            type=click.Choice(["star", "wsr", "hoeffding-bentkus", "binomial"]),
            help="Test of a single policy.  [default: binomial where every patient has one question with options and "
            "no --tau is given, wsr with --sequential, or else star]",
            section=_TEST,
        ),
        option("--sequential", is_flag=True, help="Stop asking in a domain as soon as it is decided.", section=_TEST),
    ),
)


@click.command(cls=SectionedCommand, epilog=example("titrate calibrate questions.jsonl --mllm MODEL --alpha 0.2"))
@question_options("calibrate")
@_calibration_options
@system_options()
@personal_option("--out", type=FILE, default=Path("certificate.json"), help="Certificate to write.", section=OUTPUT)
@personal_option("--report", type=FILE, help="HTML report to write.", section=OUTPUT)
def calibrate(
    questions: "QuestionOptions",
    split: str,
    options: "CalibrationOptions",
    system: "SystemOptions",
    out: Path,
    report: Path | None,
) -> None:
    """Find how many reports to read, with a guarantee.

    Writes a certificate: with which numbers of reports the risk is at most alpha. Exit code 3 where nothing holds.
    """
    from rag import QuestionRun, calibrate_run, write_report

    if options.gammas and questions.max_k < 2:
        raise InputError("--gamma chooses among two reports or more; give --max-k 2 or more, or leave it out")
    refuse_overwriting({"--out": out, "--report": report}, given_files(questions, system))
    with QuestionRun.open(system, questions, progress=progress) as run:
        result = calibrate_run(run, split, options)
    certificate = result.certificate
    if options.sequential:
        asked = len(result.table.question_ids) + result.questions_saved
        say(f"{result.questions_saved} of {asked} questions did not have to be asked", err=True)
    if report is not None:
        shown = out if certificate.certified_domains else None
        write_report(report, certificate, result.table, certificate_path=shown, reports_read=result.reports_read)
        say(f"Report: {report}")
    sentences = [certificate.sentence(domain) for domain in sorted(certificate.domains)]
    if not certificate.certified_domains:
        raise NothingCertifiedError(" ".join(sentences))
    certificate.save(out)
    say(*sentences, f"Certificate: {out}")
