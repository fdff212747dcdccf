"""DICOM's look-up tables for grey values, as the standard describes them and as they are found (PS3.3, C.11.1, C.11.2).

Found are: entries of 8 bits, two to a word or one to a word; a first mapped value whose sign is lost; and entries of
fewer or more bits than stated.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

_WORD = 2**16


@dataclass(frozen=True, eq=False)
class LookupTable:
    """A table from grey values to grey values.

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
