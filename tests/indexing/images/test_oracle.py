"""Every image that pydicom ships, decoded by GDCM as well, and shown by steps written here: within 3 grey levels."""

import warnings
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from indexing.images.decode import decode_image
from titrate import InputError

SHIPPED = Path(pydicom.__file__).parent / "data"
WRONG_ORDER = "GDCM mixes up the bytes of run-length coded colour of more than 8 bits"
DIFFERENT = {
    "SC_rgb_rle_16bit.dcm": WRONG_ORDER,
    "SC_rgb_rle_16bit_2frame.dcm": WRONG_ORDER,
    "SC_rgb_rle_32bit.dcm": WRONG_ORDER,
    "SC_rgb_rle_32bit_2frame.dcm": WRONG_ORDER,
    "J2K_pixelrep_mismatch.dcm": "GDCM takes values without sign for signed ones; the padding of -2000 becomes 6192",
}
"""Files that differ, and why that is right."""


def candidates() -> list[Path]:
    return [
        path for path in sorted(SHIPPED.rglob("*")) if path.is_file() and path.suffix not in (".py", ".json", ".icc")
    ]


def shown_here(path: Path) -> NDArray[np.uint8] | None:
    try:
        return np.asarray(decode_image(path.read_bytes(), path.name))
    except InputError:
        return None


def stored_by_gdcm(path: Path) -> tuple[NDArray[Any], str] | None:
    """Values of the middle frame, [rows, columns] or [rows, columns, 3], and their photometric interpretation."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        return None
    image = reader.GetImage()
    kind = image.GetPixelFormat()
    letter = {gdcm.PixelFormat.UINT8: "u1", gdcm.PixelFormat.INT8: "i1", gdcm.PixelFormat.UINT16: "u2",
              gdcm.PixelFormat.INT16: "i2", gdcm.PixelFormat.UINT32: "u4", gdcm.PixelFormat.INT32: "i4"}.get(
        kind.GetScalarType()
    )  # fmt: skip
    if letter is None:
        return None
    values = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), letter)
    columns, rows = image.GetDimension(0), image.GetDimension(1)
    frames = image.GetDimension(2) if image.GetNumberOfDimensions() > 2 else 1
    samples = kind.GetSamplesPerPixel()
    if image.GetPlanarConfiguration():
        values = values.reshape(frames, samples, rows, columns).transpose(0, 2, 3, 1)
    else:
        values = values.reshape(frames, rows, columns, samples)
    name = str(image.GetPhotometricInterpretation()).strip()
    return values[frames // 2].squeeze(axis=2) if samples == 1 else values[frames // 2], name


def shown_by_gdcm(path: Path) -> NDArray[np.float64] | None:
    """As a viewer shows it, [rows, columns, 3]; None if GDCM does not read it."""
    decoded = stored_by_gdcm(path)
    if decoded is None:
        return None
    stored, photometric = decoded
    header = pydicom.dcmread(path, force=True)
    if photometric == "PALETTE COLOR":
        tables = [
            np.frombuffer(header[f"{colour}PaletteColorLookupTableData"].value, "<u2")
            for colour in ("Red", "Green", "Blue")
        ]
        return np.stack([table[stored] / 257 for table in tables], axis=2)
    values = stored.astype(np.float64)
    if values.ndim == 3:
        if photometric.startswith("YBR_FULL"):  # BT.601
            luma, blue, red = values[..., 0], values[..., 1] - 128, values[..., 2] - 128
            colours = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
            values = np.stack(colours, axis=2)
        shown: NDArray[np.float64] = (values * (255 / (2.0**header.BitsStored - 1))).clip(0, 255)
        return shown
    values = values * float(header.get("RescaleSlope", 1)) + float(header.get("RescaleIntercept", 0))
    if "WindowCenter" in header and "VOILUTSequence" not in header:
        centre, width = (
            float(np.atleast_1d(np.asarray(header[keyword].value, float))[0])
            for keyword in ("WindowCenter", "WindowWidth")
        )
        grey = ((values - centre + 0.5) / (width - 1) + 0.5).clip(0, 1) * 255
    else:
        kept = values
        if "PixelPaddingValue" in header:
            kept = values[stored != header.PixelPaddingValue]
        ordered = np.sort(kept, axis=None)
        last = len(ordered) - 1
        low, high = ordered[int(np.floor(0.005 * last))], ordered[int(np.ceil(0.995 * last))]
        grey = ((values - low) / max(high - low, 1e-9)).clip(0, 1) * 255
    grey = 255 - grey if photometric == "MONOCHROME1" else grey
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def test_what_is_shown_agrees_with_gdcm() -> None:
    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    compared, differ = 0, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in candidates():
            if (ours := shown_here(path)) is None or (theirs := shown_by_gdcm(path)) is None:
                continue
            compared += 1
            if ours.shape != theirs.shape:
                differ[path.name] = f"{ours.shape} {theirs.shape}"
            elif (distance := float(np.abs(ours - theirs).max())) > 3:
                differ[path.name] = f"{distance:.0f}"
    assert set(differ) == set(DIFFERENT), differ
    assert compared >= 92, compared


@pytest.mark.parametrize("name", [name for name, reason in DIFFERENT.items() if reason == WRONG_ORDER])
def test_colour_that_gdcm_mixes_up_is_that_of_its_twin_of_8_bits(name: str) -> None:
    twin = "SC_rgb_rle_2frame.dcm" if "2frame" in name else "SC_rgb_rle.dcm"
    ours, expected = (shown_here(SHIPPED / "test_files" / file) for file in (name, twin))
    assert ours is not None and expected is not None
    assert np.abs(ours.astype(int) - expected).max() <= 1


def test_values_whose_sign_gdcm_mistakes_are_those_of_pydicom() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = pydicom.dcmread(SHIPPED / "test_files" / "J2K_pixelrep_mismatch.dcm").pixel_array
    shown = shown_here(SHIPPED / "test_files" / "J2K_pixelrep_mismatch.dcm")
    assert shown is not None and values.min() == -2000
    assert shown[values == -2000].max() == 0
