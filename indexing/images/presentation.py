"""From a DICOM file's stored values to what a viewer would show: grey transformations, palettes and colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from indexing.images.greyscale import apply_window, stretch

_GREY_TAGS = (
    "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction",
)  # fmt: skip
_PALETTE = tuple(
    f"{kind}PaletteColorLookupTable{part}"
    for kind, part in [
        *((colour, part) for colour in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")),
        *((f"Segmented{colour}", "Data") for colour in ("Red", "Green", "Blue")),
    ]
)
PRESENTATION_TAGS = (
    *_GREY_TAGS, "PresentationLUTShape", "ModalityLUTSequence", "VOILUTSequence", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    *_PALETTE,
)  # fmt: skip


_WORD = 2**16


@dataclass(frozen=True, eq=False)
class LookupTable:
    """A table from grey values to grey values, as the standard describes it and as it is found (PS3.3, C.11.1, C.11.2).

    Found are: entries of 8 bits, two to a word or one to a word; a first mapped value whose sign is lost; and entries
    of fewer or more bits than stated.

    Attributes
    ----------
    first
        The value that the first entry stands for; lesser values get the first entry, too great ones the last.
    entries
        uint16 [entries].
    bits
        Of an entry, as the file states.
    """

    first: int
    entries: NDArray[np.uint16]
    bits: int

    @classmethod
    def read(cls, item: Dataset, signed: bool) -> "LookupTable":
        """From an item of a modality or VOI LUT sequence.

        Parameters
        ----------
        item
            With LUT Descriptor and LUT Data.
        signed
            Whether the values to look up can be negative. This decides the sign of the first mapped value (PS3.3,
            C.11.1.1); its value representation may say otherwise, but is often wrong.

        Raises
        ------
        ValueError
            If there are fewer entries than stated.
        """
        count, first, bits = (int(part) for part in item.LUTDescriptor)
        count, first = count % _WORD or _WORD, first % _WORD
        if signed and first >= _WORD // 2:
            first -= _WORD
        words = _words(item)
        if len(words) < count:  # 8 bits an entry, the first of two in the low byte (PS3.5, 8.1.1 and annex D)
            words = words.astype("<u2").view(np.uint8).astype(np.uint16)
        if len(words) < count:
            raise ValueError("the look-up table has fewer entries than it states")
        return cls(first, words[:count], bits)

    @property
    def white(self) -> int:
        """The entry that is shown white: the greatest that the stated bits allow.

        Where no entry uses the uppermost bit, or some are greater than the bits allow, the stated bits are wrong, and
        the greatest entry is white; Agfa's tables state 16 bits for entries of 12.
        """
        greatest, stated = int(self.entries.max()), 2**self.bits - 1
        return stated if stated // 2 < greatest <= stated else max(greatest, 1)

    def look_up(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """The entries for values of any shape; uint16 of the same shape."""
        # Clipped while still of the type that came, because a value may be too great for an integer.
        indices = (
            values.round() - self.first if values.dtype.kind == "f" else values.astype(np.int64) - self.first
        ).clip(0, len(self.entries) - 1)
        found: NDArray[np.uint16] = self.entries[indices.astype(np.int64)]
        return found


def _words(item: Dataset) -> NDArray[np.uint16]:
    """LUT Data as words: stored as OW it comes as bytes, as US or SS it comes as integers; uint16 [words]."""
    data = item.LUTData
    if isinstance(data, bytes):
        little = item.original_encoding[1] is not False
        return np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little else ">u2").astype(np.uint16)
    return (np.atleast_1d(np.asarray(data, np.int64)) % _WORD).astype(np.uint16)


def to_rgb(
    stored: NDArray[Any], dataset: Dataset, photometric: str, frame: int, window: tuple[float, float] | None
) -> NDArray[np.uint8]:
    """One frame as uint8 [rows, columns, 3].

    Parameters
    ----------
    stored
        Decoded values, [rows, columns] or [rows, columns, 3].
    dataset
        The header's tags named in `PRESENTATION_TAGS`, and those of the pixels.
    photometric
        Photometric interpretation of ``stored``, which decoding may have changed from the header's.
    frame
        Which frame this is: enhanced multi-frame files keep the grey transformation for each.
    window
        Centre and width to use instead of the file's.

    Raises
    ------
    ValueError
        If the photometric interpretation is another, or a look-up table is malformed.
    """
    if photometric in ("MONOCHROME1", "MONOCHROME2") and stored.ndim == 2:
        grey = _grey(stored, dataset, _transformation(dataset, frame), window)
        shown = 255 - grey if photometric == "MONOCHROME1" else grey  # [rows, columns]
        return np.repeat(shown[..., np.newaxis], 3, axis=2)
    if photometric == "PALETTE COLOR" and stored.ndim == 2:
        _check_segments(dataset)
        colours = apply_color_lut(stored, dataset)[..., :3]  # [rows, columns, 3], without a fourth for transparency
        # Some writers state 16 bits for a palette of 8.
        deep = dataset.RedPaletteColorLookupTableDescriptor[2] == 16 and _greatest_colour(dataset, colours) > 255
        return (colours >> 8 if deep else colours).astype(np.uint8)
    if photometric == "RGB" and stored.ndim == 3 and stored.shape[2] == 3:
        if dataset.BitsStored == 8:
            return stored.astype(np.uint8, copy=False)
        levels: NDArray[np.float64] = (stored * (255 / (2.0**dataset.BitsStored - 1))).round()
        return levels.clip(0, 255).astype(np.uint8)
    raise ValueError(f"photometric interpretation {photometric} is not shown")


def _transformation(dataset: Dataset, frame: int) -> Dataset:
    """The rescaling and window of a frame: its own, else those of all frames, else the file's."""
    found = Dataset()
    groups: list[Dataset] = [*(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]]
    groups += (dataset.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1]
    sources = [dataset]
    for group in groups:
        for keyword in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            sources += (group.get(keyword) or [])[:1]
    for source in sources:
        for keyword in _GREY_TAGS:
            if keyword in source and source[keyword].value not in (None, "", []):
                found[keyword] = source[keyword]
    return found


def _grey(
    stored: NDArray[Any], dataset: Dataset, transformation: Dataset, window: tuple[float, float] | None
) -> NDArray[np.uint8]:
    """Stored grey values as a viewer shows them, before any inversion: both [rows, columns]."""
    values = stored
    signed = bool(dataset.get("PixelRepresentation"))  # whether the values that a table is asked for can be negative
    if dataset.get("ModalityLUTSequence"):
        values = LookupTable.read(dataset.ModalityLUTSequence[0], signed).look_up(stored)
        signed = False
    elif "RescaleSlope" in transformation and "RescaleIntercept" in transformation:
        slope, intercept = _first(transformation, "RescaleSlope"), _first(transformation, "RescaleIntercept")
        if slope != 0:  # some writers state a slope of 0 for "none"
            values = stored * slope + intercept
            signed = signed or slope < 0 or intercept < 0
    if window is not None:
        return apply_window(values, *window)
    if dataset.get("VOILUTSequence"):
        table = LookupTable.read(dataset.VOILUTSequence[0], signed)
        shown: NDArray[Any] = table.look_up(values) * (255 / table.white)
        return shown.round().clip(0, 255).astype(np.uint8)
    if "WindowCenter" in transformation and "WindowWidth" in transformation:
        centre, width = _first(transformation, "WindowCenter"), _first(transformation, "WindowWidth")
        function = str(transformation.get("VOILUTFunction", "LINEAR")).upper()
        if width >= 1 or (width > 0 and function != "LINEAR"):  # some writers state a width of 0 for "none"
            return apply_window(values, centre, width, function)
    return stretch(values, _not_padding(stored, dataset))


def _greatest_colour(dataset: Dataset, colours: NDArray[Any]) -> int:
    """The greatest value of a palette of 16 bits; of a segmented one, the greatest that the image uses."""
    tables: list[bytes | None] = [
        dataset.get(f"{colour}PaletteColorLookupTableData") for colour in ("Red", "Green", "Blue")
    ]
    if any(table is None for table in tables):
        return int(colours.max())
    order = "<" if dataset.original_encoding[1] is not False else ">"
    return max(int(np.frombuffer(table, f"{order}u2").max(initial=0)) for table in tables if table is not None)


def _first(dataset: Dataset, keyword: str) -> float:
    value = dataset[keyword].value
    return float(value[0] if isinstance(value, Sequence) and not isinstance(value, str) else value)


def _not_padding(stored: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_] | None:
    """Pixels that are not padding (PS3.3, C.7.5.1.1.2), bool [rows, columns].

    None if the file names no padding value, or all pixels are padding.
    """
    padding = dataset.get("PixelPaddingValue")
    if padding is None:
        return None
    limit = dataset.get("PixelPaddingRangeLimit", padding)
    low, high = sorted((int(padding), int(limit)))
    kept: NDArray[np.bool_] = (stored < low) | (stored > high)
    return kept if kept.any() else None


def _check_segments(dataset: Dataset) -> None:
    """Refuse segmented palettes that would grow without bound (PS3.3, C.7.9.2)."""
    for colour in ("Red", "Green", "Blue"):
        data: bytes | None = dataset.get(f"Segmented{colour}PaletteColorLookupTableData")
        if data is None:
            continue
        wide = dataset.RedPaletteColorLookupTableDescriptor[2] == 16
        codes = np.frombuffer(data, np.uint16 if wide else np.uint8)
        position, entries = 0, 0
        while position + 1 < len(codes) and entries <= 2**16:
            kind, length = int(codes[position]), int(codes[position + 1])
            if kind not in (0, 1):
                raise ValueError("palette segments that refer to other segments are not expanded")
            entries += length
            position += 2 + (length if kind == 0 else 1)
        if entries > 2**16:
            raise ValueError("the palette has too many entries")
