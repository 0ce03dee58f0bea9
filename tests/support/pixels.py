"""Files with pixel data of any kind, put together from their bytes, and a reader of frames that needs no storage."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import pack

from shared.dicom.framecut import ItemCutter, NativeCutter, native_place
from shared.dicom.frames import frame_table
from shared.dicom.part10 import Part10Scanner, ScannedFile

JPEG = "1.2.840.10008.1.2.4.50"
RLE = "1.2.840.10008.1.2.5"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

END = b"\xff\xd9"
_LONG = frozenset({"OB", "OW", "OF", "OD", "OV", "UN"})
_CT = b"1.2.840.10008.5.1.4.1.1.2\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFile:
    """What a file is made of.

    Attributes:
        syntax: transfer syntax.
        frames: value of NumberOfFrames; None leaves it out.
        geometry: Rows, Columns, SamplesPerPixel, BitsAllocated.
        photometric: PhotometricInterpretation.
        keyword: the pixel data element.
        vr: of it.
        value: of it when it is native.
        fragments: of it when it is encapsulated.
        basic: basic offset table.
        extended: offsets and lengths of the extended offset table.
        trailer: bytes behind the pixel data.
        uids: study, series and instance.
    """

    syntax: str = EXPLICIT
    frames: str | None = None
    geometry: tuple[int, int, int, int] = (4, 4, 1, 8)
    photometric: str = "MONOCHROME2"
    keyword: str = "PixelData"
    vr: str = "OW"
    value: bytes = b""
    fragments: Sequence[bytes] | None = None
    basic: Sequence[int] = ()
    extended: tuple[Sequence[int], Sequence[int]] | None = None
    trailer: bytes = b""
    uids: tuple[str, str, str] = ("1.2.3", "1.2.3.4", "1.2.3.4.5")


_TAGS = {"FloatPixelData": 0x7FE00008, "DoubleFloatPixelData": 0x7FE00009, "PixelData": 0x7FE00010}


@dataclass(slots=True)
class _Writer:
    implicit: bool = False
    order: str = "<"
    out: bytearray = field(default_factory=bytearray)

    def add(self, tag: int, vr: str, value: bytes, length: int | None = None) -> None:
        self.out += self.header(tag, vr, len(value) if length is None else length) + value

    def header(self, tag: int, vr: str, length: int) -> bytes:
        group, element = tag >> 16, tag & 0xFFFF
        if self.implicit:
            return pack(f"{self.order}HHL", group, element, length)
        if vr in _LONG:
            return pack(f"{self.order}HH2sHL", group, element, vr.encode(), 0, length)
        return pack(f"{self.order}HH2sH", group, element, vr.encode(), length)

    def text(self, tag: int, vr: str, value: str) -> None:
        padded = value.encode() + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
        self.add(tag, vr, padded)

    def number(self, tag: int, value: int) -> None:
        self.add(tag, "US", pack(f"{self.order}H", value))


def pixel_file(**options: object) -> bytes:
    """A Part 10 file; the options are the fields of `PixelFile`."""
    return file_of(PixelFile(**options))  # type: ignore[arg-type]  # the fields say their types


def file_of(wanted: PixelFile) -> bytes:
    """A Part 10 file with all that a store asks for."""
    meta, body = _Writer(), _Writer(wanted.syntax == IMPLICIT, ">" if wanted.syntax == BIG else "<")
    meta.add(0x00020002, "UI", _CT)
    meta.text(0x00020003, "UI", wanted.uids[2])
    meta.text(0x00020010, "UI", wanted.syntax)
    _attributes(body, wanted)
    _pixels(body, wanted)
    content = bytes(body.out) + wanted.trailer
    if wanted.syntax == DEFLATED:
        deflater = zlib.compressobj(wbits=-15)
        content = deflater.compress(content) + deflater.flush()
    group_length = b"\x02\x00\x00\x00UL\x04\x00" + pack("<L", len(meta.out))
    return bytes(128) + b"DICM" + group_length + bytes(meta.out) + content


def _attributes(body: _Writer, wanted: PixelFile) -> None:
    body.add(0x00080016, "UI", _CT)
    body.text(0x00080018, "UI", wanted.uids[2])
    body.text(0x00080060, "CS", "OT")
    body.text(0x00100020, "LO", "P-1")
    body.text(0x0020000D, "UI", wanted.uids[0])
    body.text(0x0020000E, "UI", wanted.uids[1])
    rows, columns, samples, allocated = wanted.geometry
    body.number(0x00280002, samples)
    body.text(0x00280004, "CS", wanted.photometric)
    if wanted.frames is not None:
        body.text(0x00280008, "IS", wanted.frames)
    for tag, value in ((0x00280010, rows), (0x00280011, columns), (0x00280100, allocated)):
        body.number(tag, value)
    for tag, value in ((0x00280101, allocated), (0x00280102, max(allocated, 1) - 1), (0x00280103, 0)):
        body.number(tag, value)


def _pixels(body: _Writer, wanted: PixelFile) -> None:
    if wanted.extended is not None:
        for tag, numbers in zip((0x7FE00001, 0x7FE00002), wanted.extended, strict=True):
            body.add(tag, "OV", pack(f"{body.order}{len(numbers)}Q", *numbers))
    tag = _TAGS[wanted.keyword]
    if wanted.fragments is None:
        body.add(tag, wanted.vr, wanted.value)
        return
    body.add(tag, "OB", b"", 0xFFFFFFFF)
    for content in (pack(f"{body.order}{len(wanted.basic)}L", *wanted.basic), *wanted.fragments):
        body.out += pack(f"{body.order}HHL", 0xFFFE, 0xE000, len(content)) + content
    body.out += pack(f"{body.order}HHL", 0xFFFE, 0xE0DD, 0)


def scan(data: bytes, chunk_bytes: int = 1 << 20) -> ScannedFile:
    """What the scanner makes of a file that comes in chunks."""
    scanner = Part10Scanner()
    for at in range(0, len(data), chunk_bytes):
        scanner.feed(data[at : at + chunk_bytes])
    return scanner.finish()


def frames_of(data: bytes, chunk_bytes: int = 1 << 20) -> list[bytes] | None:
    """All frames of a file that is not deflated; None when it has none that can be told apart."""
    scanned = scan(data, chunk_bytes)
    table = frame_table(scanned)
    if table is None or scanned.pixels is None or scanned.pixels.offset_bytes is None:
        return None
    offset = scanned.pixels.offset_bytes
    value = data[offset : offset + scanned.pixels.length_bytes]
    frames = []
    for frame in range(1, table.count + 1):
        if scanned.pixels.encapsulated:
            piece = value[table.starts[frame - 1] : table.starts[frame]]
            cutter: ItemCutter | NativeCutter = ItemCutter(little=scanned.little)
        else:
            words = not scanned.little and scanned.pixels.vr == "OW"
            place = native_place(table.frame_bits, frame, words=words)
            piece = value[place.first_byte : place.first_byte + place.size_bytes]
            cutter = NativeCutter(place)
        cut = [cutter.feed(piece[at : at + chunk_bytes]) for at in range(0, len(piece), chunk_bytes)]
        frames.append(b"".join([*cut, cutter.finish()]))
    return frames
