"""Image files: only listed formats, only inside the corpus root, limits checked before decoding, always 8-bit RGB out.

TIFF, WebP and DICOM are not read here yet.
"""

import os
import stat
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from titrate.errors import InputError

MAX_PIXELS = 64_000_000
"""Width × height; a large mammogram has 20 million. Checked on the header, before anything is decoded."""

MAX_ASPECT = 50
"""Long side over short side: preprocessing enlarges the short side, and a hair-thin image would grow without bound."""

MAX_BYTES = 256 * 1024 * 1024

# The decoders by signature, called directly: Image.open would try whatever plug-ins the process has registered,
# and warns on stderr about large images before our own limit is reached.
_DECODERS: tuple[tuple[bytes, type[ImageFile.ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"\xff\xd8\xff", JpegImageFile),
)


def resolve_image(root: Path, relative: str) -> Path:
    """The image's real path, certain to lie inside the root.

    Parameters
    ----------
    root
        Folder that holds the corpus's images.
    relative
        Path as the corpus states it. Symbolic links are followed first and judged by where they lead.

    Raises
    ------
    InputError
        If it is a URL, leads outside the root, or no such file exists.
    """
    if "://" in relative or relative.startswith("data:"):
        raise InputError(f"image {relative[:80]} is a URL; only files inside the corpus root are read")
    try:
        path = (root / relative).resolve()
        inside = path.is_relative_to(root.resolve())
        found = inside and path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL byte, a loop of links
        raise InputError(f"image path {relative[:80]!r} is not valid") from error
    if not inside:
        raise InputError(f"image {relative} leads outside the corpus root; move it inside or set another root")
    if not found:
        raise InputError(f"image {relative} does not exist; check the path and the corpus root")
    return path


def load_image(path: Path) -> Image.Image:
    """Read one PNG or JPEG file as upright 8-bit RGB; see `decode_image`.

    Raises
    ------
    InputError
        If the file cannot be read or is not an image within the limits.
    """
    return decode_image(read_image_bytes(path), str(path))


def read_image_bytes(path: Path) -> bytes:
    """The file's bytes, provided that it is an ordinary file of at most 256 MiB.

    Raises
    ------
    InputError
        If it is missing, not an ordinary file, or too large.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"image {path} is not an ordinary file")
            if status.st_size > MAX_BYTES:
                raise InputError(f"image {path} has {status.st_size >> 20} MiB; the limit is {MAX_BYTES >> 20}")
            return file.read()
    except OSError as error:
        raise InputError(f"cannot read image {path}: {error.strerror}; check the path") from error
    except ValueError as error:  # a NUL byte
        raise InputError(f"image path {str(path)[:80]!r} is not valid") from error


def decode_image(data: bytes, name: str) -> Image.Image:
    """Decode PNG or JPEG bytes to upright 8-bit RGB.

    EXIF orientation is applied, transparent parts become black, and 16-bit grey is stretched between its least and
    greatest value, because scanners often use only 10 or 12 of the 16 bits.

    Parameters
    ----------
    data
        The file's bytes.
    name
        What error messages call it.

    Raises
    ------
    InputError
        If the format is another, the limits are exceeded, or the data are damaged.
    """
    decoder = next((decoder for signature, decoder in _DECODERS if data.startswith(signature)), None)
    if decoder is None:
        raise InputError(f"image {name} is neither PNG nor JPEG; convert it to PNG first")
    try:
        image: Image.Image = decoder(BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            raise InputError(f"image {name} has {image.width}x{image.height} pixels; the limit is {MAX_PIXELS:,}")
        if max(image.size) > MAX_ASPECT * min(image.size):
            raise InputError(f"image {name} is a strip of {image.width}x{image.height} pixels; crop it first")
        return _to_rgb(ImageOps.exif_transpose(image))
    except InputError:
        raise
    except Exception as error:  # hostile bytes make the decoders raise nearly anything
        raise InputError(f"image {name} is damaged and cannot be decoded; replace or remove it") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.float64)
        low, high = grey.min(), grey.max()
        scaled = (grey - low) * (255.0 / (high - low)) if high > low else np.zeros_like(grey)
        image = Image.fromarray(scaled.round().astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    return image.convert("RGB")
