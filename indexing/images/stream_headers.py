"""What compressed streams claim about themselves, read without decoding anything, so that limits come first."""

import itertools
import struct
from collections.abc import Iterator

SOI, SOC = b"\xff\xd8", b"\xff\x4f"
JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
# Start-of-frame markers: 0xC0–0xCF without the tables DHT, JPG and DAC, and JPEG-LS's SOF55.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_START_OF_SCAN = 0xDA
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})


def codestream_shape(stream: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and components of a JPEG, JPEG-LS or JPEG 2000 stream; None if it is none of these or damaged."""
    try:
        if stream.startswith(SOI):
            return _jpeg_shape(stream)
        if stream.startswith(JP2_SIGNATURE):
            return _jpeg2000_shape(stream, _codestream_box(stream))
        if stream.startswith(SOC):
            return _jpeg2000_shape(stream, 0)
    except (struct.error, IndexError):
        pass
    return None


def jpeg_segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """The marker of each segment before the first scan, where it begins, and where it ends.

    Raises
    ------
    struct.error, IndexError
        If the stream ends before a scan begins.
    """
    position = 2
    while stream[position] == 0xFF:
        marker = stream[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _STANDALONE:
            position += 2
        elif marker == _START_OF_SCAN:
            return
        else:
            end = position + 2 + struct.unpack_from(">H", stream, position + 2)[0]
            yield marker, position, end
            position = end


def is_start_of_frame(marker: int) -> bool:
    """Whether the segment states the size and the components."""
    return marker in _START_OF_FRAME


def _jpeg_shape(stream: bytes) -> tuple[int, int, int] | None:
    for marker, start, _ in jpeg_segments(stream):
        if is_start_of_frame(marker):
            rows, columns, components = struct.unpack_from(">HHB", stream, start + 5)
            return rows, columns, components
    return None


def _codestream_box(stream: bytes) -> int:
    """Where the codestream begins in a JP2 file."""
    position = 0
    while True:
        length, kind = struct.unpack_from(">I4s", stream, position)
        header = 8
        if length == 1:
            [length], header = struct.unpack_from(">Q", stream, position + 8), 16
        if kind == b"jp2c":
            return position + header
        if length < header:  # 0 means up to the end, and there is no codestream after that
            raise IndexError
        position += length


def _jpeg2000_shape(stream: bytes, start: int) -> tuple[int, int, int] | None:
    marker, columns, rows, left, top = struct.unpack_from(">4s4xIIII", stream, start)
    [components] = struct.unpack_from(">H", stream, start + 40)
    return (rows - top, columns - left, components) if marker == SOC + b"\xff\x51" else None


MAX_RLE_RATIO = 64
"""Two bytes of DICOM's run-length code can stand for 128."""


def rle_length(stream: bytes) -> int:
    """Bytes that a frame of DICOM's run-length code decodes to (PS3.5, G.3).

    Raises
    ------
    struct.error
        If the frame is shorter than its table of segments.
    """
    segments, *offsets = struct.unpack_from("<16I", stream)
    bounds = [*offsets[:segments], len(stream)]
    total = 0
    for position, end in itertools.pairwise(bounds):
        while position < end - 1:
            code = stream[position]
            total += code + 1 if code < 128 else (257 - code) % 129
            position += code + 2 if code < 128 else 2 - (code == 128)
    return total
