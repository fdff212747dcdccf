"""The losses: equal to open_clip's where no two reports are equal, and worked out by hand where some are."""

import math

import pytest
import torch
from open_clip.loss import ClipLoss, SigLipLoss
from torch import Tensor
from torch.nn import functional

from indexing.tuning.loss import contrastive_loss, same_reports

SCALE, BIAS = torch.tensor(9.0), torch.tensor(-4.0)


def embeddings() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    drawn = torch.randn(2, 7, 5, generator=generator)
    images, texts = functional.normalize(drawn, dim=-1)
    return images.requires_grad_(), texts.requires_grad_()


def test_without_equal_reports_they_are_those_of_open_clip() -> None:
    different = same_reports([f"report {number}" for number in range(7)])
    for bias, theirs in ((None, ClipLoss()), (BIAS, SigLipLoss())):
        values = []
        for ours in (True, False):
            images, texts = embeddings()
            if ours:
                value = contrastive_loss(images, texts, different, SCALE, bias)
            else:
                value = theirs(images, texts, SCALE, bias)
            value.backward()
            assert images.grad is not None and texts.grad is not None
            values.append((value.item(), images.grad, texts.grad))
        (our, *our_slopes), (their, *their_slopes) = values
        assert our == pytest.approx(their, rel=1e-6)
        for our_slope, their_slope in zip(our_slopes, their_slopes, strict=True):
            torch.testing.assert_close(our_slope, their_slope)


def test_same_reports_by_hand() -> None:
    """Cosines of 1 within the report that two images share, and of 0 to the other; a scale of s."""
    s = 2.0
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    same = same_reports(["clear", "clear", "mass"])
    # Rows 1 and 2: each match, of logit s, against the one other, of 0. Row 3: s against two of 0.
    expected = (2 * math.log(1 + math.exp(-s)) + math.log(1 + 2 * math.exp(-s))) / 3
    assert contrastive_loss(rows, rows, same, torch.tensor(s)).item() == pytest.approx(expected)
    # Five matches (two by two, and one), each softplus(-(s + b)); four others, each softplus(b); per image.
    b = -1.0
    expected = (5 * math.log1p(math.exp(-(s + b))) + 4 * math.log1p(math.exp(b))) / 3
    assert contrastive_loss(rows, rows, same, torch.tensor(s), torch.tensor(b)).item() == pytest.approx(expected)


def test_the_same_report_is_not_pushed_apart() -> None:
    """Two images have one report, another has another: open_clip's losses push the first away from it, ours draw both.

    The reports are the axes, so what becomes of an image's first number is what the shared report does to it.
    """
    texts = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    same = same_reports(["clear", "clear", "mass"])
    for bias, theirs in ((None, ClipLoss()), (BIAS, SigLipLoss())):
        drawn = []
        for ours in (True, False):
            images = torch.tensor([[0.8, 0.6], [0.6, 0.8], [0.0, 1.0]], requires_grad=True)
            loss = contrastive_loss(images, texts, same, SCALE, bias) if ours else theirs(images, texts, SCALE, bias)
            loss.backward()
            assert images.grad is not None
            drawn.append([bool(pull > 0) for pull in -images.grad[:2, 0]])
        assert drawn[0] == [True, True]
        assert drawn[1][0] is False


def test_a_batch_of_one_report_teaches_nothing_and_is_no_fault() -> None:
    images, texts = embeddings()
    loss = contrastive_loss(images, texts, same_reports(["clear"] * 7), SCALE)
    loss.backward()
    assert loss.item() == 0 and images.grad is not None and not images.grad.any()


def test_a_part_that_two_reports_share_is_no_negative() -> None:
    same = same_reports(["long a", "long b", "c"], ["no effusion", "no effusion", "c"])
    assert same.int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
