"""A file in another transfer syntax, frame by frame: everything but its pixels is copied byte for byte.

What is copied is not interpreted, so private elements, values that break their VR's rules and sequences of any form
come through as they were. Data sets that are not in explicit VR little endian are brought into it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from struct import pack

from shared.dicom.elements import EXPLICIT_LITTLE, LONG_VRS, PIXEL_KEYWORDS, UNDEFINED_LENGTH
from shared.dicom.framing import NotDicom, element_header
from shared.dicom.headers import HeaderReader, Span, read_header
from shared.dicom.headers import parse_header as parse_header  # its name belongs to what recoding promises
from shared.dicom.pixels import (
    JPEG_2000_LOSSLESS,
    CannotDecode,
    OutputAttributes,
    PixelDescription,
    output_attributes,
    to_explicit_little,
    to_jpeg2000,
)
from shared.dicom.transcoding import ExplicitLittleWriter, file_meta

TARGETS = frozenset({EXPLICIT_LITTLE, JPEG_2000_LOSSLESS})

_PHOTOMETRIC_INTERPRETATION = 0x00280004
_PLANAR_CONFIGURATION = 0x00280006
_BITS_ALLOCATED, _BITS_STORED, _HIGH_BIT = 0x00280100, 0x00280101, 0x00280102
_PIXEL_GROUP_LENGTH, _PIXEL_DATA = 0x7FE00000, 0x7FE00010
_IMAGE_GROUP_LENGTH = 0x00280000

# Extended offset table, its lengths, and the length of the whole value: they speak of the fragments that were.
_OF_FRAGMENTS = frozenset({0x7FE00001, 0x7FE00002, 0x7FE00003})
# PS3.5 §7.2: group lengths are retired; one of a group that changes would be wrong.
_DROPPED = _OF_FRAGMENTS | {_PIXEL_GROUP_LENGTH}

_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_MOST_VALUE_BYTES = 0xFFFFFFFE


class Recoder:
    """One file in another transfer syntax: `head`, then each frame in order, then `tail`.

    Args:
        header: the file up to and with the header of its pixel data element.
        trailer: the file after its pixel data.
        description: of its pixel data.
        target_syntax: UID, Explicit VR Little Endian or JPEG 2000 Image Compression (Lossless Only).

    Attributes:
        length_bytes: of the new file, None where compression decides it.

    Raises:
        CannotDecode: the file cannot be brought into that syntax.
    """

    def __init__(self, header: bytes, trailer: bytes, description: PixelDescription, target_syntax: str) -> None:
        if target_syntax not in TARGETS:
            raise CannotDecode("Files are not brought into that transfer syntax.")
        self._description = description
        self._encapsulated = target_syntax != EXPLICIT_LITTLE
        if self._encapsulated and description.keyword != "PixelData":
            raise CannotDecode("Pixel data of floating point numbers cannot be compressed.")
        attributes = output_attributes(description, target_syntax)
        self._frames_left = description.frames
        self._native = _NativeValue(description, attributes)
        if not self._encapsulated and self._native.size_bytes > _MOST_VALUE_BYTES:
            raise CannotDecode("The pixel data would be longer than a file can have it.")
        elements, self._trailer, meta = _explicit_little(header, trailer, description.transfer_syntax)
        data_set = _edited(elements, _changed(description, attributes))
        self._head = file_meta(*meta, target_syntax) + data_set + self._pixel_header(attributes)

    @property
    def length_bytes(self) -> int | None:
        """Bytes of the new file."""
        if self._encapsulated:
            return None
        return len(self._head) + self._native.size_bytes + len(self._trailer)

    def head(self) -> bytes:
        """The new file up to its first frame."""
        return self._head

    def frame(self, stored: bytes) -> bytes:
        """The next frame as it stands in the new file.

        Args:
            stored: as it stands in the old one, without item headers.

        Raises:
            CannotDecode: it cannot be decoded or encoded, or there are more frames than the file says.
        """
        if not self._frames_left:
            raise CannotDecode("There are more frames than NumberOfFrames says.")
        self._frames_left -= 1
        if not self._encapsulated:
            return self._native.add(to_explicit_little(self._description, stored))
        codestream = to_jpeg2000(self._description, stored)
        # PS3.5 §A.4: fragments have an even length.
        return _ITEM + pack("<L", len(codestream) + len(codestream) % 2) + codestream + b"\0" * (len(codestream) % 2)

    def tail(self) -> bytes:
        """The new file after its last frame.

        Raises:
            CannotDecode: frames are missing.
        """
        if self._frames_left:
            raise CannotDecode("There are fewer frames than NumberOfFrames says.")
        return (_SEQUENCE_END if self._encapsulated else self._native.end()) + self._trailer

    def _pixel_header(self, attributes: OutputAttributes) -> bytes:
        if self._encapsulated:
            # An empty basic offset table: where frames begin is not known before they are compressed (PS3.5 §A.4).
            return element_header(_PIXEL_DATA, "OB", UNDEFINED_LENGTH) + _ITEM + bytes(4)
        tag = next(tag for tag, keyword in PIXEL_KEYWORDS.items() if keyword == self._description.keyword)
        return element_header(tag, attributes.vr, self._native.size_bytes)


class _NativeValue:
    """Native pixel data, put together from frames: those of one bit a sample may end within a byte (PS3.5 §8.1.1)."""

    def __init__(self, description: PixelDescription, attributes: OutputAttributes) -> None:
        shape = replace(description, photometric=attributes.photometric, bits_allocated=attributes.bits_allocated)
        self._frame_bytes = shape.native_frame_bytes
        self._odd_bits = 0
        if attributes.bits_allocated == 1:
            self._odd_bits = description.rows * description.columns * description.samples % 8
        frame_bits = self._frame_bytes * 8 - (8 - self._odd_bits if self._odd_bits else 0)
        self._value_bytes = -(-frame_bits * description.frames // 8)
        self.size_bytes = self._value_bytes + self._value_bytes % 2
        self._rest, self._rest_bits = 0, 0

    def add(self, frame: bytes) -> bytes:
        """The whole bytes there are once this frame follows those before it."""
        if len(frame) != self._frame_bytes:
            raise CannotDecode("A frame has not as many pixels as Rows and Columns say.")
        if not self._odd_bits:
            return frame
        frame_bits = (len(frame) - 1) * 8 + self._odd_bits
        # The first pixel of a byte is its least significant bit, so a frame is one number.
        bits = int.from_bytes(frame, "little") & ((1 << frame_bits) - 1)
        bits, count = bits << self._rest_bits | self._rest, self._rest_bits + frame_bits
        whole = count // 8
        self._rest, self._rest_bits = bits >> (whole * 8), count % 8
        return (bits & ((1 << (whole * 8)) - 1)).to_bytes(whole, "little")

    def end(self) -> bytes:
        """The bits of the last byte, and the padding to an even length."""
        return (bytes([self._rest]) if self._rest_bits else b"") + b"\0" * (self._value_bytes % 2)


_Meta = tuple[bytes, list[tuple[int, str, bytes]]]


def _explicit_little(header: bytes, trailer: bytes, syntax: str) -> tuple[list[tuple[int, bytes]], bytes, _Meta]:
    """The elements before the pixel data by tag, those after it, and preamble and file meta information."""
    reader = read_header(header)
    pixels = _pixels_of(reader)
    if not reader.implicit and reader.little:
        return _cut(header, reader.spans), trailer, (reader.preamble, reader.meta)
    writer = ExplicitLittleWriter(syntax)
    try:
        explicit = writer.feed(header[: pixels.start] + _empty_pixel_data(header, pixels) + trailer) + writer.finish()
    except NotDicom as error:
        raise CannotDecode(str(error)) from error
    rewritten = read_header(explicit)
    after = _pixels_of(rewritten).stop
    before = [span for span in rewritten.spans if span.start < after]
    return _cut(explicit, before), explicit[after:], (reader.preamble, reader.meta)


def _pixels_of(reader: HeaderReader) -> Span:
    if reader.pixels is None:
        raise CannotDecode("There is no pixel data in the file.")
    return reader.pixels


def _cut(data: bytes, spans: list[Span]) -> list[tuple[int, bytes]]:
    return [(span.tag, data[span.start : span.stop]) for span in spans]


def _empty_pixel_data(header: bytes, pixels: Span) -> bytes:
    """The pixel data element in the file's own encoding, without a value."""
    length_bytes = 4 if pixels.vr is None or pixels.vr in LONG_VRS else 2
    return header[pixels.start : pixels.value_start - length_bytes] + bytes(length_bytes)


def _edited(elements: list[tuple[int, bytes]], wanted: Mapping[int, bytes]) -> bytes:
    """The elements with the wanted ones in the places of the old ones, or where they belong when there are none."""
    kept = [(tag, element) for tag, element in elements if tag not in _DROPPED]
    edited = [(tag, wanted.get(tag, element)) for tag, element in kept]
    for tag in wanted.keys() - {tag for tag, _ in kept}:
        place = next((place for place, (other, _) in enumerate(edited) if other > tag), len(edited))
        edited.insert(place, (tag, wanted[tag]))
    if _image_bytes(edited) != _image_bytes(kept):
        edited = [(tag, element) for tag, element in edited if tag != _IMAGE_GROUP_LENGTH]
    return b"".join(element for _, element in edited)


def _image_bytes(elements: list[tuple[int, bytes]]) -> int:
    return sum(len(element) for tag, element in elements if tag >> 16 == _IMAGE_GROUP_LENGTH >> 16)


def _changed(description: PixelDescription, attributes: OutputAttributes) -> dict[int, bytes]:
    """The elements of the Image Pixel module that the new encoding changes (PS3.3 §C.7.6.3)."""
    changed = {}
    if attributes.photometric != description.photometric:
        photometric = attributes.photometric.encode("ascii")
        padded = photometric + b" " * (len(photometric) % 2)
        changed[_PHOTOMETRIC_INTERPRETATION] = element_header(_PHOTOMETRIC_INTERPRETATION, "CS", len(padded)) + padded
    if attributes.planar is not None and description.samples > 1:
        changed[_PLANAR_CONFIGURATION] = _number(_PLANAR_CONFIGURATION, attributes.planar)
    for tag, after, before in (
        (_BITS_ALLOCATED, attributes.bits_allocated, description.bits_allocated),
        (_BITS_STORED, attributes.bits_stored, description.bits_stored),
        (_HIGH_BIT, attributes.high_bit, description.high_bit),
    ):
        if after != before:
            changed[tag] = _number(tag, after)
    return changed


def _number(tag: int, value: int) -> bytes:
    return element_header(tag, "US", 2) + pack("<H", value)
