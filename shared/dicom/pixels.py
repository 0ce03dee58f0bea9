"""Frames of pixel data: their samples, whatever they are encoded in, and the same frames encoded otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.dicom.codecs import CODECS, RLE, Decoded, Expected, encode_jpeg_2000, inflate
from shared.dicom.codestreams import UnusableCodestream
from shared.dicom.imagepixel import FLOATS, MAX_FRAME_BYTES, NATIVE, CannotDecode, PixelDescription, describe
from shared.dicom.samples import by_pixel, packed, stored_bits, swapped, unpacked, with_full_chroma, ybr_to_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Whoever works on pixels finds everything here.
__all__ = [
    "JPEG_2000_LOSSLESS",
    "MAX_FRAME_BYTES",
    "CannotDecode",
    "DecodedFrame",
    "OutputAttributes",
    "PixelDescription",
    "can_decode",
    "codec_of",
    "decode",
    "describe",
    "output_attributes",
    "to_explicit_little",
    "to_jpeg2000",
]

JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_UNCOMPRESSED_FRAMES = "1.2.840.10008.1.2.1.98"
# Frames that are native once they are taken out of their items (PS3.5 annexes A.4.11 and A.4.12).
_UNCOMPRESSED = NATIVE | {_DEFLATED_FRAMES, _UNCOMPRESSED_FRAMES}

_ONE_SAMPLE = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
_YBR = frozenset({"YBR_FULL", "YBR_FULL_422"})
# Codecs of these give RGB: the transformation is part of the codestream (PS3.3 C.7.6.3.1.2).
_RGB = frozenset({"RGB", "YBR_ICT", "YBR_RCT", "XYB"})
_MOST_J2K_BITS = 16


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """The picture of one frame.

    Attributes:
        samples: (rows, columns) or (rows, columns, 3), in the byte order of this machine.
        photometric: MONOCHROME1, MONOCHROME2, PALETTE COLOR (samples are indices) or RGB.
    """

    samples: NDArray[Any]
    photometric: str


@dataclass(frozen=True, slots=True)
class OutputAttributes:
    """Image Pixel attributes once the frames are in another transfer syntax; the others stay.

    Attributes:
        vr: of the pixel data.
        photometric: PhotometricInterpretation.
        planar: PlanarConfiguration; None where there must be none.
        bits_allocated: BitsAllocated.
        bits_stored: BitsStored.
        high_bit: HighBit.
    """

    vr: str
    photometric: str
    planar: int | None
    bits_allocated: int
    bits_stored: int
    high_bit: int


def can_decode(transfer_syntax: str) -> bool:
    """True where frames of that transfer syntax can be decoded, if the frame is sound and the codec installed."""
    return transfer_syntax in _UNCOMPRESSED or transfer_syntax in CODECS


def codec_of(transfer_syntax: str) -> str:
    """What decodes that transfer syntax, for people; empty where nothing does."""
    if transfer_syntax in NATIVE or transfer_syntax == _UNCOMPRESSED_FRAMES:
        return "none needed"
    if transfer_syntax == _DEFLATED_FRAMES:
        return "Deflate, zlib"
    codec = CODECS.get(transfer_syntax)
    return codec.name if codec else ""


def decode(description: PixelDescription, frame: bytes) -> DecodedFrame:
    """The picture of one frame: unused bits cleared or filled with the sign, luminance and differences turned into RGB.

    Raises:
        CannotDecode: the frame is broken, not what the description says, or its codec is not installed.
    """
    samples, photometric = _samples(description, frame)
    return DecodedFrame(*_in_rgb(samples, photometric))


def to_explicit_little(description: PixelDescription, frame: bytes) -> bytes:
    """A frame as it stands in Explicit VR Little Endian; one that is not compressed changes its byte order at most.

    Raises:
        CannotDecode: as `decode` does.
    """
    if description.transfer_syntax in _UNCOMPRESSED:
        return _native_bytes(description, frame)
    samples = decode(description, frame).samples
    return packed(samples) if description.bits_allocated == 1 else _little_bytes(samples)


def to_jpeg2000(description: PixelDescription, frame: bytes) -> bytes:
    """A frame as a lossless JPEG 2000 codestream. YBR_FULL that no JPEG codec had stays YBR_FULL.

    Raises:
        CannotDecode: as `decode` does, or JPEG 2000 does not take such samples.
    """
    _refuse_for_jpeg_2000(description)
    samples, photometric = _samples(description, frame)
    if not _keeps_ybr(description):
        samples, photometric = _in_rgb(samples, photometric)
    precision = description.bits_stored
    limit = 1 << (precision - description.signed)
    if int(samples.min()) < -limit or int(samples.max()) >= limit:
        precision = 8 * samples.dtype.itemsize  # a codestream of more bits than the data set says
    try:
        return encode_jpeg_2000(samples, precision, transform=photometric == "RGB")
    except ImportError as error:
        raise CannotDecode("The codec for JPEG 2000 is not installed.") from error
    except Exception as error:
        raise CannotDecode("The frame cannot be encoded as JPEG 2000.") from error


def output_attributes(description: PixelDescription, target_syntax: str) -> OutputAttributes:
    """What the Image Pixel module has to say once the frames are in Explicit VR Little Endian or JPEG 2000 lossless.

    Raises:
        CannotDecode: JPEG 2000 does not take such samples.
    """
    colour = description.samples > 1
    bits_allocated, bits_stored = description.bits_allocated, description.bits_stored
    if target_syntax == JPEG_2000_LOSSLESS:
        _refuse_for_jpeg_2000(description)
        three = "YBR_FULL" if _keeps_ybr(description) else "YBR_RCT"
        photometric, planar = (three, 0) if colour else (description.photometric, None)
        return OutputAttributes("OB", photometric, planar, max(8, bits_allocated), bits_stored, bits_stored - 1)
    if description.transfer_syntax in _UNCOMPRESSED:
        photometric, planar = description.photometric, description.planar if colour else None
        vr, high_bit = description.vr, description.high_bit
    else:
        photometric, planar = ("RGB", 0) if colour else (description.photometric, None)
        vr, high_bit = "", bits_stored - 1
    if description.transfer_syntax not in NATIVE:
        vr = "OW" if bits_allocated > 8 else "OB"
    return OutputAttributes(vr, photometric, planar, bits_allocated, bits_stored, high_bit)


def _refuse_for_jpeg_2000(description: PixelDescription) -> None:
    if description.keyword in FLOATS or max(description.bits_stored, description.bits_allocated) > _MOST_J2K_BITS:
        raise CannotDecode("JPEG 2000 takes integers of up to 16 bits.")


def _keeps_ybr(description: PixelDescription) -> bool:
    """To turn these samples into RGB and back would lose something (PS3.5 §8.2.4 allows YBR_FULL)."""
    return description.photometric in _YBR and description.transfer_syntax in _UNCOMPRESSED | {RLE}


def _samples(description: PixelDescription, frame: bytes) -> tuple[NDArray[Any], str]:
    """Samples by pixel, and what they are: one of DecodedFrame's words, or YBR_FULL."""
    photometric = description.photometric
    if photometric not in ({1: _ONE_SAMPLE, 3: _YBR | _RGB}.get(description.samples, ())):
        raise CannotDecode(f"{description.samples} samples of that PhotometricInterpretation are not supported.")
    if description.transfer_syntax in _UNCOMPRESSED:
        samples, bits = _native_samples(description, frame), None
    else:
        decoded = _decoded(description, frame)
        samples, bits = decoded.samples, decoded.precision
        photometric = "RGB" if decoded.rgb else photometric
    if samples.dtype.kind != "f":
        samples = stored_bits(
            samples,
            max(1, description.bits_allocated // 8),
            bits or description.bits_stored,
            shift=0 if bits else description.high_bit + 1 - description.bits_stored,
            signed=description.signed and description.bits_allocated > 1,
        )
    if photometric in _RGB:
        photometric = "RGB"
    return samples, "YBR_FULL" if photometric in _YBR else photometric


def _in_rgb(samples: NDArray[Any], photometric: str) -> tuple[NDArray[Any], str]:
    if photometric not in _YBR:
        return samples, photometric
    if samples.dtype != "u1":
        raise CannotDecode("YBR_FULL is supported with unsigned samples of 8 bits.")
    return ybr_to_rgb(samples), "RGB"


def _decoded(description: PixelDescription, frame: bytes) -> Decoded:
    codec = CODECS.get(description.transfer_syntax)
    if codec is None:
        raise CannotDecode(f"There is no codec for transfer syntax {description.transfer_syntax}.")
    if description.keyword in FLOATS:
        raise CannotDecode("Samples of floating point are not compressed in that transfer syntax.")
    expected = Expected(
        rows=description.rows,
        columns=description.columns,
        samples=description.samples,
        bits_allocated=description.bits_allocated,
        ybr=description.photometric in _YBR,
    )
    try:
        return codec.decode(frame, expected)
    except UnusableCodestream as error:
        raise CannotDecode(str(error)) from error
    except ImportError as error:
        raise CannotDecode(f"The codec for {codec.name} is not installed.") from error
    except Exception as error:
        raise CannotDecode(f"The frame is damaged: {codec.name} cannot decode it.") from error


def _native_bytes(description: PixelDescription, frame: bytes) -> bytes:
    """A frame that is not compressed, in little endian."""
    size_bytes = wanted = description.native_frame_bytes
    unit = description.bits_allocated // 8
    if not description.little and unit == 1 and description.vr == "OW":
        unit = 2  # bytes stand in words (PS3.5 §7.3)
        wanted += wanted % 2
        if wanted > size_bytes and description.frames > 1:
            raise CannotDecode("Words of big endian do not hold whole frames of an odd length.")
    if description.transfer_syntax == _DEFLATED_FRAMES:
        frame = _inflated(frame, wanted)
    if len(frame) < wanted:
        raise CannotDecode(f"The frame has {len(frame)} bytes, not the {wanted} of its image.")
    if description.little or unit <= 1:
        return frame[:size_bytes]
    if unit not in (2, 4, 8):
        raise CannotDecode(f"Samples of {description.bits_allocated} bits are not supported.")
    return swapped(frame[:wanted], unit)[:size_bytes]


def _inflated(frame: bytes, size_bytes: int) -> bytes:
    try:
        return inflate(frame, size_bytes)
    except UnusableCodestream as error:
        raise CannotDecode(str(error)) from error


def _native_samples(description: PixelDescription, frame: bytes) -> NDArray[Any]:
    import numpy as np

    content = _native_bytes(description, frame)
    rows, columns, count = description.rows, description.columns, description.samples
    if description.bits_allocated == 1:
        samples: NDArray[Any] = unpacked(content, rows * columns * count)
    elif description.bits_allocated in (8, 16, 32, 64):
        kind = "f" if description.keyword in FLOATS else "u"
        samples = np.frombuffer(content, f"<{kind}{description.bits_allocated // 8}")
    else:
        raise CannotDecode(f"Samples of {description.bits_allocated} bits are not supported.")
    if description.photometric == "YBR_FULL_422":
        if len(samples) % 4:
            raise CannotDecode("YBR_FULL_422 needs an even number of pixels.")
        return by_pixel(with_full_chroma(samples), rows, columns, count, planar=0)
    return by_pixel(samples, rows, columns, count, planar=description.planar)


def _little_bytes(samples: NDArray[Any]) -> bytes:
    return samples.astype(samples.dtype.newbyteorder("<"), copy=False).tobytes()
