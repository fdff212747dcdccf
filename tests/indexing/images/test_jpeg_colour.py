"""Colour JPEG inside DICOM: whatever markers, component names and header come together, the colours are right."""

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from indexing.images.decode import decode_image
from indexing.images.stream_headers import is_start_of_frame, jpeg_segments
from tests.indexing.dicom_files import file_bytes, image_dataset
from titrate import InputError

QUARTERS: NDArray[np.uint8] = np.zeros((64, 64, 3), np.uint8)
QUARTERS[:32, :32], QUARTERS[:32, 32:] = (230, 40, 30), (40, 200, 60)
QUARTERS[32:, :32], QUARTERS[32:, 32:] = (30, 60, 220), (200, 200, 20)

JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
PHOTOSHOP = b"\xff\xed\0\x10Photoshop 3.0\0"


def adobe(transform: int) -> bytes:
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


ADOBE_TOO_SHORT = b"\xff\xee\0\x0cAdobe\0\0\0\0\0"


def stream(coded: str, before: bytes, names: bytes, subsampling: str = "4:4:4") -> bytes:
    """A JPEG of the quarters whose components are coded as RGB or YCC, with these segments and component names."""
    buffer = BytesIO()
    Image.fromarray(QUARTERS).save(buffer, "JPEG", quality=100, subsampling=subsampling, keep_rgb=coded == "rgb")
    data = buffer.getvalue()
    result, scan, old = b"\xff\xd8" + before, 2, b""
    for marker, start, end in jpeg_segments(data):
        segment = data[start:end]
        if is_start_of_frame(marker):
            old = segment[10::3]
            for number, name in enumerate(names):
                segment = segment[: 10 + 3 * number] + bytes([name]) + segment[11 + 3 * number :]
        if marker not in (0xE0, 0xEE):
            result += segment
        scan = end
    header = data[scan : scan + 5 + 2 * 3]
    for number, name in enumerate(names):
        assert header[5 + 2 * number] == old[number]
        header = header[: 5 + 2 * number] + bytes([name]) + header[6 + 2 * number :]
    return result + header + data[scan + 5 + 2 * 3 :]


def dicom(jpeg: bytes, photometric: str, syntax: str = uid.JPEGBaseline8Bit) -> bytes:
    dataset = image_dataset(QUARTERS, PhotometricInterpretation=photometric)
    dataset.PixelData = encapsulate([jpeg])
    dataset["PixelData"].is_undefined_length = True
    return file_bytes(dataset, syntax)


NUMBERS, FROM_0, RGB = b"\1\2\3", b"\0\1\2", b"RGB"


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize(
    ("coded", "before", "names", "subsampling"),
    [
        ("ycc", adobe(1), NUMBERS, "4:4:4"),
        ("ycc", adobe(1), NUMBERS, "4:2:0"),
        ("ycc", JFIF + adobe(1), NUMBERS, "4:2:2"),
        ("ycc", JFIF + PHOTOSHOP + adobe(1), NUMBERS, "4:4:4"),
        ("ycc", PHOTOSHOP + adobe(1), FROM_0, "4:4:4"),
        ("ycc", JFIF, NUMBERS, "4:4:4"),
        ("ycc", JFIF, FROM_0, "4:2:0"),
        ("ycc", b"", NUMBERS, "4:2:0"),  # chroma of fewer samples
        ("ycc", ADOBE_TOO_SHORT, NUMBERS, "4:2:2"),
        ("rgb", b"", RGB, "4:4:4"),
        ("rgb", PHOTOSHOP, RGB, "4:4:4"),
        ("rgb", adobe(0), NUMBERS, "4:4:4"),
        ("rgb", adobe(0), RGB, "4:4:4"),
    ],
)
def test_the_stream_says_what_it_holds(
    coded: str, before: bytes, names: bytes, subsampling: str, photometric: str
) -> None:
    jpeg = stream(coded, before, names, subsampling)
    for syntax in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit):
        shown = np.asarray(decode_image(dicom(jpeg, photometric, syntax), "a"))
        for row, column in ((8, 8), (8, 48), (48, 8), (48, 48)):
            np.testing.assert_allclose(shown[row, column], QUARTERS[row, column], atol=3)


@pytest.mark.parametrize("names", [NUMBERS, FROM_0])
@pytest.mark.parametrize("before", [b"", ADOBE_TOO_SHORT, PHOTOSHOP])
@pytest.mark.parametrize(("coded", "photometric"), [("rgb", "RGB"), ("ycc", "YBR_FULL"), ("ycc", "YBR_FULL_422")])
def test_where_the_stream_leaves_it_open_the_header_says(
    coded: str, photometric: str, before: bytes, names: bytes
) -> None:
    shown = np.asarray(decode_image(dicom(stream(coded, before, names), photometric), "a"))
    assert int(np.abs(shown.astype(int) - QUARTERS).max()) <= 3


def test_damaged_streams_are_refused() -> None:
    jpeg = stream("rgb", b"", RGB)
    with pytest.raises(InputError, match="damaged"):
        decode_image(dicom(jpeg[: len(jpeg) // 2], "RGB"), "a")
