"""The contrastive losses of CLIP and SigLIP, in which equal reports are no negatives of each other.

Where no two reports of a batch are equal, they are `ClipLoss` and `SigLipLoss` of open_clip.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def same_reports(*texts: Sequence[str]) -> Tensor:
    """Which of n pairs have the same report: a symmetric matrix of truth values, [n, n].

    Parameters
    ----------
    texts
        One or more lists of n texts each. Two pairs are the same if they agree in any of the lists: in their reports,
        in the parts of them that are shown, or in their image.

    >>> same_reports(["a", "b", "a"]).int().tolist()
    [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    """
    matrices = []
    for each in texts:
        number = {text: number for number, text in enumerate(each)}
        ids = torch.tensor([number[text] for text in each])
        matrices.append(ids[:, None] == ids[None, :])
    return torch.stack(matrices).any(dim=0)


def contrastive_loss(images: Tensor, texts: Tensor, same: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """The loss of n images and their reports.

    Softmax (CLIP, arXiv 2103.00020): an image is told its report from the reports that are not the same, and a report
    its image from the images of those. Where m reports are the same as its own, that is done for each of them alone,
    and the m losses are averaged: none of them stands in another's denominator. A target that is spread evenly over
    them would not do, since what is nearer than its share is pushed away.

    Sigmoid (SigLIP, arXiv 2303.15343): every image with every report that is the same as its own is a match.

    Parameters
    ----------
    images, texts
        Unit embeddings of the images and their reports, [n, d] each, in the same order.
    same
        What `same_reports` gives: [n, n].
    scale
        The factor on the cosines.
    bias
        What a model that a sigmoid loss trained adds to them; None for the softmax.

    Returns
    -------
    Tensor
        One number, in nats: the mean over images and reports, or for the sigmoid the sum over reports, averaged over
        images, as open_clip has it.
    """
    logits = scale * images @ texts.T
    if bias is not None:
        signs = 2.0 * same.to(logits) - 1.0
        return -functional.logsigmoid(signs * (logits + bias)).sum() / len(images)
    return (_softmax_loss(logits, same) + _softmax_loss(logits.T, same)) / 2


def _softmax_loss(logits: Tensor, same: Tensor) -> Tensor:
    """Of each row's matches against the others in its row, averaged over matches, then over rows."""
    others = logits.masked_fill(same, -torch.inf).logsumexp(dim=1, keepdim=True)
    each = functional.softplus(others - logits)  # -log(exp(x) / (exp(x) + sum of exp(others)))
    return (each.masked_fill(~same, 0.0).sum(dim=1) / same.sum(dim=1)).mean()
