"""`titrate evaluate`."""

import json
from pathlib import Path
from typing import Any

import click

from commands.common import FILE, answer_all, model_options, question_options


@click.command()
@question_options("test")
@model_options
@click.option("--certificate", type=FILE, help="Judge the certified policy as well.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    questions: Path, root: Path | None, split: str, max_k: int, certificate: Path | None, as_json: bool, **models: Any
) -> None:
    """Compare fixed numbers of contexts, the certified policy, and answers that need no model."""
    from dataclasses import asdict

    from calibration import Certificate
    from rag import evaluate as compare
    from rag import format_rows, known_questions

    promised = Certificate.load(certificate) if certificate else None
    _, outcomes = answer_all(questions, root, split, max_k, models, promised)
    rows = compare(outcomes, known_questions(questions, root, outcomes.questions), promised)
    click.echo(json.dumps([asdict(row) for row in rows], indent=1) if as_json else format_rows(rows))
