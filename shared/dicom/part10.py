"""DICOM Part 10 files: the scanner that reads them while they arrive, and the data set that comes out of it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from shared.dicom.elements import (
    ITEM,
    PIXEL_KEYWORDS,
    SEQUENCE_DELIMITER,
    SPECIFIC_CHARACTER_SET,
    UNDEFINED_LENGTH,
    is_bulk,
    settled_vr,
)
from shared.dicom.framing import MAX_INFLATED_BYTES, MAX_KEPT_BYTES, Header
from shared.dicom.framing import NotDicom as NotDicom  # its name belongs to the scanner's promise
from shared.dicom.nested import ENCAPSULATING_VRS, Item, SequenceReader
from shared.dicom.stream import Part10Reader
from shared.dicom.text import DEFAULT_ENCODINGS, python_encodings

_EXTENDED_OFFSETS, _EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
_EXTENDED_TABLES = frozenset({_EXTENDED_OFFSETS, _EXTENDED_LENGTHS})

# Half a million frames by 64-bit offsets. Frames of objects with more are found without their tables.
_MAX_TABLE_BYTES = 4 * 1024 * 1024

# What one fragment counts among the kept bytes: what is noted of it, and what is made of that.
_FRAGMENT_BYTES = 16

_IMAGE_END = b"\xff\xd9"
"""JPEG's and JPEG-LS's end of image, JPEG 2000's end of codestream. Writers leave padding behind it."""
_END_BYTES = 10


@dataclass(frozen=True, slots=True)
class PixelLocation:
    """Where the pixel data of a file lies.

    Attributes:
        keyword: PixelData, FloatPixelData or DoubleFloatPixelData.
        vr: as the file has it; OW in implicit VR (PS3.5 §A.1).
        offset_bytes: of the value in the file, of its first item when encapsulated; None in a deflated file.
        length_bytes: of the value; when encapsulated with all items and without the sequence delimiter.
        encapsulated: whether the value is fragments (PS3.5 §A.4).
        fragment_lengths: of each item's value in bytes, the first being the basic offset table; empty when native.
        fragment_ends: of each fragment after that table, 1 when the end of an image is at its end (see `_IMAGE_END`).
        basic_offsets: content of the basic offset table; empty when it is not worth reading.
        extended_offsets: ExtendedOffsetTable (PS3.3 §C.7.6.3.1.8), empty when there is none.
        extended_lengths: ExtendedOffsetTableLengths, empty when there is none.
    """

    keyword: str
    vr: str
    offset_bytes: int | None
    length_bytes: int
    encapsulated: bool
    fragment_lengths: array[int]
    fragment_ends: bytes = b""
    basic_offsets: bytes = b""
    extended_offsets: bytes = b""
    extended_lengths: bytes = b""


class KeptElement(NamedTuple):
    """A top-level element in the bytes that were kept; `undefined` when its value ends with a delimiter."""

    tag: int
    vr: str | None
    start: int
    stop: int
    undefined: bool


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """What the scanner knows of a file that it has read to its end.

    Attributes:
        transfer_syntax: UID; guessed from the first element when the file names none.
        size_bytes: of the whole file.
        pixels: where the pixel data is; None when there is none.
        implicit: whether the data set really is in implicit VR.
        little: byte order of the data set.
        meta: file meta information as (tag, VR, value).
        kept: values of the top-level elements that are not bulk.
        elements: where each of them lies in `kept`.
    """

    transfer_syntax: str
    size_bytes: int
    pixels: PixelLocation | None
    implicit: bool
    little: bool
    meta: tuple[tuple[int, str, bytes], ...]
    kept: bytes
    elements: tuple[KeptElement, ...]


class Part10Scanner(Part10Reader):
    """Reads a Part 10 file in chunks of any size and keeps all but its bulk values.

    Args:
        max_kept_bytes: of attributes; a file with more is refused.
        max_inflated_bytes: of a deflated data set, bulk values included.
    """

    def __init__(self, max_kept_bytes: int = MAX_KEPT_BYTES, max_inflated_bytes: int = MAX_INFLATED_BYTES) -> None:
        super().__init__(max_kept_bytes, max_inflated_bytes)
        self._kept = bytearray()
        self._elements: list[KeptElement] = []
        self._pixels: PixelLocation | None = None
        self._tables = {tag: bytearray() for tag in _EXTENDED_TABLES}

    def feed(self, chunk: bytes | bytearray | memoryview) -> None:
        """Read on.

        Raises:
            NotDicom: as soon as that is certain.
        """
        self._take_in(chunk)

    def finish(self) -> ScannedFile:
        """What the file is, after its last chunk.

        Raises:
            NotDicom: it is not a DICOM file or it is not complete.
        """
        self._end()
        return ScannedFile(
            transfer_syntax=self.transfer_syntax,
            size_bytes=self._size_bytes,
            pixels=self._pixels_with_tables(),
            implicit=self._implicit,
            little=self._little,
            meta=tuple(self.meta),
            kept=bytes(self._kept),
            elements=tuple(self._elements),
        )

    def _take_at_once(self, header: Header) -> bool:
        tag, vr, size_bytes, length = header
        start = self._at + size_bytes
        stop = start + length
        if stop > len(self._buffer) or length == UNDEFINED_LENGTH or is_bulk(tag, vr, length):
            return False
        self._charge(length)
        kept_start = len(self._kept)
        self._kept += self._buffer[start:stop]
        self._elements.append(KeptElement(tag, vr, kept_start, kept_start + length, False))
        self._at = stop
        return True

    def _element(self, header: Header) -> Iterator[None]:
        tag, vr, size_bytes, length = header
        self._at += size_bytes
        if length == UNDEFINED_LENGTH:
            yield from self._undefined(tag, vr)
        elif tag in _EXTENDED_TABLES and length <= _MAX_TABLE_BYTES:
            self._tables[tag].clear()
            yield from self._move(length, self._tables[tag])
        elif is_bulk(tag, vr, length):
            if tag in PIXEL_KEYWORDS:
                self._pixels = self._native_pixels(tag, vr or settled_vr(tag, vr, length), length)
            yield from self._move(length, None)
        else:
            yield from self._keep(tag, vr, length)

    def _keep(self, tag: int, vr: str | None, length: int) -> Iterator[None]:
        start = len(self._kept)
        yield from self._move(length, self._kept)
        self._elements.append(KeptElement(tag, vr, start, start + length, False))

    def _undefined(self, tag: int, vr: str | None) -> Iterator[None]:
        if settled_vr(tag, vr, UNDEFINED_LENGTH) not in ENCAPSULATING_VRS and tag not in PIXEL_KEYWORDS:
            start = len(self._kept)
            yield from self._sequence(self._kept)
            self._elements.append(KeptElement(tag, "SQ", start, len(self._kept), True))
            return
        lengths, ends, offsets = array("I"), bytearray(), bytearray()
        offset_bytes = self._position()
        yield from self._fragments(lengths, ends, offsets)
        if tag in PIXEL_KEYWORDS:
            length_bytes = sum(lengths) + 8 * len(lengths)
            self._pixels = PixelLocation(
                PIXEL_KEYWORDS[tag], vr or "OB", offset_bytes, length_bytes, True, lengths, bytes(ends), bytes(offsets)
            )

    def _fragments(self, lengths: array[int], ends: bytearray, offsets: bytearray) -> Iterator[None]:
        """Pass over an encapsulated value: items of defined length up to the sequence delimiter (PS3.5 §A.4).

        Args:
            lengths: takes the length of each item.
            ends: takes 1 for each fragment that ends an image, 0 for others.
            offsets: takes the basic offset table, the first item.
        """
        while True:
            yield from self._need(8)
            tag, length = self._item_header()
            self._at += 8
            if tag == SEQUENCE_DELIMITER:
                return
            if tag != ITEM or length == UNDEFINED_LENGTH:
                raise NotDicom("The fragments of an encapsulated value are broken.")
            self._charge(_FRAGMENT_BYTES)
            lengths.append(length)
            if len(lengths) == 1:
                yield from self._move(length, offsets if length <= _MAX_TABLE_BYTES else None)
                continue
            end_bytes = min(length, _END_BYTES)
            if len(self._buffer) - self._at < length:
                yield from self._move(length - end_bytes, None)
                yield from self._need(end_bytes)
                length = end_bytes
            self._at += length
            ends.append(_IMAGE_END in self._buffer[self._at - end_bytes : self._at])

    def _pixels_with_tables(self) -> PixelLocation | None:
        if self._pixels is None or not self._pixels.encapsulated:
            return self._pixels
        offsets, lengths = (bytes(self._tables[tag]) for tag in (_EXTENDED_OFFSETS, _EXTENDED_LENGTHS))
        return replace(self._pixels, extended_offsets=offsets, extended_lengths=lengths)

    def _native_pixels(self, tag: int, vr: str, length: int) -> PixelLocation:
        native_vr = vr if len(vr) == 2 else "OW"
        return PixelLocation(PIXEL_KEYWORDS[tag], native_vr, self._position(), length, False, array("I"))

    def _position(self) -> int | None:
        """Offset in the file, None where the file is compressed."""
        return self._base + self._at if self._inflater is None else None


def read_dataset(scanned: ScannedFile) -> Dataset:
    """The data set of a scanned file without its top-level bulk values and file meta information.

    Values stay raw until somebody asks for them; sequences are read through. This is work for the processor:
    call it in a thread where other requests wait.

    Raises:
        NotDicom: the items of a sequence are broken.
    """
    reader = SequenceReader(scanned.kept, little=scanned.little)
    encodings: tuple[str, ...] = DEFAULT_ENCODINGS
    for element in scanned.elements:
        if element.tag == SPECIFIC_CHARACTER_SET:
            encodings = python_encodings(scanned.kept[element.start : element.stop])
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    for element in scanned.elements:
        tag = BaseTag(element.tag)
        if element.undefined or settled_vr(tag, element.vr, element.stop - element.start) == "SQ":
            items = reader.items(element.start, element.stop, implicit=scanned.implicit)
            elements[tag] = _sequence(tag, items, encodings, little=scanned.little, undefined=element.undefined)
        else:
            value = scanned.kept[element.start : element.stop]
            elements[tag] = RawDataElement(tag, element.vr, len(value), value, 0, element.vr is None, scanned.little)
    dataset = Dataset(elements)
    dataset.set_original_encoding(scanned.implicit, scanned.little, list(encodings))
    return dataset


def _sequence(
    tag: BaseTag, items: list[Item], encodings: tuple[str, ...], *, little: bool, undefined: bool = False
) -> DataElement:
    datasets = Sequence([item_dataset(item, encodings, little=little) for item in items])
    return DataElement(tag, "SQ", datasets, is_undefined_length=undefined, already_converted=True)


def item_dataset(item: Item, outer_encodings: tuple[str, ...], *, little: bool) -> Dataset:
    """An item of a sequence as a data set; the encodings are those of the data set around it."""
    encodings = outer_encodings
    for node in item.elements:
        if node.tag == SPECIFIC_CHARACTER_SET:
            encodings = python_encodings(node.value)
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    for node in item.elements:
        tag = BaseTag(node.tag)
        if node.items is not None:
            elements[tag] = _sequence(tag, node.items, encodings, little=little)
        else:
            elements[tag] = RawDataElement(tag, node.vr, len(node.value), node.value, 0, node.vr is None, little)
    dataset = Dataset(elements, parent_encoding=list(outer_encodings))
    dataset.set_original_encoding(item.implicit, little, list(encodings))
    return dataset
