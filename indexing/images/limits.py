"""How large an image may be. Its header is checked against these limits before anything is decoded."""

from titrate import InputError

MAX_PIXELS = 64_000_000
"""Width × height; a large mammogram has 20 million."""

MAX_ASPECT = 50
"""Long side over short side. Preprocessing enlarges the short side to a fixed length, and the long side with it: a very
thin image would need memory without bound."""

MAX_BYTES = 256 * 1024 * 1024

MAX_PAGES = 10_000
"""Pages of a TIFF. The time that Pillow takes to reach a page grows with the square of its number."""


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
