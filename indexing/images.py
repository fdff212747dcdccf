"""Image files: only listed formats, only inside the corpus root, limits checked before decoding, always 8-bit RGB out.

Colour profiles are not applied, and of an animated PNG only the still picture is read.
"""

import math
import os
import stat
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from indexing.greyscale import stretch
from indexing.headers import tiff_pages
from titrate.errors import InputError

MAX_PIXELS = 64_000_000
"""Width × height; a large mammogram has 20 million. Checked on the header, before anything is decoded."""

MAX_ASPECT = 50
"""Long side over short side: preprocessing enlarges the short side, and a hair-thin image would grow without bound."""

MAX_BYTES = 256 * 1024 * 1024

MAX_PAGES = 10_000
"""Pages of a TIFF: Pillow's time to reach a page grows with its square."""

PHOTOMETRIC = 262
"""TIFF tag; 0 says that the least value is white."""

# The decoders by signature, called directly: Image.open would try whatever plug-ins the process has registered,
# and warns on stderr about large images before our own limit is reached.
_DECODERS: tuple[tuple[bytes, type[ImageFile.ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"\xff\xd8\xff", JpegImageFile),
    (b"II*\0", TiffImageFile),
    (b"MM\0*", TiffImageFile),
    (b"II+\0", TiffImageFile),
    (b"MM\0+", TiffImageFile),
    (b"RIFF", WebPImageFile),
)


@dataclass(frozen=True)
class Decoding:
    """What to show of an image that holds more than a screen can.

    Attributes
    ----------
    window
        Centre and width of the grey values shown, in the modality's unit (Hounsfield units for CT), for DICOM; None
        for the file's own window.
    frame
        Counted from 0, for DICOM, TIFF and WebP; None for the middle one.

    Raises
    ------
    InputError
        If the width is below 1 or the frame is negative.
    """

    window: tuple[float, float] | None = None
    frame: int | None = None

    def __post_init__(self) -> None:
        if self.window is not None and not (all(map(math.isfinite, self.window)) and self.window[1] >= 1):
            raise InputError("a window is a centre and a width of at least 1, such as 40 400")
        if self.frame is not None and self.frame < 0:
            raise InputError("frames are counted from 0; choose 0 or more")

    def choose(self, frames: int, name: str) -> int:
        """Index of the frame to show, of so many.

        Raises
        ------
        InputError
            If the wanted frame is not there.
        """
        if self.frame is None:
            return frames // 2
        if self.frame >= frames:
            have = "1 frame" if frames == 1 else f"{frames:,} frames"
            raise InputError(f"image {name} has {have}; frame {self.frame} (counted from 0) is not there")
        return self.frame


AS_THE_FILE_SAYS = Decoding()


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


def load_image(path: Path, decoding: Decoding = AS_THE_FILE_SAYS) -> Image.Image:
    """Read one image file as upright 8-bit RGB; see `decode_image`.

    Raises
    ------
    InputError
        If the file cannot be read or is not an image within the limits.
    """
    return decode_image(read_image_bytes(path), str(path), decoding)


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


def decode_image(data: bytes, name: str, decoding: Decoding = AS_THE_FILE_SAYS) -> Image.Image:
    """Decode PNG, JPEG, TIFF, WebP or DICOM bytes to upright 8-bit RGB.

    EXIF orientation is applied, transparent parts become black, and grey of more than 8 bits is stretched between its
    least and greatest value, because scanners often use only 10 or 12 of the 16 bits. DICOM: see `decode_dicom`.

    Parameters
    ----------
    data
        The file's bytes.
    name
        What error messages call it.
    decoding
        The window and the frame to show.

    Raises
    ------
    InputError
        If the format is another, the limits are exceeded, the frame is not there, or the data are damaged.
    """
    if data[128:132] == b"DICM":  # first, because whole-slide scanners write files that are TIFF and DICOM at once
        return _decode_dicom(data, name, decoding)
    decoder = next((decoder for signature, decoder in _DECODERS if data.startswith(signature)), None)
    if decoder is None or (decoder is WebPImageFile and data[8:12] != b"WEBP"):
        return _decode_dicom(data, name, decoding)
    try:
        image: Image.Image = decoder(BytesIO(data))
        frames = _count_frames(image, data, name)
        if (frame := decoding.choose(frames, name)) > 0:
            image.seek(frame)
        check_size(*image.size, name)
        white_is_zero = isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC) == 0
        return _to_rgb(ImageOps.exif_transpose(image), white_is_zero)
    except InputError:
        raise
    except Image.DecompressionBombError as error:  # WebP, whose canvas is made as soon as the file is opened
        raise InputError(f"image {name} has too many pixels; the limit is {MAX_PIXELS:,}") from error
    except Exception as error:  # hostile bytes make the decoders raise nearly anything
        raise InputError(f"image {name} is damaged and cannot be decoded; replace or remove it") from error


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


def _decode_dicom(data: bytes, name: str, decoding: Decoding) -> Image.Image:
    from indexing.dicom import decode_dicom, is_dicom  # pydicom takes long to import, and most corpora have none

    if not is_dicom(data):
        raise InputError(f"image {name} is not PNG, JPEG, TIFF, WebP or DICOM; convert it to PNG first")
    return decode_dicom(data, name, decoding)


def _count_frames(image: Image.Image, data: bytes, name: str) -> int:
    if isinstance(image, TiffImageFile):
        pages = tiff_pages(data, MAX_PAGES)
        if pages > MAX_PAGES:
            raise InputError(f"image {name} has more than {MAX_PAGES:,} pages; split it first")
        return pages
    return image.n_frames if isinstance(image, WebPImageFile) else 1


def _to_rgb(image: Image.Image, white_is_zero: bool) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        grey = stretch(np.asarray(image))
        image = Image.fromarray(255 - grey if white_is_zero else grey)  # Pillow inverts such TIFFs of 8 bits only
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    return image.convert("RGB")
