"""`titrate calibrate`."""

from pathlib import Path
from typing import Any

import click

from commands.common import FILE, LEVEL, answer_all, model_options, question_options
from titrate import NothingCertifiedError


@click.command()
@question_options("calibrate")
@model_options
@click.option("--alpha", type=LEVEL, required=True, help="Risk to promise: the share of wrong answers.")
@click.option("--delta", type=LEVEL, default=0.1, help="Chance that the promise is false.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the order in which patients are tested.")
@click.option("--p-value", type=click.Choice(["wsr", "hoeffding-bentkus", "binomial"]), default="wsr")
@click.option("--out", type=FILE, default=Path("certificate.json"), help="Certificate to write.")
def calibrate(
    questions: Path,
    root: Path | None,
    split: str,
    max_k: int,
    alpha: float,
    delta: float,
    seed: int,
    p_value: str,
    out: Path,
    **models: Any,
) -> None:
    """Find how many contexts keep the risk at or under ALPHA, and write a certificate."""
    from calibration import certify
    from rag import questions_fingerprint

    pipeline, outcomes = answer_all(questions, root, split, max_k, models)
    fingerprints = {**pipeline.fingerprints, "questions": questions_fingerprint(outcomes.questions)}
    certificate = certify(
        outcomes.table, alpha=alpha, delta=delta, fingerprints=fingerprints, seed=seed, p_value=p_value
    )
    sentences = [certificate.sentence(domain) for domain in sorted(certificate.domains)]
    if not certificate.certified_domains:
        raise NothingCertifiedError(" ".join(sentences))
    certificate.save(out)
    click.echo("\n".join([*sentences, f"Certificate: {out}"]))
