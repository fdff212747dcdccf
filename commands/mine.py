"""`titrate mine`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.click_parts import SectionedCommand, example, option, option_group, personal_option
from commands.options import OUTPUT, progress, question_options, system_options
from commands.output import say, say_page
from commands.paths import FILE, SEED, given_files, refuse_overwriting

if TYPE_CHECKING:
    from preference import MiningOptions
    from rag import QuestionOptions, SystemOptions

KINDS, USUAL = ("over-reliance", "anchor", "under-use", "copying"), ("over-reliance", "anchor")
_MEASURED, _PAIRS, _NOISE = "What is measured", "Preference pairs", "Noised images"


def _make_options(
    k: int | None,
    kinds: tuple[str, ...],
    per_question: int,
    per_kind: int | None,
    balance: bool,
    weights: Any,
    noise: Any,
    regions: Path | None,
    strength: int,
    seed: int,
) -> "MiningOptions":
    from preference import DEFAULT_KINDS, MiningOptions

    return MiningOptions(
        k=k,
        kinds=kinds or DEFAULT_KINDS,
        per_question=per_question,
        per_kind=per_kind,
        balance=balance,
        weights=weights,
        noise=noise,
        regions=regions,
        strength=strength,
        seed=seed,
    )


_mining_options = option_group(
    "options",
    _make_options,
    (
        option(
            "--k",
            type=click.IntRange(0),
            help="Measure what so many reports do to answers.  [default: K]",
            section=_MEASURED,
        ),
        option(
            "--kind",
            "kinds",
            type=click.Choice(KINDS),
            multiple=True,
            help=f"Kind of pair to make. Repeatable.  [default: {', '.join(USUAL)}]",
            section=_PAIRS,
        ),
        option(
            "--per-question",
            type=click.IntRange(1),
            default=2,
            help="Make at most so many pairs of a kind from one question.",
            section=_PAIRS,
        ),
        option("--per-kind", type=click.IntRange(2), help="Keep at most so many pairs of a kind.", section=_PAIRS),
        option(
            "--balance/--no-balance",
            default=True,
            help="In each kind and domain, choose no answer more often than another.",
            section=_PAIRS,
        ),
        option(
            "--weights",
            type=click.Choice(["relevance", "none"]),
            default="relevance",
            help="Weigh pairs by how sure the model was of its fault, or all alike.",
            section=_PAIRS,
        ),
        option(
            "--noise",
            type=click.Choice(["whole", "lesion"]),
            default="whole",
            help="What noise covers in the rejected images of copying pairs: the whole image, or only where its "
            "evidence lies. With lesion, how much evidence lies there also weighs pairs of every kind.",
            section=_NOISE,
        ),
        option(
            "--regions",
            type=FILE,
            help="Boxes or masks of lesions by image, such as a corpus that has them.  "
            "[default: found by covering patches]",
            section=_NOISE,
        ),
        option(
            "--strength",
            type=click.IntRange(1, 1000),
            default=500,
            help="How much noise: a step of a diffusion of 1,000; at 500 little is left of the image.",
            section=_NOISE,
        ),
        option(
            "--seed",
            type=SEED,
            default=0,
            help="Seed of the choice among pairs, and of the noise.",
            section=_PAIRS,
        ),
    ),
)


@click.command(cls=SectionedCommand, epilog=example("titrate mine questions.jsonl --mllm MODEL --out pairs.jsonl"))
@question_options("prefer")
@_mining_options
@system_options()
@personal_option("--out", type=FILE, default=Path("pairs.jsonl"), help="Preference pairs to write.", section=OUTPUT)
def mine(
    questions: "QuestionOptions",
    split: str,
    options: "MiningOptions",
    system: "SystemOptions",
    out: Path,
) -> None:
    """Make preference pairs of misled answers.

    Finds where reports misled the model, measures how often that happens, and writes pairs to train on.
    """
    from preference import check_mining, format_reliance, mine_run, write_pairs
    from rag import QuestionRun

    refuse_overwriting({"--out": out}, {**given_files(questions, system), "--regions": options.regions})
    check_mining(questions, options)
    with QuestionRun.open(system, questions, progress=progress) as run:
        mined = mine_run(run, split, options, measured=lambda reliance: say_page(format_reliance(reliance)))
    write_pairs(mined.pairs, out, root=run.root)
    counts = ", ".join(f"{sum(pair.kind == kind for pair in mined.pairs)} of {kind}" for kind in mined.found)
    say(*mined.notes, f"{len(mined.pairs)} pairs ({counts}): {out}")
