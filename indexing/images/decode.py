"""Images of any listed format to 8-bit RGB; limits are checked before anything is decoded.

Colour profiles are not applied, and of an animated PNG only the still picture is read.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from indexing.images.files import read_image_bytes
from indexing.images.greyscale import stretch
from indexing.images.limits import MAX_PAGES, MAX_PIXELS, check_size
from indexing.images.stream_headers import tiff_pages
from indexing.images.view import AS_THE_FILE_SAYS, ImageView
from titrate import InputError

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


def load_image(path: Path, view: ImageView = AS_THE_FILE_SAYS) -> Image.Image:
    """Read one image file as upright 8-bit RGB; see `decode_image`.

    Raises
    ------
    InputError
        If the file cannot be read or is not an image within the limits.
    """
    return decode_image(read_image_bytes(path), str(path), view)


def decode_image(data: bytes, name: str, view: ImageView = AS_THE_FILE_SAYS) -> Image.Image:
    """Decode PNG, JPEG, TIFF, WebP or DICOM bytes to upright 8-bit RGB.

    EXIF orientation is applied, transparent parts become black, and grey of more than 8 bits is stretched between two
    percentiles, because scanners often use only 10 or 12 of the 16 bits; see `stretch`. DICOM: see `decode_dicom`.

    Parameters
    ----------
    data
        The file's bytes.
    name
        What error messages call it.
    view
        The window and the frame to show.

    Raises
    ------
    InputError
        If the format is another, the limits are exceeded, the frame is not there, or the data are damaged.
    """
    if data[128:132] == b"DICM":  # first, because whole-slide scanners write files that are TIFF and DICOM at once
        return _decode_dicom(data, name, view)
    decoder = next((decoder for signature, decoder in _DECODERS if data.startswith(signature)), None)
    if decoder is None or (decoder is WebPImageFile and data[8:12] != b"WEBP"):
        return _decode_dicom(data, name, view)
    try:
        image: Image.Image = decoder(BytesIO(data))
        frames = _count_frames(image, data, name)
        if (frame := view.choose(frames, name)) > 0:
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


def _decode_dicom(data: bytes, name: str, view: ImageView) -> Image.Image:
    from indexing.images.dicom import decode_dicom, is_dicom  # pydicom takes long to import, and most corpora have none

    if not is_dicom(data):
        raise InputError(f"image {name} is not PNG, JPEG, TIFF, WebP or DICOM; convert it to PNG first")
    return decode_dicom(data, name, view)


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
