"""What a compressed frame says about itself, read from its own header before any codec sees it. Decodes no pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from struct import error as struct_error
from struct import unpack_from

_SOI, _SOS, _EOI = 0xD8, 0xDA, 0xD9
_APP0, _APP14 = 0xE0, 0xEE
_SOF_LOSSLESS = 0xC3
_SOF_JPEG_LS = 0xF7
_JPEG_FRAMES = frozenset({0xC0, 0xC1, 0xC2, _SOF_LOSSLESS, 0xC9, 0xCA, _SOF_JPEG_LS})
_JPEG_HIERARCHICAL = frozenset({0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF})
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
# ASCII R, G, B in either case, as identifiers of components.
_RGB_IDENTIFIERS = frozenset({b"RGB", b"rgb"})

_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_J2K_START = b"\xff\x4f\xff\x51"

_RLE_HEADER_BYTES = 64
_RLE_MOST_SEGMENTS = 15
_RLE_MOST_GAIN = 64  # two bytes of a replicate run give at most 128


class UnusableCodestream(Exception):
    """The frame is not what it should be. The text tells geometry at most, no pixel and no attribute besides."""


@dataclass(frozen=True, slots=True)
class Codestream:
    """The header of one compressed frame.

    Attributes:
        rows: height in pixels.
        columns: width in pixels.
        samples: components of a pixel.
        precision: bits of a sample.
        signed: None where the format cannot tell.
        lossless: JPEG processes that predict; always False in other formats, where nobody asks.
        says_rgb: the identifiers of the components are the letters R, G, B.
        says_ybr: a JFIF or an Adobe marker says that the components are luminance and colour differences.
        start: where the codestream begins in the frame, past boxes of a file format around it.
    """

    rows: int
    columns: int
    samples: int
    precision: int
    signed: bool | None = None
    lossless: bool = False
    says_rgb: bool = False
    says_ybr: bool = False
    start: int = 0


def read_jpeg(frame: bytes) -> Codestream:
    """The frame header of JPEG (ISO/IEC 10918-1 annex B).

    Raises:
        UnusableCodestream: there is none before the first scan, or not one of PS3.5 §8.2.1.
    """
    return guarded(_jpeg_header, frame, _JPEG_FRAMES - {_SOF_JPEG_LS})


def read_jpeg_ls(frame: bytes) -> Codestream:
    """The frame header of JPEG-LS (ISO/IEC 14495-1 annex C).

    Raises:
        UnusableCodestream: there is none before the first scan.
    """
    return guarded(_jpeg_header, frame, frozenset({_SOF_JPEG_LS}))


def read_jpeg_2000(frame: bytes) -> Codestream:
    """The SIZ marker segment of JPEG 2000, Part 1 or 15 (ISO/IEC 15444-1 annex A.5.1).

    Raises:
        UnusableCodestream: there is none, or the components differ from each other.
    """
    return guarded(_jpeg_2000_header, frame)


def read_rle(frame: bytes, rows: int, columns: int) -> tuple[tuple[int, int], ...]:
    """Where each segment of RLE begins and ends (PS3.5 annex G.5).

    Raises:
        UnusableCodestream: the header is cut off, or its offsets do not rise within the frame.
    """
    if len(frame) < _RLE_HEADER_BYTES:
        raise UnusableCodestream("RLE: the header is cut off.")
    count, *offsets = unpack_from("<16L", frame)
    if not 1 <= count <= _RLE_MOST_SEGMENTS:
        raise UnusableCodestream("RLE: the number of segments is not within 1 and 15.")
    bounds = [*offsets[:count], len(frame)]
    segments = tuple(pairwise(bounds))
    if bounds[0] < _RLE_HEADER_BYTES or any(start >= end for start, end in segments):
        raise UnusableCodestream("RLE: the segments do not follow each other within the frame.")
    if any((end - start) * _RLE_MOST_GAIN < rows * columns for start, end in segments):
        raise UnusableCodestream("RLE: a segment is too short for the image.")
    return segments


def guarded(read: Callable[..., Codestream], frame: bytes, *others: object) -> Codestream:
    """What `read` finds in the frame.

    Raises:
        UnusableCodestream: what it reads is cut off, or it finds no size.
    """
    try:
        found = read(frame, *others)
    except (IndexError, struct_error) as error:
        raise UnusableCodestream("The header of the compressed frame is cut off.") from error
    if not (found.rows and found.columns):
        raise UnusableCodestream("The compressed frame does not tell its size.")
    return found


def _jpeg_header(frame: bytes, wanted: frozenset[int]) -> Codestream:
    says_ybr = False
    for marker, start, end in _jpeg_segments(frame):
        if marker == _APP0 and frame[start : start + 5] == b"JFIF\0":
            says_ybr = True
        elif marker == _APP14 and frame[start : start + 5] == b"Adobe" and end - start >= 12:
            says_ybr = frame[start + 11] == 1
        elif marker in wanted:
            return _jpeg_frame(frame[start:end], marker, says_ybr=says_ybr)
        elif marker in _JPEG_FRAMES or marker in _JPEG_HIERARCHICAL:
            raise UnusableCodestream("The compressed frame is of another JPEG process than the transfer syntax says.")
    raise UnusableCodestream("The compressed frame has no JPEG frame header.")


def _jpeg_frame(body: bytes, marker: int, *, says_ybr: bool) -> Codestream:
    precision, rows, columns, samples = unpack_from(">BHHB", body)
    identifiers = body[6::3][:samples]
    if len(body) < 6 + 3 * samples:
        raise UnusableCodestream("The compressed frame has a damaged JPEG frame header.")
    return Codestream(
        rows=rows,
        columns=columns,
        samples=samples,
        precision=precision,
        lossless=marker == _SOF_LOSSLESS,
        says_rgb=identifiers in _RGB_IDENTIFIERS,
        says_ybr=says_ybr and identifiers not in _RGB_IDENTIFIERS,
    )


def _jpeg_segments(frame: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the content of each marker segment before the first scan."""
    if frame[:2] != bytes((0xFF, _SOI)):
        raise UnusableCodestream("The compressed frame is not JPEG.")
    at = 2
    while True:
        if frame[at] != 0xFF:
            raise UnusableCodestream("The compressed frame has something between its JPEG marker segments.")
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _JPEG_ALONE:
            at += 2
        elif marker in (_SOS, _EOI, _SOI):
            return
        else:
            length = unpack_from(">H", frame, at + 2)[0]
            if length < 2 or at + 2 + length > len(frame):
                raise IndexError
            yield marker, at + 4, at + 2 + length
            at += 2 + length


def _jpeg_2000_header(frame: bytes) -> Codestream:
    start = _jp2_codestream(frame) if frame[:12] == _JP2_SIGNATURE else 0
    if frame[start : start + 4] != _J2K_START:
        raise UnusableCodestream("The compressed frame is not JPEG 2000.")
    right, bottom, left, top = unpack_from(">4L", frame, start + 8)
    samples = unpack_from(">H", frame, start + 40)[0]
    components = {tuple(frame[start + 42 + 3 * number :][:3]) for number in range(samples)}
    if len(components) != 1:
        raise UnusableCodestream("The components of the compressed frame differ in precision or sampling.")
    size, across, down = components.pop()
    if (across, down) != (1, 1):
        raise UnusableCodestream("The components of the compressed frame are subsampled.")
    if right <= left or bottom <= top:
        raise UnusableCodestream("The compressed frame does not tell its size.")
    return Codestream(
        rows=bottom - top,
        columns=right - left,
        samples=samples,
        precision=(size & 0x7F) + 1,
        signed=bool(size & 0x80),
        start=start,
    )


def _jp2_codestream(frame: bytes) -> int:
    """Where the codestream of a JP2 file begins; encoders put such files into DICOM, though PS3.5 §8.2.4 forbids it."""
    for kind, start in boxes(frame):
        if kind == b"jp2c":
            return start
    raise UnusableCodestream("The JPEG 2000 file in the frame has no codestream.")


def boxes(frame: bytes) -> Iterator[tuple[bytes, int]]:
    """Kind and start of the content of each box of a file in boxes (ISO/IEC 15444-1 annex I.4)."""
    at = 0
    while at + 8 <= len(frame):
        length, kind = unpack_from(">L4s", frame, at)
        header = 8
        if length == 1:
            length, header = unpack_from(">Q", frame, at + 8)[0], 16
        yield kind, at + header
        if length < header:  # 0: to the end of the file
            return
        at += length
