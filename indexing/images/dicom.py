"""DICOM files: one frame as an image, and the tags of the header that other modules here ask for.

Only the tags that decoding needs are read. pydicom's warnings, log lines and error texts may quote header values, so
they are switched off for the whole process, and no error here passes them on.

Not applied: overlays, presentation states, colour profiles, and padding as a colour of its own.
"""

import logging
import re
import struct
import warnings
import zlib
from io import BytesIO
from typing import Any

from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder

from indexing.images.jpeg_colour import decode_jpeg_colour
from indexing.images.limits import MAX_BYTES
from indexing.images.not_pictures import NOT_PICTURE_TAGS, NoPictureError, what_beside, what_instead
from indexing.images.presentation import PRESENTATION_TAGS, to_rgb
from indexing.images.stored_pixels import (
    DECODERS,
    NATIVE,
    align_bits,
    check_header,
    check_pixels,
    compressed_frame,
    shift_down,
)
from indexing.images.view import ImageView
from titrate import InputError, TitrateWarning

_PREAMBLE = 128

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_IMAGE_TAGS = (
    *NOT_PICTURE_TAGS, "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows",
    "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths", *_PIXELS, *PRESENTATION_TAGS,
)  # fmt: skip
_CONTRADICTORY = {"MONOCHROME1": "IDENTITY", "MONOCHROME2": "INVERSE"}
"""PS3.3, C.11.6: the shape has to be INVERSE for MONOCHROME1, and IDENTITY for MONOCHROME2."""
_VALUE_TYPES = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)

for _logger in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "pydicom"]:
    logging.getLogger(_logger).disabled = True


def is_dicom(data: bytes) -> bool:
    """Whether this is a DICOM file, or begins like a data set stored without the 128 bytes and the mark before it."""
    return data[_PREAMBLE : _PREAMBLE + 4] == b"DICM" or _encoding(data) is not None


def why_no_picture(data: bytes, name: str) -> str | None:
    """What a DICOM file is instead of a picture that a report beside it is about; None if it may be one.

    By its header alone, such as "a segmentation".

    Parameters
    ----------
    data
        The file's bytes.
    name
        What error messages call it.

    Raises
    ------
    InputError
        If it is stored in a way that is not read here, or is damaged.
    """
    silence_pydicom()
    try:
        dataset = read_tags(data, name, NOT_PICTURE_TAGS)
        return what_instead(dataset) or what_beside(dataset)
    except InputError:
        raise
    except Exception:  # its text may quote the header
        raise InputError(f"image {name} is damaged DICOM and cannot be decoded; replace or remove it") from None


def decode_dicom(data: bytes, name: str, view: ImageView) -> Image.Image:
    """Decode one frame to 8-bit RGB as a viewer would first show it.

    Grey values go through the modality look-up table or rescaling, then the wanted window, else the file's own (its
    first VOI look-up table, else its first window), else a stretch between two percentiles of what is not padding;
    MONOCHROME1 is inverted last. DICOM PS3.3, C.7.6.3, C.11.1 and C.11.2.

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
        If it holds no image, or one that is no picture (see `indexing.images.not_pictures`), exceeds the limits, is
        compressed in a way not decoded here, or is damaged.
    """
    silence_pydicom()
    try:
        dataset = read_tags(data, name, _IMAGE_TAGS)
        kept = [keyword for keyword in _PIXELS if keyword in dataset]
        if not kept:
            raise InputError(
                f"image {name} is DICOM that holds no image{_kind(dataset)}; leave it out, or if it should hold one, "
                "copy it again from the archive"
            )
        if (kind := what_instead(dataset)) is not None:
            raise NoPictureError(f"image {name} is no picture but {kind}; leave it out")
        frame = check_header(dataset, name, view)
        array, photometric = _decode_pixels(dataset, kept[0], frame, name)
        if _CONTRADICTORY.get(photometric) == str(dataset.get("PresentationLUTShape", "")).strip().upper():
            warnings.warn(_contradiction(name, photometric), TitrateWarning, stacklevel=2)
        return Image.fromarray(to_rgb(array, dataset, photometric, frame, view.window))
    except InputError:
        raise
    except Exception:  # hostile bytes make pydicom raise nearly anything, and its texts quote the header
        raise InputError(f"image {name} is damaged DICOM and cannot be decoded; replace or remove it") from None


def _decode_pixels(dataset: Dataset, keyword: str, frame: int, name: str) -> tuple[NDArray[Any], str]:
    """The stored values of one frame, [rows, columns] or [rows, columns, 3], and what colours they are."""
    decoder = check_pixels(dataset, keyword, frame, name)
    if decoder == "pillow" and dataset.SamplesPerPixel == 3:
        stream = compressed_frame(dataset, keyword, frame, name)
        return decode_jpeg_colour(stream, str(dataset.PhotometricInterpretation)), "RGB"
    bits = int(dataset.get("BitsStored") or dataset.BitsAllocated)
    shift = align_bits(dataset)
    array, properties = get_decoder(dataset.file_meta.TransferSyntaxUID).as_array(
        dataset,
        index=frame,
        decoding_plugin=decoder,
        allow_excess_frames=False,  # type: ignore[arg-type]  # the keyword options are typed as one dict
    )
    if shift:
        array, dataset.BitsStored = shift_down(array, shift, bits), bits
    return array, str(properties["photometric_interpretation"])


def _contradiction(name: str, photometric: str) -> str:
    shape, end = _CONTRADICTORY[photometric], "white" if photometric == "MONOCHROME1" else "black"
    return (
        f"image {name} says {photometric} and Presentation LUT Shape {shape}, which contradict each other; "
        f"{photometric} was followed, so its least value is {end}"
    )


def silence_pydicom() -> None:
    """Keep pydicom's warnings from showing header values. Not `catch_warnings`: decoding runs in several threads."""
    modules = r"pydicom\.|indexing\.images\.(dicom|not_pictures|presentation|pseudonyms|stored_pixels)$"
    known: list[Any] = [entry[3] for entry in warnings.filters]
    if re.compile(modules) not in known:
        warnings.filterwarnings("ignore", module=modules)


def _encoding(start: bytes) -> uid.UID | None:
    """The transfer syntax of an uncompressed data set, by its first element; None if that is not DICOM."""
    if len(start) < 8:
        return None
    for order, explicit in (("<", uid.ExplicitVRLittleEndian), (">", uid.ExplicitVRBigEndian)):
        group, element, kind = struct.unpack_from(f"{order}HH2s", start)
        if group in (0x0002, 0x0008) and element < 0x0100:
            if kind in _VALUE_TYPES:
                return explicit
            [length] = struct.unpack_from("<I", start, 4)
            if order == "<" and length % 2 == 0 and length <= 1024:
                return uid.ImplicitVRLittleEndian
    return None


def read_tags(data: bytes, name: str, keywords: tuple[str, ...]) -> Dataset:
    """The wanted elements of a DICOM file, and of its file meta information what decoding needs.

    Parameters
    ----------
    data
        The file's bytes.
    name
        What error messages call it.
    keywords
        Of the elements, as in DICOM PS3.6.

    Raises
    ------
    InputError
        If it is stored in a way that is not read here, or inflates to more than an image may have.
    Exception
        Of any kind, from pydicom, if the file is damaged; its text may quote the header.
    """
    # Not `dcmread`, which inflates a deflated data set whatever its size.
    stream = BytesIO(data)
    stream.seek(_PREAMBLE + 4 if data[_PREAMBLE : _PREAMBLE + 4] == b"DICM" else 0)
    meta = FileMetaDataset(read_dataset(stream, False, True, stop_when=lambda tag, kind, length: tag.group != 2))
    start = stream.tell()
    syntax = meta.get("TransferSyntaxUID") or _encoding(data[start : start + 8]) or uid.ImplicitVRLittleEndian
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(memoryview(data)[start:], MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(
                f"image {name} inflates to more than {MAX_BYTES >> 20} MiB; the limit is {MAX_BYTES >> 20}"
            )
        stream, syntax = BytesIO(content), uid.ExplicitVRLittleEndian
    elif syntax not in (*NATIVE, *DECODERS):
        known = uid.UID(syntax).name
        raise InputError(
            f"image {name} is stored as {'an unknown transfer syntax' if known == syntax else known}, which is not "
            "decoded here; convert it to Explicit VR Little Endian first"
        )
    implicit, little = syntax == uid.ImplicitVRLittleEndian, syntax != uid.ExplicitVRBigEndian
    tags: list[Any] = [tag_for_keyword(keyword) for keyword in keywords]
    dataset = read_dataset(stream, implicit, little, specific_tags=tags)
    dataset.set_original_encoding(implicit, little)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = meta.get("MediaStorageSOPClassUID", "")
    return dataset


def _kind(dataset: Dataset) -> str:
    """The standard's name for what the file holds instead of an image, where there is one."""
    given = uid.UID(dataset.get("SOPClassUID") or dataset.file_meta.MediaStorageSOPClassUID)
    return "" if given.name == given else f" ({given.name})"
