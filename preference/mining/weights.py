"""How much each preference pair counts: more where the model was sure of its fault, and the image held the evidence."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from preference.mining.mine import MinedPairs
from preference.pairs import PreferencePair

LEAST, MOST = 0.75, 1.25
"""The bounds of a weight, those of MMedPO (arXiv 2412.06141)."""


def weigh_pairs(mined: MinedPairs, evidence: Sequence[float] | None = None) -> list[PreferencePair]:
    """Give pairs weights after MMedPO (arXiv 2412.06141).

    A pair's weight is its relevance, divided by the mean relevance of its kind and clipped to [0.75, 1.25]. Its
    relevance, in [0, 1], is the model's confidence in the fault or, if the evidence in the images was located, the mean
    of that confidence and of the evidence's strength.

    Parameters
    ----------
    mined
        The pairs, with the model's confidence in each fault.
    evidence
        The strength of each pair's evidence, in [0, 1], as `locate_evidence` gives it; None where it was not located.

    Returns
    -------
    list of PreferencePair
        The same pairs in the same order, with weights.
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
