"""Split-conformal thresholds with patients as the unit, and which patients to set aside for them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from titrate import hash_bytes

LEVEL = 0.05
"""Share of in-domain images that may be refused."""


def conformal_threshold(scores: NDArray[np.float64], units: NDArray[np.str_], level: float) -> float:
    """The score that an image of a new patient exceeds with probability at most ``level``.

    With one image a patient this is the ⌈(n + 1)(1 − level)⌉-th smallest of n scores. With several, each image weighs
    1 over its patient's number of images, and a new patient's image is one drawn at random (arXiv 2306.06342).

    Parameters
    ----------
    scores
        Of images that are exchangeable with new ones, float64 [n].
    units
        The n patients.
    level
        Between 0 and 1.

    Returns
    -------
    float
        Infinity if there are too few patients for any finite one.
    """
    _, patients, numbers = np.unique(units, return_inverse=True, return_counts=True)
    order = np.argsort(scores)  # [n]
    reached = np.cumsum(1 / numbers[patients[order]]) if len(scores) else np.empty(0)
    # Sums of thirds and (n + 1)(1 − level) are inexact by some 1e-13; a patient's share is far more.
    enough = np.flatnonzero(reached >= (len(numbers) + 1) * (1 - level) - 1e-9)
    return float(scores[order[enough[0]]]) if len(enough) else float("inf")


def hold_out_patients(
    units: Sequence[str], domains: Sequence[str], share: float = 0.2, level: float = LEVEL
) -> NDArray[np.bool_]:
    """Set indexed patients aside for calibration where no split does: the same ones in every build, all images of each.

    Classifier and detector must then be fitted to the rest. To an encoder that was not trained on the indexed images
    the patients set aside are as new as those of queries, and the promise holds. One that was draws these images
    together, so that the thresholds are too low and more than the level of new images may be refused. How many depends
    on how well it remembers: of `test` images of the research data, the shipped encoder, which was trained on the
    indexed ones, has 4.5 % refused (6.2 % in ophthalmology, less elsewhere); with an index of images that it was not
    trained on, 3.7 % (5.4 %). Both are means over 40 ways of setting patients aside.

    Parameters
    ----------
    units
        Patient of each image, or study or image where none is known.
    domains
        Of each image. A domain whose patients would be too few for a finite threshold holds none out.
    share
        Of the patients, about.
    level
        Of the thresholds.

    Returns
    -------
    numpy.ndarray
        True for calibration, bool [n].
    """
    patients, domain_of = np.asarray(units), np.asarray(domains)  # [n], [n]
    chosen = np.array([int(hash_bytes(unit.encode())[:8], 16) < share * 2**32 for unit in units], dtype=bool)
    for domain in set(domains):
        here = domain_of == domain
        if len(set(patients[chosen & here])) + 1 < 1 / level - 1e-9:
            chosen &= ~here
    return chosen
