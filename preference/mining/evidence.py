"""Where in an image the evidence for an answer lies, as the model itself sees it, or in a region that somebody drew.

MMedPO (arXiv 2412.06141) noises the lesion alone, found by a segmentation tool. Here the model's own evidence takes the
tool's place where nobody drew a region: patches are covered in turn, and the answer's log-probability falls most where
the evidence was (occlusion, Zeiler and Fergus, arXiv 1311.2901).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexing import ImageView, load_image
from preference.mining.regions import Region
from preference.pairs import PreferencePair
from rag import MLLM, Prompt, check_finite

GRID = 4
"""Patches along each side."""


@dataclass(frozen=True)
class Evidence:
    """Where an image's evidence for an answer lies, and how much of it there is.

    Attributes
    ----------
    region
        The box around the evidence.
    strength
        By what share the answer's probability falls when the strongest patch is covered, or the box that was drawn:
        1 − p(covered) / p(seen), at least 0.
    """

    region: Region
    strength: float


def locate_evidence(
    mllm: MLLM,
    pairs: Sequence[PreferencePair],
    *,
    drawn: Mapping[Path, Region] | None = None,
    view: ImageView | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Evidence]:
    """Find the evidence for each pair's chosen answer in its image, while the model reads the pair's prompt.

    Where no region was drawn, each of 4 × 4 patches is covered with the image's mean colour in turn, so that a pair
    takes 17 scores. The region is the box around the patches whose fall is at least half of the largest.

    Parameters
    ----------
    mllm
        The model whose answers are scored.
    pairs
        Pairs of any kind.
    drawn
        Regions that somebody drew, by image file, as `read_regions` gives them. For an image that has one, it is the
        evidence's region, and only its strength is measured.
    view
        How the images are decoded; by default as the image files say.
    progress
        Called after each pair with the number of pairs done and the number of all pairs.

    Returns
    -------
    list of Evidence
        One for each pair, in the order of the pairs.
    """
    located = []
    for number, pair in enumerate(pairs, start=1):
        image = load_image(pair.image, view or ImageView())
        box = (drawn or {}).get(pair.image.resolve())
        covers = [box] if box is not None else _patches()
        images = [image, *(_cover(image, cover) for cover in covers)]
        scores = mllm.score([Prompt(shown, pair.prompt) for shown in images], [[pair.chosen]] * len(images))
        check_finite(np.concatenate(scores))
        falls = np.array([float(scores[0][0] - score[0]) for score in scores[1:]])
        strength = float(1 - np.exp(-max(0.0, float(falls.max()))))
        located.append(Evidence(box if box is not None else _box_around(falls.reshape(GRID, GRID)), strength))
        if progress is not None:
            progress(number, len(pairs))
    return located


def restrict_noise(pairs: Sequence[PreferencePair], evidence: Sequence[Evidence]) -> list[PreferencePair]:
    """Restrict the noise of rejected images to the region of the evidence.

    Parameters
    ----------
    pairs
        Pairs of any kind; those whose rejected image has no noise stay as they are.
    evidence
        One for each pair, in the order of the pairs.
    """
    return [
        pair
        if pair.rejected_noise is None
        else replace(pair, rejected_noise=replace(pair.rejected_noise, region=found.region))
        for pair, found in zip(pairs, evidence, strict=True)
    ]


def _patches() -> list[Region]:
    """The grid's patches, row after row."""
    edges = [(number / GRID, (number + 1) / GRID) for number in range(GRID)]
    return [(left, top, right, bottom) for top, bottom in edges for left, right in edges]


def _cover(image: Image.Image, region: Region) -> Image.Image:
    """The image with a region painted in the image's mean colour."""
    mean = tuple(round(value) for value in np.asarray(image, dtype=np.float64).mean(axis=(0, 1)))
    covered = image.copy()
    left, top, right, bottom = (edge * side for edge, side in zip(region, (image.width, image.height) * 2, strict=True))
    covered.paste(mean, (int(left), int(top), max(int(left) + 1, round(right)), max(int(top) + 1, round(bottom))))
    return covered


def _box_around(falls: NDArray[np.float64]) -> Region:
    """The box around the patches with at least half of the largest fall, or the whole image where nothing falls.

    Parameters
    ----------
    falls
        By how much the answer's log-probability fell when each patch was covered, [GRID, GRID], in nats.
    """
    if falls.max() <= 0:
        return 0.0, 0.0, 1.0, 1.0
    rows, columns = np.nonzero(falls >= falls.max() / 2)
    return (
        float(columns.min() / GRID),
        float(rows.min() / GRID),
        float((columns.max() + 1) / GRID),
        float((rows.max() + 1) / GRID),
    )
