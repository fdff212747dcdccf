"""Colour of 16 bits in PNG and TIFF, however it is stored, with values worked out by hand."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile  # comes with scikit-image
from numpy.typing import NDArray

from indexing.images.decode import decode_image
from titrate import InputError

STEPS = np.tile(np.linspace(0, 65535, 64).round().astype(np.uint16), (16, 1))
RAMP = np.stack([STEPS, STEPS // 2, STEPS], axis=2)
"""Red and blue rise from 0 to 65535, green to half of it: uint16 [16, 64, 3]."""


def shown(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(decode_image(data, "a"))


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    buffer = BytesIO()
    if options.get("planarconfig") == "separate":
        pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    tifffile.imwrite(buffer, pixels, photometric="rgb", metadata=None, **options)
    return buffer.getvalue()


def png(pixels: NDArray[Any], colour_type: int, **chunks: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows, columns = pixels.shape[:2]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 16, colour_type, 0, 0, 0))
    others = b"".join(chunk(kind.encode(), data) for kind, data in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + header + others + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


LAYOUTS: list[dict[str, Any]] = [
    {},
    {"byteorder": ">"},
    {"rowsperstrip": 4},
    {"tile": (16, 16)},
    {"planarconfig": "separate"},
    {"planarconfig": "separate", "byteorder": ">"},
    {"planarconfig": "separate", "rowsperstrip": 4},
    {"planarconfig": "separate", "tile": (16, 16)},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True, "byteorder": ">"},
    {"compression": "zlib", "predictor": True, "tile": (16, 16)},
]


@pytest.mark.parametrize("options", [*LAYOUTS, {"planarconfig": "separate", "compression": "zlib"}])
def test_tiff_of_all_16_bits(options: dict[str, Any]) -> None:
    image = shown(tiff(RAMP, **options))
    assert image[0, [0, 16, 63]].tolist() == [[0, 0, 0], [65, 32, 65], [255, 127, 255]]
    assert np.abs(image - RAMP * (255 / 65535)).max() <= 1


@pytest.mark.parametrize("options", LAYOUTS)
def test_tiff_of_12_of_16_bits(options: dict[str, Any]) -> None:
    pixels = RAMP // 16
    pixels[3, 3] = 65535  # one bright pixel
    image = shown(tiff(pixels, **options))
    assert image[0, [0, 16, 63]].tolist() == [[0, 0, 0], [65, 32, 65], [255, 127, 255]]
    assert image[3, 3].tolist() == [255] * 3
    assert np.abs(image - pixels.clip(0, 4095) * (255 / 4095)).max() <= 0.5


def test_compressed_planes_of_few_bits_are_refused() -> None:
    with pytest.raises(InputError, match="uses few of its 16 bits, in compressed planes"):
        shown(tiff(RAMP // 16, planarconfig="separate", compression="zlib"))


@pytest.mark.parametrize("shift", [0, 4, 6])
def test_png(shift: int) -> None:
    image = shown(png(RAMP >> shift, 2))
    assert np.abs(image - (RAMP >> shift) * (255 / (65535 >> shift))).max() <= 0.5


def test_values_of_8_bits_stay_what_they_are() -> None:
    pixels = (RAMP >> 8) // 3
    assert (shown(png(pixels, 2)) == pixels).all() and (shown(tiff(pixels)) == pixels).all()


def test_transparent_parts_are_black() -> None:
    clear = np.full((16, 64, 1), 65535, np.uint16)
    clear[:, :32], clear[:8, :32] = 32768, 0
    with_alpha = np.concatenate([RAMP, clear], axis=2)
    expected = RAMP * (clear / 65535) * (255 / 65535)
    assert np.abs(shown(png(with_alpha, 6)) - expected).max() <= 0.51
    assert np.abs(shown(tiff(with_alpha, extrasamples=["unassalpha"])) - expected).max() <= 0.51
    multiplied = np.concatenate([(RAMP * (clear / 65535)).round().astype(np.uint16), clear], axis=2)
    for compression in (None, "zlib"):
        data = tiff(multiplied, extrasamples=["assocalpha"], compression=compression)
        assert np.abs(shown(data) - expected).max() <= 0.51
    assert np.abs(shown(tiff(with_alpha, extrasamples=["unspecified"])) - RAMP * (255 / 65535)).max() <= 0.51
    # One colour named as transparent.
    named = shown(png(RAMP, 2, tRNS=RAMP[0, 63].astype(">u2").tobytes()))
    assert not named[:, 63].any() and named[0, 62].tolist() == [251, 125, 251]


def test_grey_with_transparency() -> None:
    # Stretched by 255 / 4095 among what is visible.
    pixels = np.stack([STEPS >> 4, np.full_like(STEPS, 65535)], axis=2)
    assert shown(png(pixels, 4))[0, [0, 16, 63]].tolist() == [[0] * 3, [65] * 3, [255] * 3]
    pixels[:, :8] = 65535, 0
    image = shown(png(pixels, 4))
    assert not image[:, :8].any() and image[0, 63].tolist() == [255] * 3


def test_orientation_is_applied_once() -> None:
    turned = shown(tiff(RAMP, extratags=[(274, 3, 1, 6, True)]))
    assert turned.shape == (64, 16, 3) and turned[16, 0].tolist() == [65, 32, 65]
