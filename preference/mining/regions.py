"""Where in an image the evidence for an answer lies: a box or mask that someone drew, or else what the model looks at.

MMedPO (arXiv 2412.06141) noises the lesion alone, found by a segmentation tool. Here the model's own evidence takes the
tool's place where nobody drew a region: patches are covered in turn, and the answer's log-probability falls most where
the evidence was (occlusion, Zeiler and Fergus, arXiv 1311.2901).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexing import ImageView, load_image, resolve_image
from preference.pairs import PreferencePair
from rag import MLLM, Prompt
from titrate import InputError, read_jsonl

GRID = 4
"""Patches along each side."""

Region = tuple[float, float, float, float]
"""Left, top, right and bottom as shares of width and height."""


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
    drawn: dict[Path, Region] | None = None,
    view: ImageView | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Evidence]:
    """Find the evidence for each pair's chosen answer in its image, its prompt being read.

    Where no region was drawn, each of 4 × 4 patches is covered with the image's mean colour in turn: 17 scores a pair.
    The region is the box around the patches whose fall is at least half of the largest.

    Parameters
    ----------
    mllm
        Whose evidence.
    pairs
        Any.
    drawn
        Regions by image file, as `read_regions` gives them.
    view
        How the images are decoded; by default as the files say.
    progress
        Told how many pairs are done, and of how many.
    """
    found = []
    for number, pair in enumerate(pairs, start=1):
        image = load_image(pair.image, view or ImageView())
        box = (drawn or {}).get(pair.image.resolve())
        covers = [box] if box is not None else _patches()
        views = [image, *(_cover(image, cover) for cover in covers)]
        scores = mllm.score([Prompt(view, pair.prompt) for view in views], [[pair.chosen]] * len(views))
        falls = np.array([float(scores[0][0] - score[0]) for score in scores[1:]])
        strength = float(1 - np.exp(-max(0.0, float(falls.max()))))
        found.append(Evidence(box if box is not None else _around(falls.reshape(GRID, GRID)), strength))
        if progress is not None:
            progress(number, len(pairs))
    return found


def restrict_noise(pairs: Sequence[PreferencePair], evidence: Sequence[Evidence]) -> list[PreferencePair]:
    """The pairs with the noise of their rejected images, where they have any, kept to the evidence's region."""
    return [
        pair
        if pair.rejected_noise is None
        else replace(pair, rejected_noise=replace(pair.rejected_noise, region=found.region))
        for pair, found in zip(pairs, evidence, strict=True)
    ]


def read_regions(path: Path, *, root: Path | None = None) -> dict[Path, Region]:
    """Regions that were drawn, by image file.

    Parameters
    ----------
    path
        JSON lines with ``image`` and ``box`` (left, top, right, bottom in pixels of the image) or ``mask`` (an image of
        the same shape, 0 outside the region), such as a corpus that has these fields. Lines with neither are passed
        over.
    root
        Folder of the images; the file's own folder by default.

    Raises
    ------
    InputError
        Naming the line: if a box or mask is unsound, or an image is missing or outside the root. Also if there is none.
    """
    folder = path.parent if root is None else root
    regions: dict[Path, Region] = {}
    for line, value in read_jsonl(path):
        if value.get("box") is None and value.get("mask") is None:
            continue
        try:
            if not isinstance(value.get("image"), str):
                raise InputError('"image" is missing or not text')
            image = resolve_image(folder, value["image"])
            if value.get("box") is not None:
                regions[image] = _shares(value["box"], load_image(image).size)
            else:
                regions[image] = _mask_box(resolve_image(folder, str(value["mask"])))
        except InputError as error:
            raise InputError(f"{path}, line {line}: {error}") from error
    if not regions:
        raise InputError(f"{path} has no line with a box or a mask; leave it out to use the model's own evidence")
    return regions


def _shares(box: Any, size: tuple[int, int]) -> Region:
    """A box in pixels as shares of the image's size."""
    numbers = isinstance(box, list) and len(box) == 4 and all(type(edge) in (int, float) for edge in box)
    if not numbers or not (0 <= box[0] < box[2] <= size[0] and 0 <= box[1] < box[3] <= size[1]):
        raise InputError(f"box {box!r} is not left, top, right, bottom inside {size[0]} × {size[1]} pixels")
    return box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]


def _mask_box(path: Path) -> Region:
    mask = np.asarray(load_image(path)).max(axis=2) > 0
    if not mask.any():
        raise InputError(f"mask {path.name} is 0 everywhere; leave it out where there is no region")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    edges = columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height
    return float(edges[0]), float(edges[1]), float(edges[2]), float(edges[3])


def _patches() -> list[Region]:
    """The grid's patches, row after row."""
    edges = [(number / GRID, (number + 1) / GRID) for number in range(GRID)]
    return [(left, top, right, bottom) for top, bottom in edges for left, right in edges]


def _cover(image: Image.Image, region: Region) -> Image.Image:
    """The image with a region in its mean colour."""
    mean = tuple(round(value) for value in np.asarray(image, dtype=np.float64).mean(axis=(0, 1)))
    covered = image.copy()
    left, top, right, bottom = (edge * side for edge, side in zip(region, (image.width, image.height) * 2, strict=True))
    covered.paste(mean, (int(left), int(top), max(int(left) + 1, round(right)), max(int(top) + 1, round(bottom))))
    return covered


def _around(falls: NDArray[np.float64]) -> Region:
    """The box around the patches, [GRID, GRID], with at least half of the largest fall; all where nothing falls."""
    if falls.max() <= 0:
        return 0.0, 0.0, 1.0, 1.0
    rows, columns = np.nonzero(falls >= falls.max() / 2)
    return (
        float(columns.min() / GRID),
        float(rows.min() / GRID),
        float((columns.max() + 1) / GRID),
        float((rows.max() + 1) / GRID),
    )
