"""`titrate evaluate`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.answering import answering
from commands.common import FILE, model_options, progress, question_options, view_options, with_view
from titrate import InputError

if TYPE_CHECKING:
    from rag import RetrievalScore, Row


@click.command()
@question_options("test")
@model_options(mllm_required=False)
@view_options
@click.option("--certificate", type=FILE, help="Judge the certified policy as well.")
@click.option("--retrieval", "by_itself", is_flag=True, help="Judge retrieval by itself, each mode; needs no model.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    questions: Path,
    root: Path | None,
    split: str,
    max_k: int,
    loss: str | None,
    outcomes: Path,
    certificate: Path | None,
    by_itself: bool,
    as_json: bool,
    **models: Any,
) -> None:
    """Compare fixed numbers of contexts, the certified policy, and answers that need no model."""
    rows: Sequence[RetrievalScore | Row]
    if by_itself:
        rows, table = _judge_retrieval(questions, root, split, models)
    elif models["mllm"] is None:
        raise InputError("name the model with --mllm, or judge retrieval by itself with --retrieval")
    else:
        rows, table = _judge_policies(questions, root, split, max_k, loss, outcomes, certificate, models)
    click.echo(json.dumps([asdict(row) for row in rows], indent=1) if as_json else table)


def _judge_retrieval(
    questions: Path, root: Path | None, split: str, models: dict[str, Any]
) -> "tuple[Sequence[RetrievalScore], str]":
    from indexing import Encoder, Index
    from rag import closed_questions, evaluate_retrieval, format_retrieval, known_questions, read_questions

    asked = closed_questions(read_questions(questions, root=root, splits=[split]), questions)
    with Index.open(models["index"], models["api_key"]) as index, progress("retrieving") as show:
        encoder = Encoder.open(models["encoder"] or index.manifest.encoder, models["device"])
        known = known_questions(questions, root, asked)
        view = with_view(models)["view"]
        rows = evaluate_retrieval(index, encoder, asked, known, view=view, progress=show)
    return rows, format_retrieval(rows)


def _judge_policies(
    questions: Path,
    root: Path | None,
    split: str,
    max_k: int,
    loss: str | None,
    outcomes: Path,
    certificate: Path | None,
    models: dict[str, Any],
) -> "tuple[Sequence[Row], str]":
    from calibration import Certificate
    from rag import evaluate, format_rows, known_questions

    promised = Certificate.load(certificate) if certificate else None
    with answering(questions, root, max_k, loss, outcomes, models) as asker:
        if promised is not None:
            promised.verify(asker.pipeline.fingerprints)
        scored = asker.score(asker.retrieve(asker.read(split)))
    rows = evaluate(scored, known_questions(questions, root, scored.questions), promised)
    return rows, format_rows(rows)
