"""Pixels as a DICOM file stores them: which compressions are decoded, and the limits, all checked before decoding."""

import math
from importlib.util import find_spec
from typing import Any

from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame

from indexing.images.limits import MAX_BYTES, check_size
from indexing.images.stream_headers import MAX_RLE_RATIO, codestream_shape, rle_length
from indexing.images.view import ImageView
from titrate import InputError

MAX_FRAMES = 100_000

# One decoder for each compression, so that an image gives the same pixels wherever it is decoded.
DECODERS: dict[str, str] = {
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: "pillow",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
    uid.RLELossless: "pydicom",
}
NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)


def check_header(dataset: Dataset, name: str, view: ImageView) -> int:
    """Check what the header claims against the limits; returns the index of the frame to decode."""
    rows, columns, samples, bits = (
        _whole(dataset, keyword, name) for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
    )
    frames = _whole(dataset, "NumberOfFrames", name) if dataset.get("NumberOfFrames") else 1
    check_size(columns, rows, name)
    if frames > MAX_FRAMES:
        raise InputError(f"image {name} claims {frames:,} frames; the limit is {MAX_FRAMES:,}")
    if rows * columns * samples * bits // 8 > MAX_BYTES:
        raise InputError(f"a frame of image {name} claims more than {MAX_BYTES >> 20} MiB; convert it to 8 bits first")
    return view.choose(frames, name)


def compressed_frame(dataset: Dataset, keyword: str, frame: int, name: str) -> bytes:
    """The compressed stream of one frame."""
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    frames = int(dataset.get("NumberOfFrames") or 1)
    try:
        stream = get_frame(dataset[keyword].value, frame, number_of_frames=frames, extended_offsets=offsets)
    except ValueError:
        stream = b""
    if not stream:
        raise InputError(f"image {name} holds fewer frames than its header says; copy it again from the archive")
    return stream


def align_bits(dataset: Dataset) -> int:
    """How far native values have to be shifted down because their highest bit is not the one below their length.

    PS3.5, 8.1.1 lets the bits of a value lie anywhere in what is allocated. Where they do, the header's copy here is
    made to claim all allocated bits, so that the decoder keeps them; `shift_down` then takes the value's own.

    Returns
    -------
    int
        0 if the bits lie at the low end, as nearly always, or the header's high bit makes no sense.
    """
    if dataset.file_meta.TransferSyntaxUID not in (*NATIVE, uid.RLELossless) or "PixelData" not in dataset:
        return 0
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    high = dataset.get("HighBit")
    if allocated not in (8, 16, 32) or high is None or not stored - 1 < int(high) < allocated:
        return 0
    dataset.BitsStored, dataset.HighBit = allocated, allocated - 1
    return int(high) - stored + 1


def shift_down(values: NDArray[Any], shift: int, stored: int) -> NDArray[Any]:
    """The ``stored`` bits that begin ``shift`` bits above the lowest, with their sign if the type has one.

    Any integers of any shape; the type stays.
    """
    above = 8 * values.itemsize - shift - stored
    shifted: NDArray[Any] = (values << above) >> (above + shift)
    return shifted


def _whole(dataset: Dataset, keyword: str, name: str) -> int:
    try:
        if (value := int(dataset[keyword].value)) > 0:
            return value
    except (KeyError, TypeError, ValueError):
        pass
    raise InputError(f"image {name} has no usable {keyword} in its DICOM header; replace or remove it")


def check_pixels(dataset: Dataset, keyword: str, frame: int, name: str) -> str:
    """Check the stored pixels of one frame against the header, before decoding; returns which decoder to use."""
    syntax, element = dataset.file_meta.TransferSyntaxUID, dataset[keyword]
    shape = (int(dataset.Rows), int(dataset.Columns), int(dataset.SamplesPerPixel))
    frames, bits = int(dataset.get("NumberOfFrames") or 1), int(dataset.BitsAllocated)
    if syntax in NATIVE:
        if element.is_undefined_length:
            raise InputError(f"image {name} is compressed but does not say how; convert it with a DICOM tool first")
        expected = math.prod(shape) * frames * bits
        if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
            expected = expected * 2 // 3
        if len(element.value) * 8 < expected:
            raise InputError(f"image {name} holds fewer pixels than its header says; copy it again from the archive")
        return ""
    if syntax == uid.JPEGExtended12Bit and int(dataset.BitsStored) > 8:
        if find_spec("libjpeg") is None:  # licensed under the GPL, so it is the user's to choose
            raise InputError(
                f"image {name} is JPEG of 12 bits; pip install pylibjpeg-libjpeg (GPL), or convert it first"
            )
        decoder = "pylibjpeg"
    else:
        decoder = DECODERS[syntax]
    stream = compressed_frame(dataset, keyword, frame, name)
    if syntax == uid.RLELossless:
        fits = len(stream) * MAX_RLE_RATIO <= MAX_BYTES or rle_length(stream) <= 2 * math.prod(shape) * bits // 8
    else:
        fits = codestream_shape(stream) == shape
    if not fits:
        raise InputError(f"the compressed pixels of image {name} are not of the size its header says; replace it")
    if decoder == "gdcm":
        import gdcm  # only here, because it is large

        gdcm.Trace.WarningOff()  # its complaints go past Python straight to stderr
        gdcm.Trace.ErrorOff()
    return decoder
