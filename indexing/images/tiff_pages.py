"""Which page of a TIFF is shown: told from its tags alone, before anything is decoded."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from indexing.images.limits import MAX_ASPECT, MAX_PIXELS

_SUBFILE_TYPE, _WIDTH, _HEIGHT, _DESCRIPTION, _TILE_WIDTH, _HAMAMATSU_LENS = 254, 256, 257, 270, 322, 65421
_NUMBERS = {1: "B", 3: "H", 4: "I", 11: "f", 16: "Q"}
"""Types of a tag that is one number, and how `struct` calls them."""
_ASCII = 2
_MOST_TEXT, _MOST_TAGS = 4096, 256
"""Read of a directory. Directories may overlap, and reading all of each would take time without bound."""

_MASK, _APERIO_MACRO = 4, 8
"""Bits of the subfile type: the third marks a transparency mask, and Aperio marks its macro image with the fourth."""
# How Aperio, Philips, Ventana and those who convert their files describe what is no tissue: a line begins with it.
_APART = re.compile(
    r"^\s*(slide[ _])?(label|macro|overview|barcode|probability)(?![a-z=])", re.IGNORECASE | re.MULTILINE
)

ENOUGH = 1024
"""Short side, in pixels, of a pyramid level that shows all that an encoder can see; larger ones take longer only."""
_SAME_SHAPE = 0.05
"""Levels of a pyramid are rounded to whole pixels, so their shapes differ by a little."""


@dataclass(frozen=True)
class TiffPage:
    """What a directory of a TIFF says of its image.

    Attributes
    ----------
    width, height
        In pixels.
    tiled
        Whether it is stored in tiles, as slides are, and not in strips.
    apart
        Whether it is the label or the macro image of a slide, or a mask.
    description
        Of the image, at most 4,096 characters.
    """

    width: int
    height: int
    tiled: bool
    apart: bool
    description: str

    @property
    def shown(self) -> bool:
        """Whether it is within the limits of an image."""
        short, long = sorted((self.width, self.height))
        return short > 0 and long <= MAX_ASPECT * short and short * long <= MAX_PIXELS


def read_pages(data: bytes, limit: int) -> list[TiffPage]:
    """The pages of a TIFF; stops at ``limit + 1``, because a chain of directories can be made as long as the file.

    Raises
    ------
    struct.error
        If the chain leads outside the file.
    """
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    count, offset_format = (f"{order}Q", f"{order}Q") if big else (f"{order}H", f"{order}I")
    count_size, entry_size = struct.calcsize(count), 20 if big else 12
    [offset] = struct.unpack_from(offset_format, data, 8 if big else 4)
    seen: set[int] = set()
    pages: list[TiffPage] = []
    while offset and offset not in seen and len(pages) <= limit:
        seen.add(offset)
        [entries] = struct.unpack_from(count, data, offset)
        end = offset + count_size + entries * entry_size
        [following] = struct.unpack_from(offset_format, data, end)
        pages.append(_page(data, range(offset + count_size, end, entry_size), order, big))
        offset = following
    return pages


def _page(data: bytes, entries: range, order: str, big: bool) -> TiffPage:
    numbers: dict[int, float] = {}
    description = ""
    for entry in entries[:_MOST_TAGS]:
        tag, kind, count = struct.unpack_from(f"{order}HHQ" if big else f"{order}HHI", data, entry)
        value = entry + (12 if big else 8)
        if tag in (_SUBFILE_TYPE, _WIDTH, _HEIGHT, _TILE_WIDTH, _HAMAMATSU_LENS) and kind in _NUMBERS and count == 1:
            [numbers[tag]] = struct.unpack_from(order + _NUMBERS[kind], data, value)
        elif tag == _DESCRIPTION and kind == _ASCII:
            if count > (8 if big else 4):
                [value] = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, value)
            description = data[value : value + min(count, _MOST_TEXT)].split(b"\0")[0].decode("latin-1")
    apart = (
        bool(int(numbers.get(_SUBFILE_TYPE, 0)) & (_MASK | _APERIO_MACRO))
        or numbers.get(_HAMAMATSU_LENS, 1) < 0  # −1 for the macro image, −2 for a map of the tissue
        or _APART.search(description) is not None
    )
    width, height = int(numbers.get(_WIDTH, 0)), int(numbers.get(_HEIGHT, 0))
    return TiffPage(width, height, _TILE_WIDTH in numbers, apart, description)


def default_page(pages: Sequence[TiffPage]) -> int | None:
    """Index of the page to show where none is asked for.

    Of pages of one size, such as the slices of a stack, the middle one. Otherwise the file is a slide or has
    thumbnails: of the pages that have the shape of the largest picture, and are stored in tiles where any is, the
    smallest that has at least 1024 pixels on its short side, else the largest. The label and the macro image of a slide
    are never shown; they differ in shape where nothing else tells them.

    Returns
    -------
    int or None
        None if all pages are labels and macro images.
    """
    if len({(page.width, page.height) for page in pages}) <= 1:
        return len(pages) // 2
    pictures = [number for number, page in enumerate(pages) if not page.apart]
    if not pictures:
        return None

    def area(number: int) -> int:
        return pages[number].width * pages[number].height

    largest = max(pictures, key=area)
    shape = pages[largest].width / max(1, pages[largest].height)
    levels = [
        number
        for number in pictures
        if pages[number].shown and abs(pages[number].width / pages[number].height / shape - 1) <= _SAME_SHAPE
    ]
    if not levels:
        return largest
    levels = [number for number in levels if pages[number].tiled] or levels
    enough = [number for number in levels if min(pages[number].width, pages[number].height) >= ENOUGH]
    return min(enough, key=area) if enough else max(levels, key=area)


def imagej_images(description: str) -> int:
    """How many images ImageJ says lie one after the other behind the first directory; 1 if it says nothing."""
    found = (
        re.search(r"^images=(\d{1,9})\s*$", description, re.MULTILINE) if description.startswith("ImageJ=") else None
    )
    return int(found[1]) if found else 1
