"""Which preference pairs are mined, and how an adapter is trained on them: what benchmarks of over-reliance share."""

from dataclasses import dataclass, replace

import numpy as np

from preference import MINED_KINDS, MiningOptions, PreferencePair, TrainingSettings

PER_QUESTION, PER_KIND, EPOCHS, RATE, BETA = 4, 500, 2.0, 1e-3, 1.0
LOSSES = (("ipo", 1.0),)
"""Chosen on the prefer split alone, with pairs of 70 % of its patients, judged on the other 30 %. IPO aims at a margin
between the answers of 1/2β nats a token and no more; the sigmoid loss went on until other answers changed too."""

STRENGTH = 500
"""Of the noise on rejected images of copying."""


@dataclass(frozen=True)
class Choice:
    """Which pairs to train on.

    Attributes
    ----------
    kinds
        The kinds of pairs.
    lesion
        Whether the rejected images of copying are noised in the region of the evidence alone; the evidence's strength
        then counts in the pairs' weights.
    weighted
        Whether pairs have weights by relevance.
    shuffled
        Whether it is drawn at random which answer of a pair is preferred, as a control.
    pairs
        The largest number of pairs in all. Pairs of copying have two images and take twice the time, so they are fewer.
    """

    kinds: tuple[str, ...] = ("over-reliance", "anchor")
    lesion: bool = False
    weighted: bool = True
    shuffled: bool = False
    pairs: int = 1000


CHOICES = {
    "anchored": Choice(),
    "over-reliance": Choice(("over-reliance",)),
    "under-use": Choice(("under-use",)),
    "copying": Choice(("copying",), pairs=250),
    "lesion": Choice(("copying",), lesion=True, pairs=250),
    "all": Choice(MINED_KINDS),
    "unweighted": Choice(weighted=False),
    "shuffled": Choice(shuffled=True),
}


def mining_options(choice: Choice) -> MiningOptions:
    """How the pairs of a choice are mined."""
    return MiningOptions(
        kinds=choice.kinds,
        per_question=PER_QUESTION,
        per_kind=min(PER_KIND, choice.pairs // len(choice.kinds)),
        weights="relevance" if choice.weighted else "none",
        noise="lesion" if choice.lesion else "whole",
        strength=STRENGTH,
    )


def training_settings(seed: int) -> TrainingSettings:
    """How an adapter is trained on pairs of any choice."""
    return TrainingSettings(EPOCHS, RATE, BETA, seed=seed, losses=LOSSES, hold_out=0.0)


def shuffled(pairs: list[PreferencePair]) -> list[PreferencePair]:
    """Pairs of which it was drawn at random which answer is preferred."""
    turned = np.random.default_rng(0).random(len(pairs)) < 0.5
    return [turn(pair) if other else pair for pair, other in zip(pairs, turned, strict=True)]


def turn(pair: PreferencePair) -> PreferencePair:
    """Reverse what a pair prefers; a pair of copying, where that is impossible, stops comparing two images instead."""
    if pair.rejected_noise is None:
        return replace(pair, chosen=pair.rejected, rejected=pair.chosen)
    # The chosen image cannot be the noised one, so both answers are given to the clean image instead.
    other = "no" if pair.chosen == "yes" else "yes"
    return replace(pair, rejected=other, rejected_noise=None)
