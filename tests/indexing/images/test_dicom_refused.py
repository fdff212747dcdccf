"""DICOM files that claim too much, hold no image, or are broken: each refused with a reason, before it is decoded."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from indexing.images.decode import decode_image
from tests.indexing.dicom_files import file_bytes, image_dataset, image_file
from titrate import InputError

EXAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
RAMP = np.array([[0, 100], [200, 300]], np.int16)
RAMP_FILE = image_file(RAMP)


def shown(data: bytes) -> list[list[int]]:
    rows: list[list[int]] = np.asarray(decode_image(data, "a.dcm"))[..., 0].tolist()
    return rows


def deflated(content: bytes) -> bytes:
    start = file_bytes(image_dataset(RAMP), uid.DeflatedExplicitVRLittleEndian)
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = start[: start.index(b"1.2.840.10008.1.2.1.99") + 22]
    rest = start[len(head) :]
    keep = rest[: int.from_bytes(start[140:144], "little") + 144 - len(head)]
    return head + keep + packer.compress(content) + packer.flush()


def test_deflated_files() -> None:
    plain = file_bytes(image_dataset(RAMP), preamble=False)
    assert shown(deflated(plain)) == [[0, 85], [170, 255]]
    for bomb in (bytes(300 << 20), plain + bytes(300 << 20)):
        with pytest.raises(InputError, match="inflates to more than 256 MiB"):
            shown(deflated(bomb))
    nested = deflated(bytes(300 << 20))
    with pytest.raises(InputError):
        shown(deflated(nested))


def claiming(**tags: Any) -> bytes:
    return image_file(RAMP, **tags)


def compressed(stream: bytes, syntax: str, **tags: Any) -> bytes:
    dataset = image_dataset(np.zeros((8, 8), np.uint8), **tags)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    return file_bytes(dataset, syntax)


UNUSABLE: list[tuple[bytes, str]] = [
    (claiming(Rows=60_000, Columns=60_000), "the limit is 64,000,000"),
    (claiming(Rows=10_000, Columns=2), "strip"),
    (claiming(NumberOfFrames=100_001), "100,001 frames; the limit is 100,000"),
    (claiming(Rows=8000, Columns=8000, BitsAllocated=64), "more than 256 MiB"),
    (claiming(NumberOfFrames=3), "fewer pixels than its header says"),
    (claiming(Rows=3), "fewer pixels than its header says"),
    (claiming(Rows=None), "no usable Rows"),
    (claiming(Columns=0), "no usable Columns"),
    (claiming(SamplesPerPixel=None), "no usable SamplesPerPixel"),
    (claiming(NumberOfFrames=-2), "no usable NumberOfFrames"),
    (claiming(PixelData=None), r"holds no image \(CT Image Storage\)"),
    (claiming(PixelData=None, SOPClassUID=uid.EncapsulatedPDFStorage), r"no image \(Encapsulated PDF Storage\)"),
    (claiming(PixelData=None, SOPClassUID="1.2.3.4.5"), "holds no image; leave"),
    (claiming(PhotometricInterpretation="CMYK"), "damaged"),
    (claiming(BitsStored=40), "damaged"),
    (compressed(b"\0\0\1\xb3", uid.MPEG4HP41), r"not decoded here; convert it"),
    (RAMP_FILE.replace(b"10008.1.2.1\0", b"10008.9.9.9\0"), "an unknown transfer syntax, which is not decoded here"),
    ((EXAMPLES / "JPGExtended.dcm").read_bytes(), "pip install pylibjpeg-libjpeg"),
    ((EXAMPLES / "MR_small.dcm").read_bytes()[:3000], "fewer pixels than its header says"),
    (bytes(128) + b"DICM", "holds no image"),
    (bytes(128) + b"DICM" + b"\x02\0\x10\0UI\xff\xff", "a.dcm"),
]


@pytest.mark.parametrize(("data", "reason"), UNUSABLE)
def test_unusable_files_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        decode_image(data, "a.dcm")
    assert "\n" not in str(caught.value) and "a.dcm" in str(caught.value)


def test_the_codestream_must_be_of_the_size_that_the_header_says() -> None:
    jpeg = b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0"
    j2k = b"\xff\x4f\xff\x51\0\x29\0\0" + (60_000).to_bytes(4, "big") * 2 + bytes(24) + b"\0\1\7\1\1"
    rle = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + b"\x81\0" * (5 << 20)
    for stream, syntax in (
        (jpeg, uid.JPEGBaseline8Bit),
        (jpeg.replace(b"\xc0", b"\xc3"), uid.JPEGLosslessSV1),
        (jpeg.replace(b"\xc0", b"\xf7"), uid.JPEGLSLossless),
        (j2k, uid.JPEG2000),
        (j2k, uid.HTJ2K),
        (rle, uid.RLELossless),
        (b"\xff\xd8\xff\xe0", uid.JPEGBaseline8Bit),
    ):
        with pytest.raises(InputError, match="not of the size its header says"):
            decode_image(compressed(stream, syntax), "a")
    with pytest.raises(InputError, match="fewer frames than its header says"):
        decode_image(compressed(jpeg, uid.JPEGBaseline8Bit, NumberOfFrames=2), "a")
