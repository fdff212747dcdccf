"""TIFF, WebP and the odder kinds of PNG and JPEG, with values worked out by hand."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from indexing.images.decode import decode_image
from indexing.images.limits import MAX_PAGES
from indexing.images.tiff_pages import read_pages
from indexing.images.view import ImageView
from titrate import InputError


def shown(data: bytes, view: ImageView | None = None) -> list[Any]:
    image = decode_image(data, "a", view or ImageView())
    assert image.mode == "RGB"
    rows: list[Any] = np.asarray(image).tolist()
    return rows


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def of(values: list[Any], kind: type[np.generic] = np.uint8) -> Image.Image:
    pixels: NDArray[Any] = np.array(values, kind)
    return Image.fromarray(pixels)


COMPRESSIONS = ["raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_tiff(compression: str) -> None:
    assert shown(saved(of([[7, 9]]), "TIFF", compression=compression)) == [[[7] * 3, [9] * 3]]
    assert shown(saved(of([[[1, 2, 3], [4, 5, 6]]]), "TIFF", compression=compression)) == [[[1, 2, 3], [4, 5, 6]]]
    # (v − 1000) · 255 / 3000
    sixteen = of([[1000, 4000], [2000, 3000]], np.uint16)
    assert shown(saved(sixteen, "TIFF", compression=compression)) == [[[0] * 3, [255] * 3], [[85] * 3, [170] * 3]]


def test_tiff_where_the_least_value_is_white() -> None:
    # Pillow writes the values as they are and only notes the tag, so 0 is stored as 0 and shown as 255.
    sixteen = saved(of([[0, 300]], np.uint16), "TIFF", tiffinfo={262: 0})
    assert shown(sixteen) == [[[255] * 3, [0] * 3]]


def test_tiff_of_floats() -> None:
    # Stretched between −1 and 4; what is not a number is black.
    floats = of([[-1, 4, 0, np.nan, np.inf]], np.float32)
    assert shown(saved(floats, "TIFF")) == [[[0] * 3, [255] * 3, [51] * 3, [0] * 3, [0] * 3]]


def test_pages_of_a_tiff() -> None:
    pages = [of([[number, number]]) for number in range(5)]
    data = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert shown(data)[0][0] == [2] * 3, "the middle one"
    assert [shown(data, ImageView(frame=frame))[0][0][0] for frame in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match="has 5 frames; frame 5"):
        shown(data, ImageView(frame=5))


def test_orientation_of_a_tiff_is_applied_once() -> None:
    assert shown(saved(of([[1, 2, 3]]), "TIFF", tiffinfo={274: 6})) == [[[1] * 3], [[2] * 3], [[3] * 3]]


def directories(offsets: list[int], order: str = "<") -> bytes:
    """A TIFF of empty directories, each leading to the next offset given."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", 8) + b"".join(struct.pack(f"{order}HI", 0, offset) for offset in offsets)


def test_pages_are_counted_without_decoding() -> None:
    for order in ("<", ">"):
        assert len(read_pages(directories([14, 20, 0], order), 9)) == 3
        assert len(read_pages(directories([14, 8], order), 9)) == 2, "a circle ends"
    big = b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + struct.pack("<QQ", 0, 32) + struct.pack("<QQ", 0, 0)
    assert len(read_pages(big, 9)) == 2
    long = directories([8 + 6 * number for number in range(1, 3 * MAX_PAGES)])
    assert len(read_pages(long, MAX_PAGES)) == MAX_PAGES + 1
    page = saved(of([[1, 2]]), "TIFF")
    [first] = struct.unpack_from("<I", page, 4)
    pointer = first + 2 + 12 * struct.unpack_from("<H", page, first)[0]
    chain = [len(page) + 6 * number for number in range(1, MAX_PAGES + 2)]
    book = page[:pointer] + struct.pack("<I", len(page)) + page[pointer + 4 :] + directories(chain)[8:]
    with pytest.raises(InputError, match="more than 10,000 pages"):
        shown(book)
    with pytest.raises(InputError, match="damaged"):
        shown(directories([9999]))


def test_webp() -> None:
    picture = of([[[200, 100, 50]] * 8] * 8)
    assert shown(saved(picture, "WEBP", lossless=True))[0][0] == [200, 100, 50]
    frames = [of([[[shade] * 3] * 8] * 8) for shade in (10, 20, 30)]
    moving = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert shown(moving)[0][0] == [20] * 3
    assert shown(moving, ImageView(frame=2))[0][0] == [30] * 3
    for broken in (moving[:40], b"RIFF" + moving[4:8] + b"WAVE" + moving[12:]):
        with pytest.raises(InputError):
            shown(broken)


def test_transparent_webp_is_black() -> None:
    assert shown(saved(of([[[9, 9, 9, 0], [9, 9, 9, 255]]]), "WEBP", lossless=True, exact=True)) == [[[0] * 3, [9] * 3]]


def test_adobe_cmyk_jpeg() -> None:
    """Photoshop stores ink inverted and says so in an APP14 segment."""
    plain = saved(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=100)
    assert b"Adobe" in plain
    assert shown(plain)[0][0] == pytest.approx([0, 255, 255], abs=2), "full cyan"


def test_grey_jpeg_and_one_bit_png() -> None:
    assert shown(saved(Image.new("L", (8, 8), 77), "JPEG"))[0][0] == [77] * 3
    assert shown(saved(Image.fromarray(np.array([[True, False]])), "PNG")) == [[[255] * 3, [0] * 3]]


def test_a_still_picture_has_one_frame() -> None:
    for kind in ("PNG", "JPEG", "TIFF", "WEBP"):
        data = saved(Image.new("RGB", (8, 8)), kind)
        shown(data, ImageView(frame=0))
        with pytest.raises(InputError, match=r"has 1 frame; frame 1 \(counted from 0\)"):
            shown(data, ImageView(frame=1))
