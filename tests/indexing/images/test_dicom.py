import logging
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset

from indexing.images.decode import decode_image
from indexing.images.dicom import is_dicom
from indexing.images.view import ImageView
from tests.indexing.dicom_files import file_bytes, image_dataset, image_file
from titrate import InputError

SHIPPED = Path(pydicom.__file__).parent / "data"
EXAMPLES = SHIPPED / "test_files"
RAMP = np.array([[0, 100], [200, 300]], np.int16)


def grey(data: bytes, view: ImageView = ImageView()) -> list[list[int]]:  # noqa: B008  (frozen)
    image = decode_image(data, "a.dcm", view)
    assert image.mode == "RGB"
    pixels = np.asarray(image)
    assert (pixels == pixels[..., :1]).all()
    rows: list[list[int]] = pixels[..., 0].tolist()
    return rows


def test_monochrome1_with_rescale_and_window_by_hand() -> None:
    # Rescaled: 2·v − 100 = −100, 100, 300, 500. Window 200/301 (PS3.3, C.11.2.1.2.1): c − 0.5 = 199.5, w − 1 = 300.
    # −100 ≤ 199.5 − 150 → 0; ((100 − 199.5)/300 + 0.5)·255 = 42.925 → 43; ((300 − 199.5)/300 + 0.5)·255 = 212.925
    # → 213; 500 > 349.5 → 255. MONOCHROME1 shows 255 − y.
    data = image_file(
        RAMP, PhotometricInterpretation="MONOCHROME1", RescaleSlope=2, RescaleIntercept=-100,
        WindowCenter=200, WindowWidth=301,
    )  # fmt: skip
    assert grey(data) == [[255, 212], [42, 0]]
    # Another window, 100/401: (v − 99.5)/400 + 0.5 of −100, 100, 300, 500 = 0.00125, 0.50125, 1.00125, beyond.
    assert grey(data, ImageView(window=(100, 401))) == [[255, 127], [0, 0]]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, [[0, 85], [170, 255]]),  # min–max: v · 255 / 300
        ({"WindowCenter": [100, 7], "WindowWidth": [201, 7]}, [[1, 128], [255, 255]]),  # (v − 99.5)/200 + 0.5
        ({"WindowCenter": 100, "WindowWidth": 200, "VOILUTFunction": "LINEAR_EXACT"}, [[0, 128], [255, 255]]),
        # 255 / (1 + exp(−4 (v − 100) / 200)): 255/(1 + e²) = 30.4, 127.5, 224.6, 255/(1 + e⁻⁴) = 250.4
        ({"WindowCenter": 100, "WindowWidth": 200, "VOILUTFunction": "SIGMOID"}, [[30, 128], [225, 250]]),
        ({"WindowCenter": 100, "WindowWidth": 1}, [[0, 255], [255, 255]]),  # a threshold at 99.5
        ({"WindowCenter": 100, "WindowWidth": 0}, [[0, 85], [170, 255]]),  # not a window
        ({"PixelPaddingValue": 200, "PixelPaddingRangeLimit": 300}, [[0, 255], [255, 255]]),  # v · 255 / 100
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 150}, [[0, 0], [0, 255]]),  # (v − 200) · 255 / 100
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 300}, [[0, 85], [170, 255]]),  # nothing else is left
    ],
)
def test_what_is_shown_of_the_grey_values(tags: dict[str, Any], expected: list[list[int]]) -> None:
    assert grey(image_file(RAMP, **tags)) == expected


def table(first: int, bits: int, values: list[int]) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item.LUTData = np.array(values, np.uint16).tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "SS", "OW"
    return item


def test_look_up_tables() -> None:
    # A modality table turns 0, 1, 2, 3 into 10, 20, 40, 50: stretched by 255/40.
    modality = table(0, 16, [10, 20, 40, 50])
    assert grey(image_file(np.array([[0, 1], [2, 3]], np.uint16), ModalityLUTSequence=[modality])) == [
        [0, 64],
        [191, 255],
    ]
    # A VOI table of 12 bits from 1 on: below it the first entry, above it the last; 255/4095 an entry.
    voi = table(1, 12, [0, 4095, 2048])
    tags: dict[str, Any] = {"VOILUTSequence": [voi], "WindowCenter": 1, "WindowWidth": 2}
    assert grey(image_file(np.array([[0, 1], [2, 9]], np.uint16), **tags)) == [[0, 0], [255, 128]]


def test_enhanced_files_keep_rescale_and_window_by_frame() -> None:
    def group(**tags: float) -> Dataset:
        values, window, item = Dataset(), Dataset(), Dataset()
        for keyword, value in tags.items():
            setattr(window if keyword.startswith("Window") else values, keyword, value)
        item.PixelValueTransformationSequence, item.FrameVOILUTSequence = [values], [window]
        return item

    frames = [group(WindowCenter=50, WindowWidth=101), group(WindowCenter=50, WindowWidth=1)]
    data = image_file(
        np.array([[[0, 100]], [[0, 100]]], np.int16),
        SharedFunctionalGroupsSequence=[group(RescaleSlope=0.5, RescaleIntercept=0)],
        PerFrameFunctionalGroupsSequence=frames,
    )
    # Values 0 and 50: (0 − 49.5)/100 + 0.5 = 0.005 → 1, (50 − 49.5)/100 + 0.5 = 0.505 → 129; then a threshold.
    assert grey(data, ImageView(frame=0)) == [[1, 129]]
    assert grey(data, ImageView(frame=1)) == [[0, 255]]


def test_frames() -> None:
    stack = np.stack([np.array([[0, 9], [9, number]], np.uint8) for number in (1, 2, 3, 4, 5)])
    data = image_file(stack, WindowCenter=128, WindowWidth=256)
    assert grey(data)[1][1] == 3, "the middle one"
    assert [grey(data, ImageView(frame=frame))[1][1] for frame in range(5)] == [1, 2, 3, 4, 5]
    with pytest.raises(InputError, match="has 5 frames; frame 5"):
        grey(data, ImageView(frame=5))
    with pytest.raises(InputError, match="has 1 frame; frame 1"):
        grey(image_file(RAMP), ImageView(frame=1))


def test_colours() -> None:
    pixels = np.array([[[255, 0, 0], [0, 128, 255]]], np.uint8)
    assert np.asarray(decode_image(image_file(pixels), "a")).tolist() == pixels.tolist()
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    by_plane = image_file(pixels, PlanarConfiguration=1, PixelData=planes.tobytes())
    assert np.asarray(decode_image(by_plane, "a")).tolist() == pixels.tolist()
    # BT.601 full range (PS3.3, C.7.6.3.1.2): Y = 100 without chroma is grey 100; with Cr = 255, R = 100 + 1.402 · 127.
    ybr = np.array([[[100, 128, 128], [100, 128, 255]]], np.uint8)
    shown = np.asarray(decode_image(image_file(ybr, PhotometricInterpretation="YBR_FULL"), "a"))
    assert shown[0, 0].tolist() == [100, 100, 100] and shown[0, 1, 0] == 255
    assert abs(int(shown[0, 1, 1]) - (100 - 0.714136 * 127)) <= 1


@pytest.mark.parametrize(("bits", "scale"), [(8, 1), (16, 256)])
def test_palette(bits: int, scale: int) -> None:
    tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, entries in (("Red", [10, 20]), ("Green", [30, 40]), ("Blue", [50, 60])):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [2, 0, bits]
        values = np.array(entries, f"u{bits // 8}") * scale
        tags[f"{colour}PaletteColorLookupTableData"] = values.tobytes()
    image = decode_image(image_file(np.array([[1, 0]], np.uint8), **tags), "a")
    assert np.asarray(image).tolist() == [[[20, 40, 60], [10, 30, 50]]]


def test_segmented_palettes_cannot_grow_without_bound() -> None:
    def palette(segments: list[int]) -> bytes:
        tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
        for colour in ("Red", "Green", "Blue"):
            tags[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
            tags[f"Segmented{colour}PaletteColorLookupTableData"] = np.array(segments, np.uint16).tobytes()
        return image_file(np.array([[0, 3]], np.uint8), **tags)

    # One entry 0, then three in a line up to 0xFF00.
    assert np.asarray(decode_image(palette([0, 1, 0, 1, 3, 0xFF00]), "a")).tolist() == [[[0] * 3, [255] * 3]]
    for hostile in ([0, 1, 0, *[1, 0xFFFF, 7] * 3], [0, 1, 0, *[2, 2, 0, 0] * 20]):
        with pytest.raises(InputError, match="damaged"):
            decode_image(palette(hostile), "a")


SYNTAXES = {
    "MR_small.dcm": "Explicit VR Little Endian",
    "MR_small_implicit.dcm": "Implicit VR Little Endian",
    "MR_small_bigendian.dcm": "Explicit VR Big Endian",
    "MR_small_RLE.dcm": "RLE Lossless",
    "MR_small_jp2klossless.dcm": "JPEG 2000 Lossless",
    "MR_small_jpeg_ls_lossless.dcm": "JPEG-LS Lossless",
}


def test_lossless_compressions_give_the_same_pixels() -> None:
    expected = grey((EXAMPLES / "MR_small.dcm").read_bytes())
    assert len({value for row in expected for value in row}) > 100
    for name in SYNTAXES:
        assert grey((EXAMPLES / name).read_bytes()) == expected, name


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_files_without_preamble(syntax: str) -> None:
    pixels = RAMP if syntax != uid.ExplicitVRBigEndian else RAMP.astype(">i2")
    data = file_bytes(image_dataset(pixels), syntax, preamble=False)
    assert is_dicom(data)
    assert grey(data) == [[0, 85], [170, 255]]


def test_other_files_are_not_dicom() -> None:
    for data in (b"", b"\x89PNG\r\n\x1a\n" + bytes(200), b"%PDF-1.7", b"\x08", bytes(200), b'{"id": 1}'):
        assert not is_dicom(data)


def shipped() -> list[Path]:
    return [path for path in sorted(SHIPPED.rglob("*")) if path.is_file() and is_dicom(path.read_bytes())]


def test_every_file_that_pydicom_ships_decodes_or_says_why_not(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    reasons: Counter[str] = Counter()
    for path in shipped():
        try:
            image: Image.Image | None = decode_image(path.read_bytes(), "a.dcm")
        except InputError as error:
            image = None
            reasons[str(error)] += 1
            assert "damaged" not in str(error), f"{path.name} deserves a better reason"
        assert image is None or (image.mode == "RGB" and min(image.size) > 0)
    no_pictures = sum(count for reason, count in reasons.items() if "is no picture but" in reason)
    assert no_pictures == 9, "segmentations and dose grids"
    assert len(shipped()) - sum(reasons.values()) >= 92
    assert all(reason.startswith(("image a.dcm ", "the compressed pixels of image a.dcm ")) for reason in reasons)
    assert caplog.records == [] and capfd.readouterr() == ("", "")


def test_pydicom_stays_silent_where_warnings_are_errors() -> None:
    assert sys.warnoptions is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grey(image_file(RAMP, NumberOfFrames=0, WindowCenter=[1, 2], WindowWidth=[3, 4]))
        decode_image((EXAMPLES / "SC_rgb_jpeg.dcm").read_bytes(), "a")


def as_pydicom_shows(dataset: Dataset) -> NDArray[np.float64]:
    """The same steps by pydicom's own functions, whose windows span the stored bits."""
    from pydicom.pixels.processing import apply_modality_lut, apply_windowing

    values = apply_windowing(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float64)
    low, high = 0.0, 2.0**dataset.BitsStored - 1
    if dataset.PixelRepresentation:
        low, high = -(2.0 ** (dataset.BitsStored - 1)), 2.0 ** (dataset.BitsStored - 1) - 1
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    low, high = low * slope + intercept, high * slope + intercept
    shown: NDArray[np.float64] = (values - low) / (high - low) * 255
    return 255 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown


@pytest.mark.parametrize(
    "name", ["MR_small.dcm", "693_J2KI.dcm", "examples_overlay.dcm", "dicomdirtests/77654033/CR1/6154"]
)
def test_real_windows_agree_with_pydicom(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = as_pydicom_shows(pydicom.dcmread(EXAMPLES / name))
    np.testing.assert_allclose(np.array(grey((EXAMPLES / name).read_bytes())), expected, atol=0.5001)
