"""A run over a question file becomes preference pairs: reliance is measured, pairs are mined, weighed and noised."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from preference.mining.candidates import DEFAULT_KINDS
from preference.mining.evidence import locate_evidence, restrict_noise
from preference.mining.mine import check_mining_settings, mine_pairs
from preference.mining.regions import Region, read_regions
from preference.mining.reliance import Reliance, check_k, measure_reliance
from preference.mining.weights import weigh_pairs
from preference.noise import ImageNoise
from preference.pairs import PreferencePair, refuse_held_back
from rag import OutOfDomain, QuestionOptions, QuestionRun
from titrate import InputError


@dataclass(frozen=True)
class MiningOptions:
    """What is measured, which pairs are made, and how their images are noised.

    Attributes
    ----------
    k
        Number of contexts at which reliance is measured; None for the largest that questions are answered with. Pairs
        are mined at every number of contexts.
    kinds, per_question, per_kind, balance
        Which pairs are made and how many are kept; see `mine_pairs`.
    weights
        ``"relevance"`` to give pairs weights as `weigh_pairs` does, ``"none"`` for weights of 1.
    noise
        What noise covers in the rejected images of copying: the ``"whole"`` image, or with ``"lesion"`` only the region
        in which the evidence lies. With ``"lesion"``, evidence is located for pairs of every kind, and its strength
        counts in their weights.
    regions
        A file of regions that somebody drew, for `read_regions`, where ``noise`` is ``"lesion"``. For images that it
        does not name, or without it, the evidence is where the model finds it; see `locate_evidence`.
    strength
        Strength of the noise, 1 to 1,000; see `preference.ImageNoise`.
    seed
        Decides which pairs are drawn, and the noise.

    Raises
    ------
    InputError
        If a number is outside its range, a kind is unknown, or there are regions for noise on whole images.
    """

    k: int | None = None
    kinds: tuple[str, ...] = DEFAULT_KINDS
    per_question: int = 2
    per_kind: int | None = None
    balance: bool = True
    weights: Literal["relevance", "none"] = "relevance"
    noise: Literal["whole", "lesion"] = "whole"
    regions: Path | None = None
    strength: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        check_mining_settings(self.kinds, self.per_question, self.per_kind)
        ImageNoise(self.strength, seed=self.seed)  # refuses a strength or seed out of range
        if self.regions is not None and self.noise != "lesion":
            raise InputError("--regions says where lesions are; give --noise lesion too, or leave it out")


@dataclass(frozen=True)
class MiningResult:
    """How far the model relies on contexts, and the preference pairs that were mined.

    Attributes
    ----------
    reliance
        The measures, one for each domain.
    pairs
        The pairs, weighed, with noise on the rejected images of copying; `write_pairs` writes them.
    found, notes
        How many pairs of each kind there were, and what became of those that were left out; see `MinedPairs`.
    """

    reliance: tuple[Reliance, ...]
    pairs: tuple[PreferencePair, ...]
    found: dict[str, int]
    notes: tuple[str, ...]


def check_mining(questions: QuestionOptions, options: MiningOptions) -> dict[Path, Region]:
    """Refuse what can be refused without a model, which takes long to load.

    Parameters
    ----------
    questions
        The question file that is to be mined.
    options
        How it is to be mined.

    Returns
    -------
    dict
        The regions that somebody drew, as `read_regions` gives them; none without a file of regions.

    Raises
    ------
    InputError
        If ``k`` is more than questions are answered with, or the file of regions is unsound.
    """
    if options.k is not None:
        check_k(options.k, questions.max_k)
    if options.regions is None:
        return {}
    return read_regions(options.regions, root=questions.root or questions.path.parent)


def mine_run(
    run: QuestionRun,
    split: str = "prefer",
    options: MiningOptions | None = None,
    *,
    out_of_domain: OutOfDomain = "decline",
    measured: Callable[[Sequence[Reliance]], None] | None = None,
) -> MiningResult:
    """Answer the questions of a split at every k, about their images and about noised ones, and mine preference pairs.

    Parameters
    ----------
    run
        A question file and the system that answers it.
    split
        The split to mine; never ``calibrate`` or ``test``.
    options
        The defaults of `MiningOptions` where None.
    out_of_domain
        What becomes of questions about images unlike the index's domains; see `rag.QuestionRun.retrieve`.
    measured
        Called with the measures of reliance as soon as they are known: they are worth having even where no pair can be
        mined, which is an error.

    Raises
    ------
    InputError
        If the question file or the file of regions is unsound, ``k`` is more than questions are answered with, a
        question is of the ``calibrate`` or ``test`` split, or no pair is found or left.
    """
    options = options or MiningOptions()
    drawn = check_mining(run.options, options)
    questions = run.read(split)
    for question in questions:
        refuse_held_back(question.split, f"question {question.id}")
    run.tell_trained_on(
        questions,
        split,
        "how far it leans on reports, as measured on them, and its pairs say nothing of other patients",
    )
    retrieved = run.retrieve(questions, out_of_domain)
    mllm, view = run.system.mllm, run.system.view
    noise = ImageNoise(options.strength, mllm.image_side, options.seed)
    outcomes = run.score(retrieved)
    noised = run.score(retrieved, alter=noise.apply, alteration=asdict(noise))
    k = run.max_k if options.k is None else options.k
    reliance = measure_reliance(outcomes, run.known_questions(outcomes.questions), k, noised=noised)
    if measured is not None:
        measured(reliance)
    mined = mine_pairs(
        outcomes,
        kinds=options.kinds,
        noised=noised,
        noise=noise,
        per_question=options.per_question,
        per_kind=options.per_kind,
        balance=options.balance,
        view=view,
        seed=options.seed,
    )
    evidence = None
    if options.noise == "lesion":
        with run.progress("locating evidence") as show:
            evidence = locate_evidence(mllm, mined.pairs, drawn=drawn, view=view, progress=show)
    pairs = list(mined.pairs)
    if options.weights == "relevance":
        pairs = weigh_pairs(mined, None if evidence is None else [found.strength for found in evidence])
    if evidence is not None:
        pairs = restrict_noise(pairs, evidence)
    return MiningResult(tuple(reliance), tuple(pairs), mined.found, mined.notes)
