"""Colour JPEG streams inside DICOM: whether their components are red, green and blue, or luma and two chromas.

The stream itself knows better than the DICOM header around it, which often was copied from elsewhere.
"""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

from indexing.images.stream_headers import is_start_of_frame, jpeg_segments

_APP0, _APP14 = 0xE0, 0xEE
_RGB, _YCC = 0, 1
"""Values of the colour transform in Adobe's APP14 segment, for three components."""


def decode_jpeg_colour(stream: bytes, photometric: str) -> NDArray[np.uint8]:
    """Decode a JPEG of three components of 8 bits to red, green and blue, uint8 [rows, columns, 3].

    Parameters
    ----------
    stream
        Of a size that was checked.
    photometric
        The DICOM header's photometric interpretation, followed where the stream leaves open what it holds.

    Raises
    ------
    Exception
        Of any kind, from the decoder, if the stream is damaged.
    """
    transform = _transform(stream)
    if transform is None:
        transform = _RGB if photometric == "RGB" else _YCC
    with JpegImageFile(BytesIO(_marked(stream, transform))) as image:
        if image.mode != "RGB":
            raise ValueError("the stream holds no three components of colour")
        return np.array(image)


def _transform(stream: bytes) -> int | None:
    """What the stream says of its components, in the order in which libjpeg asks; None if nothing.

    A JFIF segment stands for luma and chroma, Adobe's segment says it, components called R, G and B are those, and
    components of fewer samples than the first are chroma.
    """
    jfif, adobe, components = False, None, b""
    for marker, start, end in jpeg_segments(stream):
        content = stream[start + 4 : end]
        if marker == _APP0 and content.startswith(b"JFIF\0"):
            jfif = True
        elif marker == _APP14 and content.startswith(b"Adobe") and len(content) >= 12:
            adobe = _YCC if content[11] else _RGB
        elif is_start_of_frame(marker):
            components = content[6:]  # of each its name, its sampling and its table
            break
    if jfif:
        return _YCC
    if adobe is not None:
        return adobe
    if components[0::3] == b"RGB":
        return _RGB
    return _YCC if len(set(components[1::3])) > 1 else None


def _marked(stream: bytes, transform: int) -> bytes:
    """The stream with Adobe's segment as the only one that speaks of colour, so that libjpeg has nothing to guess."""
    kept: list[Any] = [b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0", bytes([transform])]
    position = 2
    for marker, start, end in jpeg_segments(stream):
        if marker in (_APP0, _APP14):
            kept.append(stream[position:start])
            position = end
    return b"".join([*kept, stream[position:]])
