"""What a ratio cut compares: the logarithm of how well two embeddings match, as the encoder's training loss sees it."""

from collections.abc import Iterable

import numpy as np


def log_similarities(cosines: Iterable[float], scale: float, bias: float | None = None) -> list[float]:
    """Log S of each cosine.

    A softmax loss (CLIP) knows ratios alone: S = exp(s · cos), and log S is s · cos. A sigmoid loss (SigLIP, arXiv
    2303.15343) gives the probability that image and text match: S = σ(s · cos + b). Where they clearly match it is
    nearly 1 however the cosines differ; where they clearly do not, log S falls as s · cos does.

    Parameters
    ----------
    cosines
        Of pairs of embeddings.
    scale
        The encoder's logit scale s.
    bias
        Its logit bias b, for an image and a text; None for a softmax loss, and for pairs that no loss was about.

    >>> log_similarities([0.5, 0.25], 4.0)
    [2.0, 1.0]
    >>> log_similarities([0.5], 4.0, -2.0) == [float(np.log(0.5))]
    True
    """
    logits = np.array([scale * cosine for cosine in cosines], np.float64)
    result: list[float] = (logits if bias is None else -np.logaddexp(0.0, -(logits + bias))).tolist()
    return result
