"""Elements to bytes in the encoding of a data set (PS3.5 §7.1), and their texts into UTF-8, in sequences as well."""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack

from shared.dicom.elements import (
    ITEM,
    ITEM_DELIMITER,
    LONG_VRS,
    SEQUENCE_DELIMITER,
    SPECIFIC_CHARACTER_SET,
    UNDEFINED_LENGTH,
    settled_vr,
)
from shared.dicom.framing import NotDicom
from shared.dicom.nested import ENCAPSULATING_VRS, Item, Node, SequenceReader
from shared.dicom.text import decode_text
from shared.dicom.valuerules import CHARACTER_SET_VRS

SHORT_VALUE_BYTES = 0xFFFE
"""The longest value of an even length that 16 bits can tell."""

_ESCAPE = 0x1B


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a data set is encoded."""

    implicit: bool
    little: bool

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        """An element whose value has an even length.

        Raises:
            NotDicom: the value is longer than its VR can have it.
        """
        if not self.implicit and vr not in LONG_VRS and len(value) > SHORT_VALUE_BYTES:
            raise NotDicom("A text would be longer than its element can have it.")
        return self.header(tag, vr, len(value)) + value

    def header(self, tag: int, vr: str | None, length: int) -> bytes:
        """The header of an element; without a VR in implicit VR, whatever the data set's own."""
        order = "<" if self.little else ">"
        group, element = tag >> 16, tag & 0xFFFF
        if self.implicit or vr is None:
            return pack(f"{order}HHL", group, element, length)
        if vr in LONG_VRS:
            return pack(f"{order}HH2sHL", group, element, vr.encode(), 0, length)
        return pack(f"{order}HH2sH", group, element, vr.encode(), length)


@dataclass(frozen=True, slots=True)
class TopElement:
    """An element of a data set as the file has it.

    Attributes:
        tag: its tag.
        vr: None in implicit VR.
        content: header and value.
        value: the value alone, with the delimiter when it has one.
        undefined: whether its length is.
    """

    tag: int
    vr: str | None
    content: bytes
    value: bytes
    undefined: bool

    @property
    def settled_vr(self) -> str:
        """The VR it is read by."""
        return settled_vr(self.tag, self.vr, UNDEFINED_LENGTH if self.undefined else len(self.value))


def in_utf8(element: TopElement, encodings: tuple[str, ...], encoding: Encoding) -> bytes:
    """An element with its texts in UTF-8; others, and texts that mean the same in both, stay byte for byte.

    Args:
        element: the element.
        encodings: codecs of the character set that its texts are in now.
        encoding: of the data set.

    Raises:
        NotDicom: its items are broken, or a text would be too long.
    """
    vr = element.settled_vr
    if not _needs_words(element.value):
        return element.content
    if vr == "SQ" or (element.undefined and vr not in ENCAPSULATING_VRS):
        reader = SequenceReader(element.value, little=encoding.little)
        items = reader.items(0, len(element.value), implicit=encoding.implicit)
        return _sequence(element.tag, items, encodings, encoding)
    if vr not in CHARACTER_SET_VRS:
        return element.content
    value = _utf8(element.value, encodings)
    return encoding.element(element.tag, element.vr or vr, value)


def has_foreign_text(element: TopElement, encoding: Encoding) -> bool:
    """Whether texts of an element would mean something else in another character set."""
    return in_utf8(element, ("latin_1",), encoding) != element.content


def _needs_words(value: bytes) -> bool:
    return not value.isascii() or _ESCAPE in value


def _utf8(value: bytes, encodings: tuple[str, ...]) -> bytes:
    if not _needs_words(value):
        return value
    text = decode_text(value, encodings).encode("utf-8")
    return text + b" " * (len(text) % 2)


def _sequence(tag: int, items: list[Item], encodings: tuple[str, ...], encoding: Encoding) -> bytes:
    # Items in implicit VR within an explicit data set belong to a sequence of VR UN (PS3.5 §6.2.2 note 5).
    foreign = not encoding.implicit and any(item.implicit for item in items)
    marks = Encoding(implicit=True, little=encoding.little)
    parts = [encoding.header(tag, "UN" if foreign else "SQ", UNDEFINED_LENGTH)]
    for item in items:
        parts.append(marks.header(ITEM, None, UNDEFINED_LENGTH))
        parts += _item_parts(item, encodings, encoding.little)
        parts.append(marks.header(ITEM_DELIMITER, None, 0))
    return b"".join([*parts, marks.header(SEQUENCE_DELIMITER, None, 0)])


def _item_parts(item: Item, encodings: tuple[str, ...], little: bool) -> list[bytes]:
    encoding = Encoding(item.implicit, little)
    own = any(node.tag == SPECIFIC_CHARACTER_SET for node in item.elements)
    # An item with a character set of its own says all its texts in it (PS3.3 §C.12.1.1.2): they stay as they are.
    return [
        _node(node, () if own else encodings, encoding)
        for node in item.elements
        if node.tag & 0xFFFF or node.tag >> 16 <= 6
    ]


def _node(node: Node, encodings: tuple[str, ...], encoding: Encoding) -> bytes:
    if node.items is not None:
        return _sequence(node.tag, node.items, encodings, encoding)
    if node.encapsulated:
        end = Encoding(implicit=True, little=encoding.little).header(SEQUENCE_DELIMITER, None, 0)
        return encoding.header(node.tag, node.vr, UNDEFINED_LENGTH) + node.value + end
    vr = settled_vr(node.tag, node.vr, len(node.value))
    if not encodings or vr not in CHARACTER_SET_VRS:
        return encoding.header(node.tag, node.vr, len(node.value)) + node.value
    return encoding.element(node.tag, node.vr or vr, _utf8(node.value, encodings))
