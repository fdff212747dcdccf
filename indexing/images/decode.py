"""Images of any listed format to 8-bit RGB; limits are checked before anything is decoded.

Colour profiles are not applied, and of an animated PNG only the still picture is read.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from indexing.images.deep_colour import decode_deep, is_deep
from indexing.images.files import read_image_bytes
from indexing.images.greyscale import stretch
from indexing.images.limits import MAX_PAGES, MAX_PIXELS, check_size
from indexing.images.not_pictures import NoPictureError
from indexing.images.tiff_pages import default_page, imagej_images, read_pages
from indexing.images.view import AS_THE_FILE_SAYS, ImageView
from titrate import InputError

PHOTOMETRIC = 262
"""TIFF tag; 0 says that the least value is white."""
_STRIP_OFFSETS, _STRIP_LENGTHS = 273, 279

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


DECODING_VERSION = 2
"""Raised whenever a kind of image is decoded otherwise than before, together with `decoding_version`."""

_PNG_DEPTH = 24
"""Where a PNG says how many bits a value has."""


def decoding_version(data: bytes) -> int:
    """Since which version images of this kind are decoded as they are, so that older embeddings are known for old.

    Parameters
    ----------
    data
        The file's bytes.

    Returns
    -------
    int
        2 for DICOM, TIFF and PNG of 16 bits; 1 for what is decoded as ever.
    """
    if data[128:132] == b"DICM" or data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return DECODING_VERSION
    if data.startswith(b"\x89PNG"):
        return DECODING_VERSION if data[_PNG_DEPTH : _PNG_DEPTH + 1] == b"\x10" else 1
    if data.startswith((b"\xff\xd8\xff", b"RIFF")):
        return 1
    from indexing.images.dicom import is_dicom  # pydicom takes long to import, and most corpora have none

    return DECODING_VERSION if is_dicom(data) else 1


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
        image, reopen = _open_page(decoder, data, name, view)
        check_size(*image.size, name)
        if is_deep(image):
            return decode_deep(reopen, name)
        white_is_zero = isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC) == 0
        return _to_rgb(ImageOps.exif_transpose(image), white_is_zero)
    except InputError:
        raise
    except Image.DecompressionBombError as error:  # WebP, whose canvas is made as soon as the file is opened
        raise InputError(f"image {name} has too many pixels; the limit is {MAX_PIXELS:,}") from error
    except Exception as error:  # hostile bytes make the decoders raise nearly anything
        raise InputError(f"image {name} {_why_not(data, error)}") from error


def _decode_dicom(data: bytes, name: str, view: ImageView) -> Image.Image:
    from indexing.images.dicom import decode_dicom, is_dicom  # pydicom takes long to import, and most corpora have none

    if not is_dicom(data):
        raise InputError(f"image {name} is not PNG, JPEG, TIFF, WebP or DICOM; convert it to PNG first")
    return decode_dicom(data, name, view)


def _why_not(data: bytes, error: Exception) -> str:
    """What is wrong with an image that its decoder cannot read, and what mends it."""
    if data.startswith(b"MM\0+"):
        return "is a BigTIFF with the upper byte first, which is not decoded here; save it as PNG or another TIFF"
    if data.startswith((b"II", b"MM")) and "unknown pixel mode" in str(error):
        return "is a TIFF whose pixels are of a kind that is not decoded here, or damaged; save it as PNG"
    return "is damaged and cannot be decoded; replace or remove it"


def _open_page(
    decoder: type[ImageFile.ImageFile], data: bytes, name: str, view: ImageView
) -> tuple[ImageFile.ImageFile, Callable[[], ImageFile.ImageFile]]:
    """The file at the page to show, with nothing decoded, and a function that opens it so once more."""
    if decoder is TiffImageFile:
        page, place = _choose_page(data, name, view)
    else:
        image = decoder(BytesIO(data))
        page, place = view.choose(image.n_frames if isinstance(image, WebPImageFile) else 1, name), 0

    def open_page() -> ImageFile.ImageFile:
        image = decoder(BytesIO(data))
        if page > 0:
            image.seek(page)
        if place > 0:
            # All images of ImageJ are of the first one's size, uncompressed, and lie one after the other.
            length = sum(image.tag_v2[_STRIP_LENGTHS])  # type: ignore[attr-defined]  # a TIFF has tags
            image.tile = [tile._replace(offset=tile.offset + place * length) for tile in image.tile]
        return image

    return open_page(), open_page


def _choose_page(data: bytes, name: str, view: ImageView) -> tuple[int, int]:
    """Which directory of a TIFF to show, and which of the images that ImageJ wrote behind it."""
    pages = read_pages(data, MAX_PAGES)
    if len(pages) > MAX_PAGES:
        raise InputError(f"image {name} has more than {MAX_PAGES:,} pages; split it first")
    if len(pages) == 1 and (images := imagej_images(pages[0].description)) > 1:
        there = _images_behind(TiffImageFile(BytesIO(data)), len(data))
        if images > MAX_PAGES:
            raise InputError(f"image {name} has more than {MAX_PAGES:,} pages; split it first")
        if 1 < there < images:
            raise InputError(f"image {name} holds {there} of the {images:,} images it names; copy it again")
        if there >= images:
            return 0, view.choose(images, name)
    if view.frame is not None:
        return view.choose(len(pages), name), 0
    if (page := default_page(pages)) is None:
        raise NoPictureError(
            f"image {name} holds nothing but the label or the overview of a slide; leave it out, or choose a frame"
        )
    return page, 0


def _images_behind(image: TiffImageFile, end: int) -> int:
    """How many images of the first one's size fit behind its beginning; 1 if they cannot lie so."""
    offsets, lengths = image.tag_v2.get(_STRIP_OFFSETS, ()), image.tag_v2.get(_STRIP_LENGTHS, ())
    ends = [start + length for start, length in zip(offsets, lengths, strict=True)]
    adjoining = ends[:-1] == list(offsets[1:])
    if not (adjoining and sum(lengths) and all(tile.codec_name == "raw" for tile in image.tile)):
        return 1
    return int((end - offsets[0]) // sum(lengths))


def _to_rgb(image: Image.Image, white_is_zero: bool) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        grey = stretch(np.asarray(image))
        image = Image.fromarray(255 - grey if white_is_zero else grey)  # Pillow inverts such TIFFs of 8 bits only
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    return image.convert("RGB")
