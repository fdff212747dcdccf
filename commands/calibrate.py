"""`titrate calibrate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.answering import Answering, answering
from commands.common import FILE, LEVEL, model_options, question_options, view_options
from titrate import InputError, NothingCertifiedError

if TYPE_CHECKING:
    from calibration import Certificate, OutcomeTable
    from rag import Retrieved

_PATIENTS_AT_ONCE = 16


@click.command()
@question_options("calibrate")
@model_options()
@view_options
@click.option("--alpha", type=LEVEL, required=True, help="Risk to promise: the share of wrong answers.")
@click.option("--delta", type=LEVEL, default=0.1, help="Chance that the promise is false.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the order in which patients are tested.")
@click.option("--procedure", type=click.Choice(["sgt", "holm", "bonferroni"]), default="sgt")
@click.option("--p-value", type=click.Choice(["wsr", "hoeffding-bentkus", "binomial"]), default="wsr")
@click.option("--prior", "prior_split", help="Split whose questions say where certificates are likely, such as prefer.")
@click.option("--gamma", "gammas", type=float, multiple=True, help="Try a ratio cut as well: stop at so steep a fall.")
@click.option("--tau", "taus", type=float, multiple=True, help="Try answering only with so much confidence.")
@click.option("--sequential", is_flag=True, help="Stop asking in a domain as soon as it is decided.")
@click.option("--out", type=FILE, default=Path("certificate.json"), help="Certificate to write.")
@click.option("--report", type=FILE, help="HTML report to write.")
def calibrate(
    questions: Path,
    root: Path | None,
    split: str,
    max_k: int,
    loss: str | None,
    outcomes: Path,
    prior_split: str | None,
    sequential: bool,
    p_value: str,
    out: Path,
    report: Path | None,
    alpha: float,
    delta: float,
    seed: int,
    procedure: str,
    gammas: tuple[float, ...],
    taus: tuple[float, ...],
    **models: Any,
) -> None:
    """Find how many contexts keep the risk at or under ALPHA, and write a certificate."""
    from calibration import certify
    from rag import patients_elsewhere, questions_fingerprint

    if report == out:
        raise InputError(f"{out} cannot be both the certificate and the report; give them two names")
    if sequential and p_value != "wsr":
        raise InputError(f"p-values of {p_value} may be looked at once only; leave out --sequential, or take wsr")
    choices: dict[str, Any] = {
        "alpha": alpha,
        "delta": delta,
        "seed": seed,
        "procedure": procedure,
        "gammas": gammas,
        "taus": taus,
    }
    with answering(questions, root, max_k, loss, outcomes, models) as asker:
        read = asker.read(split)
        asked = asker.retrieve(read)
        choices["elsewhere"] = patients_elsewhere(questions, split, asker.pipeline.index)
        choices["prefer"] = asker.score(asker.retrieve(asker.read(prior_split))).table if prior_split else None
        fingerprints = {**asker.pipeline.fingerprints, "questions": questions_fingerprint(read)}
        fingerprints |= {} if loss is None else {"loss": loss}
        if sequential:
            certificate, table = _sequential(asker, asked, max_k, choices, fingerprints)
        else:
            table = asker.score(asked).table
            certificate = certify(table, fingerprints=fingerprints, p_value=p_value, **choices)
    if report is not None:
        from rag import write_report

        write_report(report, certificate, table, certificate_path=out if certificate.certified_domains else None)
        click.echo(f"Report: {report}")
    sentences = [certificate.sentence(domain) for domain in sorted(certificate.domains)]
    if not certificate.certified_domains:
        raise NothingCertifiedError(" ".join(sentences))
    certificate.save(out)
    click.echo("\n".join([*sentences, f"Certificate: {out}"]))


def _sequential(
    asker: Answering, asked: "Retrieved", max_k: int, choices: dict[str, Any], fingerprints: dict[str, str]
) -> "tuple[Certificate, OutcomeTable]":
    """Score patients in random order until every domain is decided."""
    from calibration import OutcomeTable, SequentialCertifier

    ids = [question.id for question in asked.questions]
    units = [question.unit for question in asked.questions]
    certifier = SequentialCertifier(ids, units, asked.domains, max_k=max_k, **choices)
    tables = []
    while chosen := certifier.next(_PATIENTS_AT_ONCE):
        tables.append(asker.score(asked.take(chosen)).table)
        certifier.add(tables[-1])
    click.echo(f"{certifier.questions_saved} of {len(ids)} questions did not have to be asked", err=True)
    return certifier.certificate(fingerprints), OutcomeTable.join(tables)
