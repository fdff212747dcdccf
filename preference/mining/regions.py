"""Regions of images that somebody drew: boxes and masks, read from JSON lines."""

from pathlib import Path
from typing import Any

import numpy as np

from indexing import load_image, resolve_image
from titrate import InputError, read_jsonl

Region = tuple[float, float, float, float]
"""Left, top, right and bottom as shares of width and height."""


def read_regions(path: Path, *, root: Path | None = None) -> dict[Path, Region]:
    """Read regions that somebody drew, such as boxes around lesions.

    Parameters
    ----------
    path
        JSON lines with ``image`` and either ``box`` (left, top, right, bottom in pixels of the image) or ``mask`` (an
        image file of the same proportions, 0 outside the region). A corpus that has these fields will do. Lines with
        neither are passed over; of several lines about one image the last counts.
    root
        Folder of the images; the file's own folder by default.

    Returns
    -------
    dict
        Each image's region, by the image file's resolved path. Of a mask, it is the box around all that is not 0.

    Raises
    ------
    InputError
        If a box does not lie in its image, a mask is 0 everywhere, an image is missing or outside the root (the message
        names the line), or no line has a region.
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
                regions[image] = _box_as_shares(value["box"], load_image(image).size)
            else:
                regions[image] = _mask_box(resolve_image(folder, str(value["mask"])))
        except InputError as error:
            raise InputError(f"{path}, line {line}: {error}") from error
    if not regions:
        raise InputError(f"{path} has no line with a box or a mask; leave it out to use the model's own evidence")
    return regions


def _box_as_shares(box: Any, size: tuple[int, int]) -> Region:
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
