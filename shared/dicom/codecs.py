"""Frames through the codec libraries, which are loaded when the first frame needs them. Knows no data sets."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.dicom.codestreams import (
    Codestream,
    UnusableCodestream,
    read_jpeg,
    read_jpeg_2000,
    read_jpeg_ls,
    read_rle,
)
from shared.dicom.jpegxl import read_jpeg_xl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SOS, _EOI = b"\xff\xda", b"\xff\xd9"
_MOST_SCANS = 100
_RLE_SLACK_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Expected:
    """What the data set says about a frame; anything else is refused before it is decoded.

    Attributes:
        rows: height in pixels.
        columns: width in pixels.
        samples: samples of a pixel.
        bits_allocated: most bits that a sample may have.
        ybr: the data set says that the samples are luminance and colour differences.
    """

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    ybr: bool


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame as its codec gives it.

    Attributes:
        samples: (rows, columns) or (rows, columns, samples).
        precision: bits of a sample that count; None where the data set has to say it.
        rgb: for three samples: they are RGB; False where the data set has to say what they are.
    """

    samples: NDArray[Any]
    precision: int | None
    rgb: bool = False


@dataclass(frozen=True, slots=True)
class Codec:
    """One way to decode.

    Attributes:
        name: format and library, for people.
        decode: the function.
    """

    name: str
    decode: Callable[[bytes, Expected], Decoded]


def _checked(found: Codestream, expected: Expected) -> Codestream:
    if (found.rows, found.columns, found.samples) != (expected.rows, expected.columns, expected.samples):
        raise UnusableCodestream(
            f"The compressed frame has {found.columns} x {found.rows} pixels of {found.samples} samples, the data set "
            f"says {expected.columns} x {expected.rows} of {expected.samples}."
        )
    # One bit a sample is stored in bytes of eight once it is compressed as a picture.
    if not 1 <= found.precision <= max(8, expected.bits_allocated):
        raise UnusableCodestream("The compressed frame has more bits in a sample than the data set allocates.")
    return found


def _shaped(samples: NDArray[Any], expected: Expected) -> NDArray[Any]:
    wanted = (expected.rows, expected.columns) + ((expected.samples,) if expected.samples > 1 else ())
    if samples.shape != wanted or samples.dtype.kind not in "ui":
        raise UnusableCodestream("The decoded frame is not of the size that its header says.")
    return samples


def _jpeg(frame: bytes, expected: Expected) -> Decoded:
    import imagecodecs

    found = _checked(read_jpeg(frame), expected)
    if _EOI not in frame:  # the library would fill up with grey and say nothing
        raise UnusableCodestream("The compressed frame is cut off: it has no end marker.")
    if frame.count(_SOS) > _MOST_SCANS:  # each one is a pass over the whole image
        raise UnusableCodestream("The compressed frame has too many scans.")
    if found.samples == 1:
        return Decoded(_shaped(imagecodecs.jpeg8_decode(frame), expected), None)
    # The library would guess from markers that DICOM does not ask for. A lossless process has no transformation.
    ybr = not found.lossless and not found.says_rgb and (expected.ybr or found.says_ybr)
    samples = imagecodecs.jpeg8_decode(frame, colorspace="YCBCR" if ybr else "RGB", outcolorspace="RGB")
    return Decoded(_shaped(samples, expected), None, rgb=ybr or found.says_rgb)


def _jpeg_ls(frame: bytes, expected: Expected) -> Decoded:
    import imagecodecs

    found = _checked(read_jpeg_ls(frame), expected)
    # CharLS never comes back from a frame that is cut off, unless it meets a marker.
    samples = _shaped(imagecodecs.jpegls_decode(frame + _EOI), expected)
    return Decoded(samples, found.precision, rgb=found.says_rgb)


def _jpeg_2000(frame: bytes, expected: Expected) -> Decoded:
    import imagecodecs

    found = _checked(read_jpeg_2000(frame), expected)
    samples = imagecodecs.jpeg2k_decode(frame[found.start :], verbose=0, numthreads=1)
    return Decoded(_shaped(samples, expected), found.precision)


def _jpeg_xl(frame: bytes, expected: Expected) -> Decoded:
    import imagecodecs

    found = _checked(read_jpeg_xl(frame), expected)
    samples = imagecodecs.jpegxl_decode(frame, index=0, numthreads=1)
    return Decoded(_shaped(samples, expected), found.precision, rgb=True)


def _rle(frame: bytes, expected: Expected) -> Decoded:
    import imagecodecs
    import numpy as np

    pixels = expected.rows * expected.columns
    sample_bytes = expected.bits_allocated // 8
    segments = read_rle(frame, expected.rows, expected.columns)
    if not sample_bytes or len(segments) != expected.samples * sample_bytes:
        raise UnusableCodestream(f"RLE: {len(segments)} segments do not make up the samples.")
    planes = np.empty((expected.samples, pixels, sample_bytes), np.uint8)
    for number, (start, end) in enumerate(segments):
        # A segment may end with padding, and a run may go a little beyond the last pixel.
        plane = imagecodecs.packbits_decode(frame[start:end], out=bytearray(pixels + _RLE_SLACK_BYTES))
        if len(plane) < pixels:
            raise UnusableCodestream("RLE: a segment is too short for the image.")
        sample, place = divmod(number, sample_bytes)  # most significant byte first (PS3.5 annex G.2)
        planes[sample, :, sample_bytes - 1 - place] = np.frombuffer(plane, np.uint8, pixels)
    samples = planes.reshape(-1).view(f"<u{sample_bytes}").reshape(expected.samples, expected.rows, expected.columns)
    return Decoded(samples[0] if expected.samples == 1 else samples.transpose(1, 2, 0), None)


_JPEG = Codec("JPEG, libjpeg-turbo", _jpeg)
_JPEG_LS = Codec("JPEG-LS, CharLS", _jpeg_ls)
_JPEG_2000 = Codec("JPEG 2000, OpenJPEG", _jpeg_2000)
# Not by OpenJPH: it is about as fast, but crashes on damaged frames and writes to stderr.
_HTJ2K = Codec("High-Throughput JPEG 2000, OpenJPEG", _jpeg_2000)
_JPEG_XL = Codec("JPEG XL, libjxl", _jpeg_xl)
_RLE = Codec("RLE, imagecodecs", _rle)
RLE = "1.2.840.10008.1.2.5"

# PS3.5 annexes A.4 and 10; PS3.6 annex A.
CODECS = {
    "1.2.840.10008.1.2.4.50": _JPEG,
    "1.2.840.10008.1.2.4.51": _JPEG,
    "1.2.840.10008.1.2.4.57": _JPEG,
    "1.2.840.10008.1.2.4.70": _JPEG,
    "1.2.840.10008.1.2.4.80": _JPEG_LS,
    "1.2.840.10008.1.2.4.81": _JPEG_LS,
    "1.2.840.10008.1.2.4.90": _JPEG_2000,
    "1.2.840.10008.1.2.4.91": _JPEG_2000,
    "1.2.840.10008.1.2.4.92": _JPEG_2000,
    "1.2.840.10008.1.2.4.93": _JPEG_2000,
    "1.2.840.10008.1.2.4.110": _JPEG_XL,
    "1.2.840.10008.1.2.4.111": _JPEG_XL,
    "1.2.840.10008.1.2.4.112": _JPEG_XL,
    "1.2.840.10008.1.2.4.201": _HTJ2K,
    "1.2.840.10008.1.2.4.202": _HTJ2K,
    "1.2.840.10008.1.2.4.203": _HTJ2K,
    RLE: _RLE,
}


def inflate(frame: bytes, size_bytes: int) -> bytes:
    """The first bytes of a deflated frame (RFC 1951), as many as asked for.

    Raises:
        UnusableCodestream: the frame is broken or holds fewer.
    """
    try:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, size_bytes)
    except zlib.error as error:
        raise UnusableCodestream("The deflated frame is broken.") from error
    if len(content) < size_bytes:
        raise UnusableCodestream("The deflated frame is too short for the image.")
    return content


def encode_jpeg_2000(samples: NDArray[np.integer[Any]], precision: int, *, transform: bool) -> bytes:
    """A lossless JPEG 2000 codestream.

    Args:
        samples: (rows, columns) or (rows, columns, 3), 8 or 16 bits.
        precision: bits of a sample that count.
        transform: decorrelate three samples by the reversible multiple component transformation.
    """
    import imagecodecs

    return bytes(
        imagecodecs.jpeg2k_encode(
            samples,
            level=0,
            codecformat="J2K",
            colorspace="SRGB" if samples.ndim == 3 else "GRAY",
            bitspersample=precision,
            reversible=True,
            mct=transform,
            verbose=0,
            numthreads=1,
        )
    )
