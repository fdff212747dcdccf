"""`titrate mine`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.click_parts import SectionedCommand, example, option
from commands.options import FILE, OUTPUT, progress, question_options, system_options
from titrate import InputError

if TYPE_CHECKING:
    from rag import QuestionOptions, SystemOptions

KINDS, USUAL = ("over-reliance", "anchor", "under-use", "copying"), ("over-reliance", "anchor")
_MEASURED, _PAIRS, _NOISE = "What is measured", "Preference pairs", "Noised images"


@click.command(cls=SectionedCommand, epilog=example("titrate mine questions.jsonl --mllm MODEL --out pairs.jsonl"))
@question_options("prefer")
@option(
    "--k", type=click.IntRange(0), help="Measure what so many reports do to answers.  [default: K]", section=_MEASURED
)
@option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    help=f"Kind of pair to make. Repeatable.  [default: {', '.join(USUAL)}]",
    section=_PAIRS,
)
@option(
    "--per-question",
    type=click.IntRange(1),
    default=2,
    help="Make at most so many pairs of a kind from one question.",
    section=_PAIRS,
)
@option("--per-kind", type=click.IntRange(2), help="Keep at most so many pairs of a kind.", section=_PAIRS)
@option(
    "--balance/--no-balance",
    default=True,
    help="In each kind and domain, choose no answer more often than another.",
    section=_PAIRS,
)
@option(
    "--weights",
    type=click.Choice(["relevance", "none"]),
    default="relevance",
    help="Weigh pairs by how sure the model was of its fault, or all alike.",
    section=_PAIRS,
)
@option(
    "--noise",
    type=click.Choice(["whole", "lesion"]),
    default="whole",
    help="What noise covers in the rejected images of copying pairs: the whole image, or only where its evidence lies. "
    "With lesion, how much evidence lies there also weighs pairs of every kind.",
    section=_NOISE,
)
@option(
    "--regions",
    type=FILE,
    help="Boxes or masks of lesions by image, such as a corpus that has them.  [default: found by covering patches]",
    section=_NOISE,
)
@option(
    "--strength",
    type=click.IntRange(1, 1000),
    default=500,
    help="How much noise: a step of a diffusion of 1,000; at 500 little is left of the image.",
    section=_NOISE,
)
@option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    help="Seed of the choice among pairs, and of the noise.",
    section=_PAIRS,
)
@system_options()
@option("--out", type=FILE, default=Path("pairs.jsonl"), help="Preference pairs to write.", section=OUTPUT)
def mine(
    questions: "QuestionOptions",
    split: str,
    k: int | None,
    kinds: tuple[str, ...],
    per_question: int,
    per_kind: int | None,
    balance: bool,
    weights: str,
    noise: str,
    regions: Path | None,
    strength: int,
    seed: int,
    system: "SystemOptions",
    out: Path,
) -> None:
    """Make preference pairs of misled answers.

    Finds where reports misled the model, measures how often that happens, and writes pairs to train on.
    """
    from dataclasses import asdict

    from preference import (
        ImageNoise,
        format_reliance,
        locate_evidence,
        measure_reliance,
        mine_pairs,
        read_regions,
        restrict_noise,
        weigh_pairs,
        write_pairs,
    )
    from rag import QuestionRun

    if regions is not None and noise != "lesion":
        raise InputError("--regions says where lesions are; give --noise lesion too, or leave it out")
    folder = questions.root or questions.path.parent
    drawn = None if regions is None else read_regions(regions, root=folder)
    with QuestionRun.open(system, questions, progress=progress) as run:
        scored = run.score(retrieved := run.retrieve(run.read(split)))
        image_noise = ImageNoise(strength, run.system.mllm.image_side, seed)
        noised = run.score(retrieved, alter=image_noise.apply, alteration=asdict(image_noise))
        known = run.known_questions(scored.questions)
        click.echo(format_reliance(measure_reliance(scored, known, run.max_k if k is None else k, noised=noised)))
        mined = mine_pairs(
            scored,
            run.system.prompt,
            kinds=kinds or USUAL,
            noised=noised,
            noise=image_noise,
            per_question=per_question,
            per_kind=per_kind,
            balance=balance,
            view=retrieved.view,
            seed=seed,
        )
        evidence = None
        if noise == "lesion":
            with progress("locating evidence") as show:
                evidence = locate_evidence(
                    run.system.mllm, mined.pairs, drawn=drawn, view=retrieved.view, progress=show
                )
    strengths = None if evidence is None else [found.strength for found in evidence]
    pairs = list(mined.pairs) if weights == "none" else weigh_pairs(mined, strengths)
    pairs = pairs if evidence is None else restrict_noise(pairs, evidence)
    write_pairs(pairs, out, root=folder)
    counts = ", ".join(f"{sum(pair.kind == kind for pair in pairs)} of {kind}" for kind in mined.found)
    click.echo("\n".join([*mined.notes, f"{len(pairs)} pairs ({counts}): {out}"]))
