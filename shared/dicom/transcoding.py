"""Uncompressed transfer syntaxes to Explicit VR Little Endian, while the bytes pass through (PS3.5 §7, annex A)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from struct import pack

from shared.dicom.elements import (
    BITS_ALLOCATED,
    DEFLATED_EXPLICIT_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    LONG_VRS,
    LUT_DATA,
    LUT_DESCRIPTOR,
    PIXEL_KEYWORDS,
    PIXEL_REPRESENTATION,
    UNDEFINED_LENGTH,
    WORD_BYTES,
    is_bulk,
    settled_vr,
)
from shared.dicom.framing import MAX_INFLATED_BYTES, MAX_KEPT_BYTES, Header, NotDicom, element_header
from shared.dicom.nested import ENCAPSULATING_VRS, Item, Node, SequenceReader
from shared.dicom.stream import Part10Reader

_REWRITABLE = frozenset({IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_EXPLICIT_LITTLE})
_ARRAY_CODES = {2: "H", 4: "I", 8: "Q"}
_PIXEL_DATA = 0x7FE00010
_TRANSFER_SYNTAX_UID = 0x00020010
_META_GROUP_LENGTH = 0x00020000

# Bulk values up to this size wait with the others until PixelRepresentation is known; longer ones do not.
_SHORT_BULK_BYTES = 64 * 1024

_ITEM_START = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
_ITEM_END = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


def can_rewrite(source_syntax: str) -> bool:
    """True for the syntaxes that `ExplicitLittleWriter` reads."""
    return source_syntax in _REWRITABLE


@dataclass(frozen=True, slots=True)
class _Context:
    """What other elements say about the VR and the word size of one; None where nothing says it."""

    pixel_representation: int | None = None
    bits_allocated: int | None = None
    lut_entries: int | None = None

    def learn(self, tag: int, value: bytes, *, little: bool) -> _Context:
        if tag not in _TELLING or len(value) < 2:
            return self
        number = int.from_bytes(value[:2], "little" if little else "big")
        if tag == PIXEL_REPRESENTATION:
            return replace(self, pixel_representation=number)
        if tag == BITS_ALLOCATED:
            return replace(self, bits_allocated=number)
        return replace(self, lut_entries=number)


_TELLING = frozenset({PIXEL_REPRESENTATION, BITS_ALLOCATED, LUT_DESCRIPTOR})


def file_meta(preamble: bytes, meta: Iterable[tuple[int, str, bytes]], transfer_syntax: str) -> bytes:
    """The begin of a file (PS3.10 §7.1) as another one had it, but for its transfer syntax.

    Args:
        preamble: its 128 bytes.
        meta: elements of the file meta information as (tag, VR, value).
        transfer_syntax: UID of the new one.
    """
    elements = {tag: (vr, value) for tag, vr, value in meta}
    elements.pop(_META_GROUP_LENGTH, None)
    uid = transfer_syntax.encode()
    elements[_TRANSFER_SYNTAX_UID] = ("UI", uid + b"\0" * (len(uid) % 2))
    body = bytearray()
    for tag, (vr, value) in sorted(elements.items()):
        body += element_header(tag, vr, len(value)) + value
    return preamble + b"DICM" + element_header(_META_GROUP_LENGTH, "UL", 4) + pack("<L", len(body)) + bytes(body)


class ExplicitLittleWriter(Part10Reader):
    """Re-encodes a Part 10 file that is fed in chunks; what it holds does not grow with the pixel data.

    A deflated chunk can grow a thousandfold: feed one of those in pieces of a few KiB.

    Args:
        source_syntax: of the file, for files that do not name it themselves.
        max_kept_bytes: of one attribute that is not bulk, and of those before PixelRepresentation.
        max_inflated_bytes: of a deflated data set.
    """

    def __init__(
        self,
        source_syntax: str,
        max_kept_bytes: int = MAX_KEPT_BYTES,
        max_inflated_bytes: int = MAX_INFLATED_BYTES,
    ) -> None:
        super().__init__(max_kept_bytes, max_inflated_bytes)
        self._source_syntax = source_syntax
        self._max_kept_bytes = max_kept_bytes
        self._out = bytearray()
        self._waiting: list[Node] = []
        self._context = _Context()

    def feed(self, chunk: bytes | bytearray | memoryview) -> bytes:
        """The next bytes of the new file, as far as the chunk allows.

        Raises:
            NotDicom: the file cannot be read or re-encoded.
        """
        self._take_in(chunk)
        return self._drain()

    def finish(self) -> bytes:
        """The last bytes of the new file.

        Raises:
            NotDicom: the file is not complete.
        """
        self._end()
        return self._drain()

    def _drain(self) -> bytes:
        done, self._out = bytes(self._out), bytearray()
        return done

    def _declared_syntax(self) -> str:
        return super()._declared_syntax() or self._source_syntax

    def _begin(self) -> Iterator[None]:
        self._out += file_meta(self.preamble, self.meta, EXPLICIT_LITTLE)
        return iter(())

    def _element(self, header: Header) -> Iterator[None]:
        tag, vr, size_bytes, length = header
        self._at += size_bytes
        if not self._implicit or tag > PIXEL_REPRESENTATION:
            self._write_waiting()
        if length == UNDEFINED_LENGTH:
            yield from self._undefined(tag, vr)
        elif is_bulk(tag, vr, length) and (length > _SHORT_BULK_BYTES or tag in PIXEL_KEYWORDS):
            self._write_waiting()
            yield from self._pass_bulk(tag, vr, length)
        else:
            value = bytearray()
            yield from self._move(length, value)
            self._add(self._node(tag, vr, bytes(value)))

    def _undefined(self, tag: int, vr: str | None) -> Iterator[None]:
        if tag in PIXEL_KEYWORDS or settled_vr(tag, vr, UNDEFINED_LENGTH) in ENCAPSULATING_VRS:
            raise NotDicom("The file has encapsulated pixel data in a transfer syntax that has none.")
        value = bytearray()
        yield from self._sequence(value)
        self._add(Node(tag, "SQ", b"", self._items(bytes(value))))

    def _node(self, tag: int, vr: str | None, value: bytes) -> Node:
        if settled_vr(tag, vr, len(value)) == "SQ" and vr != "UN":
            return Node(tag, "SQ", b"", self._items(value))
        return Node(tag, vr, value)

    def _items(self, value: bytes) -> list[Item]:
        return SequenceReader(value, little=self._little).items(0, len(value), implicit=self._implicit)

    def _add(self, node: Node) -> None:
        self._waiting.append(node)
        self._context = self._context.learn(node.tag, node.value, little=self._little)
        if not self._implicit or node.tag >= PIXEL_REPRESENTATION:
            self._write_waiting()

    def _write_waiting(self) -> None:
        for node in self._waiting:
            _write_node(self._out, node, self._context, little=self._little)
        self._waiting.clear()
        self._kept_left = self._max_kept_bytes

    def _finish(self) -> Iterator[None]:
        self._write_waiting()
        return iter(())

    def _pass_bulk(self, tag: int, vr: str | None, length: int) -> Iterator[None]:
        out_vr = _out_vr(tag, vr, length, self._context)
        unit = 1 if self._little else _word_bytes(tag, out_vr, self._context)
        self._out += element_header(tag, out_vr, length)
        rest = b""
        while length:
            yield from self._need(1)
            piece = self._buffer[self._at : self._at + length]
            self._at += len(piece)
            length -= len(piece)
            if unit > 1:
                piece = rest + piece
                whole = len(piece) - len(piece) % unit
                piece, rest = piece[:whole], piece[whole:]
            self._out += _swapped(piece, unit)
        self._out += rest  # less than a word: nothing says which way around it is


def _write_node(out: bytearray, node: Node, context: _Context, *, little: bool) -> None:
    if node.tag & 0xFFFF == 0 and node.tag >> 16 > 6:
        return  # group lengths are retired, and would be wrong now (PS3.5 §7.2)
    if node.items is not None:
        out += element_header(node.tag, "SQ", UNDEFINED_LENGTH)
        for item in node.items:
            out += _ITEM_START
            _write_elements(out, item.elements, context, little=little)
            out += _ITEM_END
        out += _SEQUENCE_END
    elif node.encapsulated:
        raise NotDicom("The file has encapsulated pixel data in a transfer syntax that has none.")
    else:
        vr = _out_vr(node.tag, node.vr, len(node.value), context)
        out += element_header(node.tag, vr, len(node.value))
        out += node.value if little else _swapped(node.value, _word_bytes(node.tag, vr, context))


def _write_elements(out: bytearray, nodes: Sequence[Node], outer: _Context, *, little: bool) -> None:
    context = _Context(pixel_representation=outer.pixel_representation)
    for node in nodes:
        context = context.learn(node.tag, node.value, little=little)
    for node in nodes:
        _write_node(out, node, context, little=little)


def _out_vr(tag: int, vr: str | None, length: int, context: _Context) -> str:
    """The VR to write: the file's own, or the dictionary's where the file has none."""
    found = vr or settled_vr(tag, None, length)
    if len(found) > 2:
        found = _one_vr(tag, found, context)
    # Lengths that 16 bits cannot hold are written as UN (PS3.5 §6.2.2 note 3).
    return found if length <= 0xFFFF or found in LONG_VRS else "UN"


def _one_vr(tag: int, words: str, context: _Context) -> str:
    if words == "US or SS":
        return "SS" if context.pixel_representation else "US"
    if tag == LUT_DATA and context.lut_entries == 1:
        return "US"
    return "OW"  # in implicit VR the only choice for pixel data, overlays and waveforms (PS3.5 §A.1)


def _word_bytes(tag: int, vr: str, context: _Context) -> int:
    """Bytes that are turned around together. Writers keep samples of pixel data whole, whatever the words of its VR."""
    if tag == _PIXEL_DATA and context.bits_allocated in (16, 32, 64):
        return context.bits_allocated // 8
    return WORD_BYTES.get(vr, 1)


def _swapped(value: bytes, unit: int) -> bytes:
    if unit == 1 or not value:
        return value
    whole = len(value) - len(value) % unit
    words = array(_ARRAY_CODES[unit], value[:whole])
    words.byteswap()
    return words.tobytes() + value[whole:]
