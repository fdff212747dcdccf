"""Grey DICOM files as they are found rather than as the standard wishes, with values worked out by hand."""

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset

from indexing.images.decode import decode_image
from tests.indexing.dicom_files import file_bytes, image_dataset, image_file
from titrate import TitrateWarning

STEPS = np.array([[0, 1], [2, 3]], np.uint16)


def grey(data: bytes) -> list[list[int]]:
    rows: list[list[int]] = np.asarray(decode_image(data, "a.dcm"))[..., 0].tolist()
    return rows


def table(descriptor: list[int], data: bytes | list[int], first: str = "US") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", first, descriptor)
    item.add_new("LUTData", "OW" if isinstance(data, bytes) else "US", data)
    return item


def words(*values: int, order: str = "<") -> bytes:
    return np.array(values, f"{order}u2").tobytes()


SIXTHS = [[0, 51], [102, 255]]
"""What 0, 51, 102 and 255 of 255 look like."""


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize(
    "item",
    [
        table([4, 0, 8], bytes([0, 51, 102, 255])),  # two entries a word
        table([4, 0, 8], [51 << 8, 102 | 255 << 8]),
        table([4, 0, 8], words(0, 51, 102, 255)),  # an entry a word
        table([4, 0, 8], [0, 51, 102, 255]),
        table([4, 0, 16], words(0, 51, 102, 255)),  # 16 bits stated for 8
        table([4, 0, 16], words(0, 819, 1638, 4095)),  # and for 12: 819 / 4095 = 51 / 255
        table([4, 0, 12], words(0, 819, 1638, 4095)),
        table([4, 0, 8], words(0, 819, 1638, 4095)),  # 8 bits stated for 12
        table([4, 0, 16], words(0, 13107, 26214, 65535)),
    ],
)
def test_tables_of_any_width(keyword: str, item: Dataset) -> None:
    tags: dict[str, Any] = {keyword: [item]}
    assert grey(image_file(STEPS, **tags)) == SIXTHS


def test_packed_tables_of_big_endian_files() -> None:
    for item in (table([4, 0, 8], bytes([51, 0, 255, 102])), table([4, 0, 8], words(0, 51, 102, 255, order=">"))):
        data = file_bytes(image_dataset(STEPS.astype(">u2"), VOILUTSequence=[item]), uid.ExplicitVRBigEndian)
        assert grey(data) == SIXTHS


def test_an_entry_less_than_white_stays_less() -> None:
    # Of 12 bits, the uppermost is used, so the greatest entry, 3000, is not white: 3000 · 255 / 4095 = 186.8.
    assert grey(image_file(STEPS, VOILUTSequence=[table([4, 0, 12], words(0, 0, 0, 3000))])) == [[0, 0], [0, 187]]


@pytest.mark.parametrize("kind", ["US", "SS"])
def test_the_sign_of_the_first_mapped_value_is_that_of_the_values(kind: str) -> None:
    # The table begins at −1: −1 → 0, 0 → 51, 1 → 102, 2 → 255.
    first = -1 if kind == "SS" else 65535
    values = np.array([[-1, 0], [1, 2]], np.int16)
    item = table([4, first, 8], words(0, 51, 102, 255), kind)
    assert grey(image_file(values, VOILUTSequence=[item])) == SIXTHS
    # Unsigned values that rescaling makes negative.
    tags: dict[str, Any] = {"RescaleSlope": 1, "RescaleIntercept": -1, "VOILUTSequence": [item]}
    assert grey(image_file(STEPS, **tags)) == SIXTHS
    # Unsigned values from 40,000 on, which a signed first value of 16 bits cannot name.
    first = 40_000 - 65_536 if kind == "SS" else 40_000
    item = table([4, first, 8], words(0, 51, 102, 255), kind)
    assert grey(image_file(STEPS + np.uint16(40_000), VOILUTSequence=[item])) == SIXTHS


def test_a_table_of_65536_entries() -> None:
    item = table([0, 0, 16], words(*range(65536)))
    assert grey(image_file(np.array([[0, 65535]], np.uint16), VOILUTSequence=[item])) == [[0, 255]]


@pytest.mark.parametrize(("depth", "factor"), [(16, 1), (16, 257), (8, 1)])
def test_palettes_of_any_width(depth: int, factor: int) -> None:
    tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, entries in (("Red", [10, 20]), ("Green", [30, 40]), ("Blue", [50, 60])):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [2, 0, depth]
        tags[f"{colour}PaletteColorLookupTableData"] = (np.array(entries, f"u{depth // 8}") * factor).tobytes()
    shown = np.asarray(decode_image(image_file(np.array([[1, 0]], np.uint8), **tags), "a"))
    assert shown.tolist() == [[[20, 40, 60], [10, 30, 50]]]


@pytest.mark.parametrize("intercept", [0, -1024])
def test_a_rescale_slope_of_0_rescales_nothing(intercept: int) -> None:
    ramp = np.array([[0, 100], [200, 300]], np.uint16)
    tags: dict[str, Any] = {"RescaleSlope": 0, "RescaleIntercept": intercept}
    assert grey(image_file(ramp, **tags)) == [[0, 85], [170, 255]]
    assert grey(image_file(ramp, **tags, WindowCenter=150.5, WindowWidth=301)) == [[0, 85], [170, 255]]


def placed(values: NDArray[Any], stored: int, high: int, rubbish: int = 0) -> bytes:
    """Values of so many bits whose highest is the given one, with rubbish in the bits below."""
    shift = high + 1 - stored
    below = np.array(rubbish & (1 << shift) - 1, values.dtype)
    return image_file(values << shift | below, BitsStored=stored, HighBit=high, WindowCenter=150.5, WindowWidth=301)


@pytest.mark.parametrize(("kind", "stored", "high"), [("u2", 12, 15), ("u2", 12, 13), ("u4", 12, 31), ("u2", 9, 15)])
def test_bits_that_lie_high(kind: str, stored: int, high: int) -> None:
    ramp = np.array([[0, 100], [200, 300]], kind)
    assert grey(placed(ramp, stored, high)) == grey(placed(ramp, stored, high, 0xABCD)) == [[0, 85], [170, 255]]
    # PS3.5, 8.1.1 in big endian is the same.
    assert grey(placed(ramp, stored, stored - 1)) == [[0, 85], [170, 255]]


def test_signed_bits_that_lie_high() -> None:
    values = np.array([[-150, -50], [50, 150]], np.int16)
    tags: dict[str, Any] = {"BitsStored": 12, "WindowCenter": 0.5, "WindowWidth": 301}
    assert grey(image_file(values << 4, HighBit=15, **tags)) == [[0, 85], [170, 255]]
    # Bits above the highest are no part of the value: an overlay, here all ones.
    assert grey(image_file(values & 0xFFF << 2 | -0x4000 | 3, HighBit=13, **tags)) != [[0, 85], [170, 255]]
    assert grey(image_file((values & 0xFFF) << 2 | -0x4000 | 3, HighBit=13, **tags)) == [[0, 85], [170, 255]]


def test_a_high_bit_that_makes_no_sense_is_ignored() -> None:
    for high in (7, 40, None):
        data = image_file(
            np.array([[0, 100], [200, 300]], np.uint16),
            BitsStored=12,
            HighBit=high,
            WindowCenter=150.5,
            WindowWidth=301,
        )
        assert grey(data) == [[0, 85], [170, 255]]


@pytest.mark.parametrize(
    ("photometric", "shape", "told", "expected"),
    [
        ("MONOCHROME1", "IDENTITY", "so its least value is white", [[255, 0]]),
        ("MONOCHROME2", "INVERSE", "so its least value is black", [[0, 255]]),
        ("MONOCHROME1", "INVERSE", None, [[255, 0]]),
        ("MONOCHROME2", "IDENTITY", None, [[0, 255]]),
        ("MONOCHROME2", None, None, [[0, 255]]),
    ],
)
def test_a_contradiction_about_white_is_told(
    photometric: str, shape: str | None, told: str | None, expected: list[list[int]]
) -> None:
    tags: dict[str, Any] = {"PhotometricInterpretation": photometric, "PatientID": "SECRET"}
    if shape is not None:
        tags["PresentationLUTShape"] = shape
    data = image_file(np.array([[0, 9]], np.uint16), **tags)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TitrateWarning)
        assert grey(data) == expected
    messages = [str(warning.message) for warning in caught if issubclass(warning.category, TitrateWarning)]
    assert len(messages) == (told is not None)
    if told is not None:
        assert told in messages[0] and f"{photometric} was followed" in messages[0]
        assert "SECRET" not in messages[0] and "\n" not in messages[0]
