"""Elements of sequences, read from bytes that are at hand as a whole (PS3.5 §7.5)."""

from __future__ import annotations

from typing import NamedTuple

from shared.dicom.elements import (
    ITEM,
    ITEM_DELIMITER,
    SEQUENCE_DELIMITER,
    UNDEFINED_LENGTH,
    settled_vr,
)
from shared.dicom.framing import MAX_ELEMENTS, NotDicom, looks_explicit, parse_header

# JSON writers end at about 250 levels, and each of these is three of them; real data sets nest about ten deep.
MAX_DEPTH = 64

# Values of undefined length that are fragments and not items with elements (PS3.5 §A.4).
ENCAPSULATING_VRS = frozenset({"OB", "OW", "OB or OW"})


class Item(NamedTuple):
    """One item of a sequence, in the encoding it was found in."""

    elements: list[Node]
    implicit: bool


class Node(NamedTuple):
    """One element.

    Attributes:
        items: None unless it is a sequence, and then `value` is empty.
        encapsulated: whether the value is fragments in items, without the delimiter at its end.
    """

    tag: int
    vr: str | None
    value: bytes
    items: list[Item] | None = None
    encapsulated: bool = False


class SequenceReader:
    """Reads sequences of one data set; all of them together may have `MAX_ELEMENTS` elements.

    Args:
        data: the bytes the sequences are in.
        little: byte order.
    """

    def __init__(self, data: bytes, *, little: bool) -> None:
        self._data = data
        self._little = little
        self._left = MAX_ELEMENTS

    def items(self, start: int, stop: int, *, implicit: bool) -> list[Item]:
        """The items of the sequence whose value lies between the two offsets, its delimiter included if it has one."""
        return self._items(start, stop, implicit, 1)[0]

    def item(self, start: int, stop: int, index: int, *, implicit: bool) -> Item | None:
        """One item of such a sequence, None when it has fewer. Those before it are passed over and not taken apart.

        Args:
            start: where the sequence's value begins.
            stop: where it ends.
            index: place of the item, from 0.
            implicit: whether the sequence is in implicit VR.
        """
        at = start
        while at < stop:
            length, at = self._item_header(at, stop)
            if length is None:
                break
            if not index:
                return self._item(at, stop if length == UNDEFINED_LENGTH else min(at + length, stop), implicit, 1)[0]
            index -= 1
            at = self._end_of_item(at, stop, implicit, 1) if length == UNDEFINED_LENGTH else at + length
        return None

    def _end_of_item(self, at: int, stop: int, implicit: bool, depth: int) -> int:
        implicit = implicit or not looks_explicit(self._data[at + 4 : at + 6])
        while at < stop:
            tag, vr, length, at = self._header(at, stop, implicit=implicit)
            if tag == ITEM_DELIMITER:
                break
            if tag >> 16 == 0xFFFE:
                raise NotDicom("The items of a sequence are not nested properly.")
            if length != UNDEFINED_LENGTH:
                at += length
            elif settled_vr(tag, vr, length) in ENCAPSULATING_VRS:
                at = self._end_of_fragments(at, stop)
            else:
                at = self._end_of_sequence(at, stop, implicit, depth + 1)
        return at

    def _end_of_sequence(self, at: int, stop: int, implicit: bool, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise NotDicom(f"Sequences are nested more than {MAX_DEPTH} deep.")
        while at < stop:
            length, at = self._item_header(at, stop)
            if length is None:
                break
            at = self._end_of_item(at, stop, implicit, depth) if length == UNDEFINED_LENGTH else at + length
        return at

    def _items(self, at: int, stop: int, implicit: bool, depth: int) -> tuple[list[Item], int]:
        if depth > MAX_DEPTH:
            raise NotDicom(f"Sequences are nested more than {MAX_DEPTH} deep.")
        items: list[Item] = []
        while at < stop:
            length, at = self._item_header(at, stop)
            if length is None:
                break
            item_stop = stop if length == UNDEFINED_LENGTH else at + length
            if item_stop > stop:
                raise NotDicom("An item is longer than its sequence.")
            item, end = self._item(at, item_stop, implicit, depth)
            items.append(item)
            at = end if length == UNDEFINED_LENGTH else item_stop
        return items, at

    def _item_header(self, at: int, stop: int) -> tuple[int | None, int]:
        """Length of the item that begins at a place in a sequence, None for the sequence's end; and what follows."""
        tag, _, length, at = self._header(at, stop, implicit=True)
        if tag == SEQUENCE_DELIMITER:
            return None, at
        if tag != ITEM:
            raise NotDicom("A sequence holds something that is not an item.")
        return length, at

    def _item(self, at: int, stop: int, implicit: bool, depth: int) -> tuple[Item, int]:
        # A sequence of VR UN is in implicit VR also within an explicit data set (PS3.5 §6.2.2).
        implicit = implicit or not looks_explicit(self._data[at + 4 : at + 6])
        elements: list[Node] = []
        while at < stop:
            tag, vr, length, at = self._header(at, stop, implicit=implicit)
            if tag == ITEM_DELIMITER:
                break
            if tag >> 16 == 0xFFFE:
                raise NotDicom("The items of a sequence are not nested properly.")
            node, at = self._element(tag, vr, at, length, stop, implicit, depth)
            elements.append(node)
        return Item(elements, implicit), at

    def _element(  # noqa: PLR0913 - the state of a recursive descent; a record of it would be made for each element
        self, tag: int, vr: str | None, at: int, length: int, stop: int, implicit: bool, depth: int
    ) -> tuple[Node, int]:
        if length == UNDEFINED_LENGTH:
            if settled_vr(tag, vr, length) in ENCAPSULATING_VRS:
                end = self._end_of_fragments(at, stop)
                return Node(tag, vr or "OB", self._data[at : end - 8], encapsulated=True), end
            items, at = self._items(at, stop, implicit, depth + 1)
            return Node(tag, "SQ", b"", items), at
        end = at + length
        if end > stop:
            raise NotDicom("An element is longer than what it is in.")
        if settled_vr(tag, vr, length) == "SQ":
            return Node(tag, "SQ", b"", self._items(at, end, implicit, depth + 1)[0]), end
        return Node(tag, vr, self._data[at:end]), end

    def _end_of_fragments(self, at: int, stop: int) -> int:
        while True:
            tag, _, length, at = self._header(at, stop, implicit=True)
            if tag == SEQUENCE_DELIMITER:
                return at
            if tag != ITEM or length == UNDEFINED_LENGTH or at + length > stop:
                raise NotDicom("The fragments of an encapsulated value are broken.")
            at += length

    def _header(self, at: int, stop: int, *, implicit: bool) -> tuple[int, str | None, int, int]:
        """Tag, VR, length and where the value starts."""
        header = parse_header(self._data, at, implicit=implicit, little=self._little) if stop - at >= 8 else None
        if header is None or at + header[2] > stop:
            raise NotDicom("A sequence ends in the middle of an element.")
        self._left -= 1
        if self._left < 0:
            raise NotDicom(f"The file has more than {MAX_ELEMENTS} elements.")
        tag, vr, size_bytes, length = header
        return tag, vr, length, at + size_bytes
