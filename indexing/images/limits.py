"""How large an image may be; held against its header, before anything is decoded."""

from titrate import InputError

MAX_PIXELS = 64_000_000
"""Width × height; a large mammogram has 20 million. Checked on the header, before anything is decoded."""

MAX_ASPECT = 50
"""Long side over short side: preprocessing enlarges the short side, and a hair-thin image would grow without bound."""

MAX_BYTES = 256 * 1024 * 1024

MAX_PAGES = 10_000
"""Pages of a TIFF: Pillow's time to reach a page grows with its square."""


def check_size(width: int, height: int, name: str) -> None:
    """Refuse what is too large or too thin to be decoded.

    Raises
    ------
    InputError
        If the size exceeds `MAX_PIXELS` or `MAX_ASPECT`, or is none at all.
    """
    if width * height > MAX_PIXELS:
        raise InputError(f"image {name} has {width}x{height} pixels; the limit is {MAX_PIXELS:,}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InputError(f"image {name} is a strip of {width}x{height} pixels; crop it first")
