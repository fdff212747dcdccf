"""Which page of a TIFF is shown: tissue of slides, never their label; the middle of stacks, ImageJ's among them."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile  # comes with scikit-image
from numpy.typing import NDArray

from indexing.images.decode import decode_image
from indexing.images.view import ImageView
from titrate import InputError

TISSUE, THUMBNAIL, LABEL, MACRO, MASK = 50, 90, 130, 170, 210
"""The grey that fills each page."""


def page(shade: int, height: int, width: int, **options: Any) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    return np.full((height, width, 3), shade, np.uint8), options


def slide(*pages: tuple[NDArray[np.uint8], dict[str, Any]], bigtiff: bool = False, byteorder: Any = "<") -> bytes:
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer, bigtiff=bigtiff, byteorder=byteorder) as file:
        for pixels, options in pages:
            file.write(pixels, photometric="rgb", metadata=None, **options)
    return buffer.getvalue()


def shown(data: bytes, frame: int | None = None) -> tuple[int, tuple[int, int]]:
    image = decode_image(data, "a.tif", ImageView(frame=frame))
    return int(np.asarray(image)[0, 0, 0]), image.size


TILED = {"tile": (256, 256)}
APERIO = "Aperio Image Library v11.2.1 \r\n"
SLIDES = {
    # openslide's CMU-1-Small-Region: one level, its thumbnail, label and macro.
    "aperio": [
        page(TISSUE, 1200, 1600, **TILED, description=f"{APERIO}1600x1200 (256x256) JPEG/RGB Q=70|AppMag = 20"),
        page(THUMBNAIL, 300, 400, description=f"{APERIO}1600x1200 -> 400x300 - |AppMag = 20", subfiletype=1),
        page(LABEL, 463, 387, description=f"{APERIO}label 387x463", subfiletype=1),
        page(MACRO, 400, 900, description=f"{APERIO}macro 900x400", subfiletype=9),
    ],
    "aperio without words": [
        page(TISSUE, 1200, 1600, **TILED),
        page(THUMBNAIL, 300, 400, subfiletype=1),
        page(LABEL, 463, 387, subfiletype=1),
        page(MACRO, 300, 400, subfiletype=9),
    ],
    # Two levels, of which the lesser shows enough, and label and macro as wide as they are.
    "philips": [
        page(1, 4096, 4096, **TILED),
        page(TISSUE, 1024, 1024, **TILED),
        page(THUMBNAIL, 512, 512, **TILED),
        page(MACRO, 800, 800, description="Macro"),
        page(LABEL, 800, 800, description="Label"),
    ],
    "ventana": [
        page(LABEL, 1500, 700, description="Label Image"),
        page(MASK, 300, 400, description="Probability_Image"),
        page(TISSUE, 1200, 1600, **TILED, description="level=0 mag=40 quality=90"),
        page(THUMBNAIL, 600, 800, **TILED, description="level=1 mag=20 quality=90"),
    ],
    # Bio-Formats tiles all pages and describes none: shape alone tells.
    "tiled throughout": [
        page(LABEL, 1300, 600, **TILED),
        page(TISSUE, 1200, 1600, **TILED),
        page(MACRO, 400, 900, **TILED),
    ],
    "in strips throughout": [page(TISSUE, 1100, 1500), page(LABEL, 463, 387), page(MACRO, 400, 900)],
    "hamamatsu": [
        page(TISSUE, 1200, 1600, extratags=[(65421, 11, 1, 20.0, True)]),
        page(THUMBNAIL, 300, 400, extratags=[(65421, 11, 1, 5.0, True)]),
        page(MACRO, 1800, 2400, extratags=[(65421, 11, 1, -1.0, True)]),
        page(MASK, 1800, 2400, extratags=[(65421, 11, 1, -2.0, True)]),
    ],
    "photograph and thumbnail": [page(TISSUE, 600, 800), page(THUMBNAIL, 120, 160, subfiletype=1)],
}


@pytest.mark.parametrize(("bigtiff", "byteorder"), [(False, "<"), (True, "<"), (False, ">")])
@pytest.mark.parametrize("maker", SLIDES)
def test_tissue_is_shown(maker: str, bigtiff: bool, byteorder: str) -> None:
    shade, size = shown(slide(*SLIDES[maker], bigtiff=bigtiff, byteorder=byteorder))
    assert shade == TISSUE and min(size) >= 600


def test_a_level_beyond_the_limits_gives_way_to_the_thumbnail() -> None:
    # The first level claims 80,000 x 60,000 pixels, of which the file holds the tags alone.
    data = slide(page(1, 1200, 1600, **TILED), page(THUMBNAIL, 300, 400), page(LABEL, 463, 387, description="label"))
    with tifffile.TiffFile(BytesIO(data)) as file:
        tags = file.pages.first.tags
        places = [
            (tags[name].valueoffset, number) for name, number in (("ImageWidth", 80_000), ("ImageLength", 60_000))
        ]
        assert tags["ImageWidth"].dtype == tags["ImageLength"].dtype == 4
    changed = bytearray(data)
    for place, number in places:
        struct.pack_into("<I", changed, place, number)
    assert shown(bytes(changed)) == (THUMBNAIL, (400, 300))
    with pytest.raises(InputError, match="80000x60000"):
        shown(bytes(changed), 0)


def test_any_page_can_be_asked_for() -> None:
    data = slide(*SLIDES["aperio"])
    assert [shown(data, frame)[0] for frame in range(4)] == [TISSUE, THUMBNAIL, LABEL, MACRO]
    with pytest.raises(InputError, match="has 4 frames; frame 4"):
        shown(data, 4)


def test_a_file_of_labels_is_refused() -> None:
    with pytest.raises(InputError, match="nothing but the label or the overview"):
        shown(slide(page(LABEL, 40, 30, description="label"), page(MACRO, 30, 60, description="macro")))


def test_a_stack_shows_its_middle_whatever_is_written_on_it() -> None:
    slices = [page(shade, 32, 32, description=f"labels={shade}", tile=(16, 16)) for shade in (10, 20, 30)]
    assert shown(slide(*slices))[0] == 20
    assert shown(slide(*[page(shade, 32, 32, description="label") for shade in (10, 20, 30)]))[0] == 20


def hyperstack(images: NDArray[Any], **axes: int) -> bytes:
    """As ImageJ writes a stack: one directory, then all images one after the other, in big endian."""
    buffer = BytesIO()
    tifffile.imwrite(buffer, images[0], byteorder=">", metadata=None, description="x" * 200, rowsperstrip=8)
    with tifffile.TiffFile(BytesIO(buffer.getvalue())) as file:
        tag, offset = file.pages.first.tags["ImageDescription"], file.pages.first.dataoffsets[0]
    named = "".join(f"{key}={value}\n" for key, value in axes.items())
    text = f"ImageJ=1.53t\nimages={len(images)}\n{named}hyperstack=true\nmode=grayscale\n".encode()
    data = bytearray(buffer.getvalue())
    data[tag.valueoffset : tag.valueoffset + 200] = text.ljust(200, b"\0")
    return bytes(data[:offset]) + images.astype(images.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("axes", [{"slices": 9}, {"channels": 3, "slices": 3}, {"frames": 9}])
def test_images_that_imagej_wrote_behind_one_directory(kind: type[np.generic], axes: dict[str, int]) -> None:
    images = np.zeros((9, 24, 32), kind)
    for number in range(9):
        images[number, :, number:] = 255
    data = hyperstack(images, **axes)
    for frame, number in ((None, 4), (0, 0), (4, 4), (8, 8)):
        image = np.asarray(decode_image(data, "a", ImageView(frame=frame)))
        expected = np.where(np.arange(32) < number, 0, 255 if number or kind is np.uint8 else 0)
        assert (image[..., 0] == expected).all(), (frame, number)
    with pytest.raises(InputError, match="has 9 frames; frame 9"):
        decode_image(data, "a", ImageView(frame=9))
    with pytest.raises(InputError, match="holds 6 of the 9 images it names"):
        decode_image(data[: -images[0].nbytes * 5 // 2], "a")
    # Saved anew by a program that kept the text but one image only.
    assert np.asarray(decode_image(data[: -images[0].nbytes * 8], "a")).shape == (24, 32, 3)


def test_directories_that_overlap_are_read_in_bounded_time() -> None:
    chain = b"".join(struct.pack("<HI", 0xFFFF, 0) for _ in range(2))
    with pytest.raises(InputError):
        decode_image(b"II*\0" + struct.pack("<I", 8) + chain, "a")


@pytest.mark.parametrize(
    ("pixels", "options", "told"),
    [
        (np.zeros((8, 8), np.uint8), {"bigtiff": True, "byteorder": ">"}, "is a BigTIFF with the upper byte first"),
        (np.zeros((8, 8), np.float64), {}, "is a TIFF whose pixels are of a kind that is not decoded here"),
        (np.zeros((8, 8, 3), np.float32), {"photometric": "rgb"}, "is a TIFF whose pixels are of a kind that is not"),
    ],
)
def test_what_pillow_cannot_read_is_named(pixels: np.ndarray, options: dict[str, Any], told: str) -> None:
    data = BytesIO()
    tifffile.imwrite(data, pixels, **options)
    with pytest.raises(InputError, match=told):
        decode_image(data.getvalue(), "a.tif")
