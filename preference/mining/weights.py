"""How much each preference pair counts: more where the model was surely wrong and the image had the evidence."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from preference.mining.mine import MinedPairs
from preference.pairs import PreferencePair

LEAST, MOST = 0.75, 1.25
"""MMedPO's bounds (arXiv 2412.06141)."""


def weigh_pairs(mined: MinedPairs, evidence: Sequence[float] | None = None) -> list[PreferencePair]:
    """Weigh pairs after MMedPO: a relevance in [0, 1], divided by its kind's mean and clipped to [0.75, 1.25].

    A pair's relevance is the model's confidence in the fault or, where the image's evidence was located, the mean of
    that confidence and of the evidence.

    Parameters
    ----------
    mined
        What `mine_pairs` found.
    evidence
        For each pair, in [0, 1], what `locate_evidence` says that its image's region carries; None where it was not
        located.
    """
    relevance = np.array(mined.confidences, dtype=np.float64)
    if evidence is not None:
        relevance = (relevance + np.asarray(evidence, dtype=np.float64)) / 2
    rows: dict[str, list[int]] = defaultdict(list)
    for number, pair in enumerate(mined.pairs):
        rows[pair.kind].append(number)
    weights = np.ones(len(mined.pairs))
    for numbers in rows.values():
        mean = relevance[numbers].mean()
        if mean > 0:
            weights[numbers] = np.clip(relevance[numbers] / mean, LEAST, MOST)
    return [replace(pair, weight=round(float(weight), 4)) for pair, weight in zip(mined.pairs, weights, strict=True)]
