"""Colour of 16 bits in PNG and TIFF, of which Pillow keeps the upper 8 only: dark where a camera used 10 or 12 of them.

Each image is decoded twice, once for the upper and once for the lower byte of each value, by telling Pillow the byte
order that the file has, and the other one.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from indexing.images.greyscale import OUTLIERS, stretch
from titrate import InputError

_BITS_PER_SAMPLE, _PLANAR_CONFIGURATION, _IN_PLANES = 258, 284, 2
_LEAST_BITS, _LEAST_COARSE_BITS = 8, 13


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether a file just opened holds colour, or grey with transparency, of 16 bits."""
    if image.mode not in ("RGB", "RGBA"):
        return False
    if isinstance(image, TiffImageFile):
        return set(image.tag_v2.get(_BITS_PER_SAMPLE, ())) == {16}
    return any(";16" in str(tile.args) for tile in image.tile)


def decode_deep(open_page: Callable[[], ImageFile.ImageFile], name: str) -> Image.Image:
    """Decode to upright 8-bit RGB; transparent parts become black.

    White is the greatest value of so many bits as the 99.5th percentile of all colours needs, 8 at least: values of 12
    bits are not dark, one bright pixel does not decide, and an image that uses all 16 is as its copy of 8 bits. Grey
    with transparency is stretched as grey is.

    Parameters
    ----------
    open_page
        Opens the file at the right page anew, with nothing decoded.
    name
        What error messages call it.

    Raises
    ------
    InputError
        If the lower bytes are needed but out of reach: compressed TIFF whose colours lie in planes.
    """
    image = open_page()
    kind = _raw_mode(image.tile[0]).split(";")[0]
    clear = image.info.get("transparency")  # of a PNG: the one colour that is transparent
    # libtiff's planes are unpacked beyond reach, with the upper byte only.
    coarse = image.tile[0].codec_name == "libtiff" and _planes(image)
    high = _load(image, False)
    if kind == "LA":  # read as RGBA of 8 bits, whose four bytes are those of grey and alpha
        parts = high.astype(np.uint16)
        grey, alpha = parts[..., 0] << 8 | parts[..., 1], parts[..., 2] << 8 | parts[..., 3]
        visible = (stretch(grey, alpha > 0) * (alpha / 65535)).round().astype(np.uint8)
        return Image.fromarray(visible).convert("RGB")
    low = high if coarse else _load(open_page(), True)
    values = high.astype(np.uint16) << 8 | low  # [rows, columns, 3 or 4]
    colours = values[..., :3].astype(np.float32)
    if isinstance(clear, tuple):
        colours[(values[..., :3] == clear).all(axis=2)] = 0
    elif kind == "RGBA":  # not RGBa, whose colours are multiplied by their alpha already
        colours *= values[..., 3:] / np.float32(65535)
    bits = max(_LEAST_BITS, int(np.quantile(colours, 1 - OUTLIERS, method="higher")).bit_length())
    if coarse and bits < _LEAST_COARSE_BITS:
        raise InputError(
            f"image {name} uses few of its 16 bits, in compressed planes of colour; convert it to PNG first"
        )
    return Image.fromarray((colours * (255 / (2**bits - 1))).round().clip(0, 255).astype(np.uint8))


def _load(image: ImageFile.ImageFile, low: bool) -> NDArray[np.uint8]:
    """One byte of each value, upright, uint8 [rows, columns, 3 or 4]."""
    tiles = []
    for tile in image.tile:
        kind = _raw_mode(tile).split(";")[0]
        if tile.codec_name == "libtiff":
            little = sys.byteorder == "little"
        else:
            little = isinstance(image, TiffImageFile) and image.tag_v2.prefix == b"II"
        mode = "RGBA" if kind == "LA" else f"{kind.upper()};16{'L' if little != low else 'B'}"
        tiles.append(tile._replace(args=(mode, *tile.args[1:]) if isinstance(tile.args, tuple) else mode))
    image.tile = tiles
    upright: NDArray[np.uint8] = np.asarray(ImageOps.exif_transpose(image))
    return upright


def _raw_mode(tile: Any) -> str:
    return str(tile.args if isinstance(tile.args, str) else tile.args[0])


def _planes(image: ImageFile.ImageFile) -> bool:
    return isinstance(image, TiffImageFile) and image.tag_v2.get(_PLANAR_CONFIGURATION) == _IN_PLANES
