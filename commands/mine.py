"""`titrate mine`."""

from pathlib import Path
from typing import Any

import click

from commands.answering import answering
from commands.common import FILE, model_options, progress, question_options, view_options
from titrate import InputError

KINDS, USUAL = ("over-reliance", "anchor", "under-use", "copying"), ("over-reliance", "anchor")


@click.command()
@question_options("prefer")
@model_options()
@view_options
@click.option("--k", type=click.IntRange(0), help="Measure reliance on so many contexts.  [default: K]")
@click.option(
    "--kind", "kinds", type=click.Choice(KINDS), multiple=True, help=f"Of pair to make.  [default: {', '.join(USUAL)}]"
)
@click.option("--strength", type=click.IntRange(1, 1000), default=500, help="Of the noise, a step of a diffusion.")
@click.option(
    "--noise",
    type=click.Choice(["whole", "lesion"]),
    default="whole",
    help="What copying's rejected images lose: everything, or the region of the evidence, "
    "whose strength then weighs pairs of every kind.",
)
@click.option(
    "--regions", type=FILE, help="Boxes or masks of lesions, such as the corpus.  [default: model's evidence]"
)
@click.option("--weights", type=click.Choice(["relevance", "none"]), default="relevance", help="Of pairs in the loss.")
@click.option("--per-question", type=click.IntRange(1), default=2, help="At most so many pairs a question and kind.")
@click.option("--per-kind", type=click.IntRange(2), help="At most so many pairs a kind.")
@click.option(
    "--balance/--no-balance", default=True, help="Choose no answer more often than another, per kind and domain."
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the choice among pairs, and of the noise.")
@click.option("--out", type=FILE, default=Path("pairs.jsonl"), help="Preference pairs to write.")
def mine(
    questions: Path,
    root: Path | None,
    split: str,
    max_k: int,
    loss: str | None,
    outcomes: Path,
    k: int | None,
    kinds: tuple[str, ...],
    strength: int,
    noise: str,
    regions: Path | None,
    weights: str,
    per_question: int,
    per_kind: int | None,
    balance: bool,
    seed: int,
    out: Path,
    **models: Any,
) -> None:
    """Find where answers lean too much, or too little, on contexts, and write preference pairs."""
    from preference import (
        Dose,
        format_reliance,
        locate_evidence,
        measure_reliance,
        mine_pairs,
        noise_regions,
        read_regions,
        weigh,
        write_pairs,
    )
    from rag import known_questions

    if regions is not None and noise != "lesion":
        raise InputError("--regions says where lesions are; give --noise lesion too, or leave it out")
    folder = root or questions.parent
    drawn = None if regions is None else read_regions(regions, root=folder)
    with answering(questions, root, max_k, loss, outcomes, models) as asker:
        retrieved = asker.retrieve(asker.read(split))
        scored = asker.score(retrieved)
        dose = Dose(strength, asker.pipeline.mllm.image_side, seed)
        noised = asker.score(retrieved, dose)
        known = known_questions(questions, root, scored.questions)
        click.echo(format_reliance(measure_reliance(scored, known, max_k if k is None else k, noised=noised)))
        view = retrieved.view
        mined = mine_pairs(
            scored,
            asker.pipeline.prompt,
            kinds=kinds or USUAL,
            noised=noised,
            dose=dose,
            per_question=per_question,
            per_kind=per_kind,
            balance=balance,
            view=view,
            seed=seed,
        )
        evidence = None
        if noise == "lesion":
            with progress("locating evidence") as show:
                evidence = locate_evidence(asker.pipeline.mllm, mined.pairs, drawn=drawn, view=view, progress=show)
    strengths = None if evidence is None else [found.strength for found in evidence]
    pairs = list(mined.pairs) if weights == "none" else weigh(mined, strengths)
    pairs = pairs if evidence is None else noise_regions(pairs, evidence)
    write_pairs(pairs, out, root=folder)
    counts = ", ".join(f"{sum(pair.kind == kind for pair in pairs)} of {kind}" for kind in mined.found)
    click.echo("\n".join([*mined.notes, f"{len(pairs)} pairs ({counts}): {out}"]))
