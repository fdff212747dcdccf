"""Grey values without a window: stretched so that a few odd pixels do not decide."""

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from indexing.images.decode import decode_image
from indexing.images.greyscale import stretch
from tests.indexing.dicom_files import image_file

RAMP: NDArray[np.uint16] = np.tile(np.arange(1000, 5000, 10, dtype=np.uint16), (20, 1))
"""1000 to 4990, twenty times: 8,000 pixels."""


def saved(pixels: NDArray[np.uint16], kind: str) -> bytes:
    if kind == "DICOM":
        return image_file(pixels)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("odd", [(0, 65535), (65535, 65535), (0, 0)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "DICOM"])
def test_a_few_odd_pixels_change_nothing_else(kind: str, odd: tuple[int, int]) -> None:
    pixels = RAMP.copy()
    pixels[1, 7], pixels[2, 9] = odd
    shown, expected = (
        np.asarray(decode_image(saved(image, kind), "a"))[..., 0].astype(int) for image in (pixels, RAMP)
    )
    ordinary = pixels == RAMP
    assert np.abs(shown - expected)[ordinary].max() <= 1
    assert shown[1, 7] == 255 * (odd[0] > 0) and shown[2, 9] == 255 * (odd[1] > 0)
    assert shown.mean() == pytest.approx(127.5, abs=1)


def test_percentiles_by_hand() -> None:
    # 1,000 values from 0 to 999; (n − 1) · 0.005 = 4.995, so 4 is black, and from the other end 995 is white.
    shown = stretch(np.arange(1000).reshape(20, 50)).ravel()
    assert shown[:5].tolist() == [0] * 5 and shown[995:].tolist() == [255] * 5
    assert shown[500] == round((500 - 4) * 255 / 991)
    # Of 199 values, (n − 1) · 0.005 = 0.99: all count.
    assert stretch(np.arange(199).reshape(1, 199)).ravel()[[0, 1, 197, 198]].tolist() == [0, 1, 254, 255]


def test_an_image_nearly_all_of_one_value_is_not_black() -> None:
    sparse = np.zeros((100, 100), np.uint16)
    sparse[40:44, 40:45] = 100
    assert stretch(sparse)[42, 42] == 255 and stretch(sparse)[0, 0] == 0
    assert not stretch(np.full((9, 9), 7)).any()
    assert not stretch(np.full((9, 9), np.nan)).any()
