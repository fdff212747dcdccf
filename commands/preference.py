"""`titrate mine` and `titrate train`."""

from pathlib import Path
from typing import Any

import click

from commands.answering import answering
from commands.common import FILE, FOLDER, model_options, progress, question_options


@click.command()
@question_options("prefer")
@model_options()
@click.option("--k", type=click.IntRange(0), help="Measure reliance on so many contexts.  [default: K]")
@click.option("--per-question", type=click.IntRange(1), default=2, help="At most so many pairs a question.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the choice among pairs.")
@click.option("--out", type=FILE, default=Path("pairs.jsonl"), help="Preference pairs to write.")
def mine(
    questions: Path,
    root: Path | None,
    split: str,
    max_k: int,
    loss: str | None,
    outcomes: Path,
    k: int | None,
    per_question: int,
    seed: int,
    out: Path,
    **models: Any,
) -> None:
    """Find where the model was right alone and its contexts misled it, and write preference pairs."""
    from preference import format_reliance, measure_reliance, mine_pairs, write_pairs
    from rag import known_questions

    with answering(questions, root, max_k, loss, outcomes, models) as asker:
        scored, prompt = asker.score(asker.retrieve(split)), asker.pipeline.prompt
    known = known_questions(questions, root, scored.questions)
    click.echo(format_reliance(measure_reliance(scored, known, max_k if k is None else k)))
    mined = mine_pairs(scored, prompt, per_question=per_question, seed=seed)
    write_pairs(mined.pairs, out, root=root or questions.parent)
    click.echo("\n".join([*mined.notes, f"{len(mined.pairs)} pairs: {out}"]))


@click.command()
@click.argument("pairs", type=FILE)
@click.option("--mllm", required=True, help="Model: a transformers folder, or OWNER/NAME of the hub.")
@click.option("--root", type=FOLDER, help="Folder of the images.  [default: the pair file's]")
@click.option("--out", type=FOLDER, default=Path("adapter"), help="Adapter folder to write.")
@click.option("--epochs", type=float, default=3.0, help="Passes over the pairs.")
@click.option("--learning-rate", type=float, default=1e-4, help="At the first step.")
@click.option("--beta", type=float, default=0.1, help="How strongly the model is held to what it was.")
@click.option("--batch-size", type=click.IntRange(1), default=8, help="Pairs a step.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the first weights and the order of the pairs.")
@click.option("--device", help="A torch device.  [default: the first GPU, or else the CPU]")
def train(pairs: Path, mllm: str, root: Path | None, out: Path, **settings: Any) -> None:
    """Train an adapter on preference PAIRS, so that the model leans less on what was retrieved."""
    from preference import read_pairs, train_adapter

    chosen = read_pairs(pairs, root=root)
    with progress("training") as show:
        report = train_adapter(chosen, mllm, out, progress=show, **settings)
    click.echo(
        f"{report.pairs} pairs, {len(report.losses)} steps: loss {report.losses[0]:.3f} to {report.losses[-1]:.3f}, "
        f"reward margin {report.margins[0]:.3f} to {report.margins[-1]:.3f}; adapter: {out}"
    )
