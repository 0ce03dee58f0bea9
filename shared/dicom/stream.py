"""The push reader below the scanner and the re-encoder: bytes come in chunks of any size, elements come out.

It knows the framing of DICOM Part 10 (PS3.10 §7) and of data sets (PS3.5 §7); what becomes of an element is up to
the class that builds on it. It never holds more than what that class keeps, and a few bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator

from shared.dicom.elements import (
    DEFLATED_EXPLICIT_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_DELIMITER,
    SEQUENCE_DELIMITER,
    UNDEFINED_LENGTH,
    settled_vr,
)
from shared.dicom.framing import (
    MAX_ELEMENTS,
    MAX_TOP_LEVEL_ELEMENTS,
    Header,
    NotDicom,
    looks_explicit,
    parse_header,
    parse_item_header,
)

_INFLATE_STEP_BYTES = 256 * 1024


class Part10Reader:
    """Walks the top-level elements of a Part 10 stream and hands each to `_element`.

    Attributes:
        transfer_syntax: UID from the file meta information, guessed when it names none.
        meta: elements of the file meta information as (tag, VR, value).
    """

    def __init__(self, max_kept_bytes: int, max_inflated_bytes: int) -> None:
        self.transfer_syntax = ""
        self.meta: list[tuple[int, str, bytes]] = []
        self.preamble = b""
        self._implicit = False
        self._little = True
        self._size_bytes = 0
        self._buffer = b""
        self._at = 0
        self._base = 0
        self._ended = False
        self._kept_left = max_kept_bytes
        self._elements_left = MAX_ELEMENTS
        self._top_level_left = MAX_TOP_LEVEL_ELEMENTS
        self._max_inflated_bytes = max_inflated_bytes
        self._inflated_bytes = 0
        self._inflater: zlib._Decompress | None = None
        self._compressed = b""
        self._failure: NotDicom | None = None
        self._walker = self._walk()

    def _take_in(self, chunk: bytes | bytearray | memoryview) -> None:
        """Read on with the next bytes of the file."""
        if self._failure is not None:
            raise self._failure
        self._size_bytes += len(chunk)
        data = chunk if isinstance(chunk, bytes) else bytes(chunk)
        try:
            if self._inflater is None:
                self._push(data)
                data, self._compressed = self._compressed, b""
            if self._inflater is not None:
                self._inflate(self._inflater, data)
        except NotDicom as failure:
            self._failure = failure
            raise

    def _end(self) -> None:
        """Say that no more bytes come."""
        if self._failure is not None:
            raise self._failure
        try:
            if self._inflater is not None and not self._inflater.eof:
                raise NotDicom("The deflated data set ends too early.")
            self._ended = True
            next(self._walker, None)
        except NotDicom as failure:
            self._failure = failure
            raise

    def _push(self, data: bytes) -> None:
        self._base += self._at
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0
        next(self._walker, None)

    def _inflate(self, inflater: zlib._Decompress, data: bytes) -> None:
        while not inflater.eof:
            try:
                piece = inflater.decompress(data, _INFLATE_STEP_BYTES)
            except zlib.error:
                raise NotDicom("The deflated data set cannot be inflated.") from None
            data = inflater.unconsumed_tail
            self._inflated_bytes += len(piece)
            if self._inflated_bytes > self._max_inflated_bytes:
                raise NotDicom(f"The data set inflates to more than {self._max_inflated_bytes} bytes.")
            if piece:
                self._push(piece)
            if not data and len(piece) < _INFLATE_STEP_BYTES:
                return

    def _need(self, count: int) -> Iterator[None]:
        """Wait until that many bytes are at hand."""
        while len(self._buffer) - self._at < count:
            if self._ended:
                raise NotDicom("The file ends in the middle of an element.")
            yield

    def _any_left(self) -> Iterator[None]:
        """Wait until there is a byte, or none will ever come."""
        while self._at >= len(self._buffer) and not self._ended:
            yield

    def _move(self, count: int, sink: bytearray | None) -> Iterator[None]:
        """Pass over bytes as they come, into the sink if there is one."""
        if sink is not None:
            self._charge(count)
        while count:
            piece_bytes = min(count, len(self._buffer) - self._at)
            if sink is not None:
                sink += self._buffer[self._at : self._at + piece_bytes]
            self._at += piece_bytes
            count -= piece_bytes
            if count:
                yield from self._need(1)

    def _charge(self, count: int) -> None:
        self._kept_left -= count
        if self._kept_left < 0:
            raise NotDicom("The attributes of the file, without its pixel data, are too large.")

    def _count_element(self) -> None:
        self._elements_left -= 1
        if self._elements_left < 0:
            raise NotDicom(f"The file has more than {MAX_ELEMENTS} elements.")

    def _header(self, *, implicit: bool) -> Header | None:
        return parse_header(self._buffer, self._at, implicit=implicit, little=self._little)

    def _walk(self) -> Iterator[None]:
        yield from self._preamble()
        yield from self._file_meta()
        self.transfer_syntax = self._declared_syntax()
        if self.transfer_syntax == DEFLATED_EXPLICIT_LITTLE:
            if self._ended:
                raise NotDicom("The deflated data set is missing.")
            self._compressed = self._buffer[self._at :]
            self._buffer, self._at, self._base = b"", 0, 0
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            yield
        yield from self._settle_encoding()
        yield from self._begin()
        yield from self._data_set()
        yield from self._finish()

    def _preamble(self) -> Iterator[None]:
        while len(self._buffer) - self._at < 132:
            if self._ended:
                raise NotDicom("There is no DICOM file in it: it is shorter than the preamble of one.")
            yield
        if self._buffer[self._at + 128 : self._at + 132] != b"DICM":
            raise NotDicom("There is no DICOM file in it: the prefix DICM is missing after the preamble.")
        self.preamble = self._buffer[self._at : self._at + 128]
        self._at += 132

    def _file_meta(self) -> Iterator[None]:
        """Group 0002, explicit VR little endian (PS3.10 §7.1); tolerated in implicit VR."""
        stop = 0
        while True:
            yield from self._any_left()
            if self._at >= len(self._buffer):
                return
            if self._base + self._at == stop and self._declared_syntax() == DEFLATED_EXPLICIT_LITTLE:
                return  # compressed bytes may look like anything, also like group 0002
            yield from self._need(2)
            if self._buffer[self._at : self._at + 2] != b"\x02\x00":
                return
            yield from self._need(8)
            header = self._header(implicit=False)
            if header is None:
                yield from self._need(12)
                continue
            tag, vr, size_bytes, length = header
            if length == UNDEFINED_LENGTH:
                raise NotDicom("An element of the file meta information has no length.")
            value = bytearray()
            self._at += size_bytes
            yield from self._move(length, value)
            self.meta.append((tag, vr or settled_vr(tag, None, length), bytes(value)))
            if tag == 0x00020000 and length == 4:
                stop = self._base + self._at + int.from_bytes(value, "little")

    def _declared_syntax(self) -> str:
        uid = next((value for tag, _, value in self.meta if tag == 0x00020010), b"")
        return uid.decode("latin-1").strip(" \0")

    def _settle_encoding(self) -> Iterator[None]:
        """Decide between implicit and explicit VR; the first element has the last word over the transfer syntax."""
        self._implicit = self.transfer_syntax == IMPLICIT_LITTLE
        self._little = self.transfer_syntax != EXPLICIT_BIG
        yield from self._any_left()
        if self._at >= len(self._buffer):
            self.transfer_syntax = self.transfer_syntax or IMPLICIT_LITTLE
            return
        yield from self._need(8)
        group = int.from_bytes(self._buffer[self._at : self._at + 2], "little")
        explicit = looks_explicit(self._buffer[self._at + 4 : self._at + 6])
        if not self.transfer_syntax:
            # Group 0008 read in the wrong byte order is 0800.
            self._little = not (explicit and group >= 0x0400)
            guess = EXPLICIT_LITTLE if self._little else EXPLICIT_BIG
            self.transfer_syntax = guess if explicit else IMPLICIT_LITTLE
        self._implicit = not explicit

    def _data_set(self) -> Iterator[None]:
        while True:
            if len(self._buffer) - self._at < 8 and (yield from self._is_over()):
                return
            header = self._header(implicit=self._implicit)
            if header is None:
                yield from self._need(12)
                continue
            if header[0] >> 16 == 0xFFFE:
                raise NotDicom("An item or a delimiter stands outside of any sequence.")
            self._count_element()
            self._top_level_left -= 1
            if self._top_level_left < 0:
                raise NotDicom(f"The data set has more than {MAX_TOP_LEVEL_ELEMENTS} elements.")
            if not self._take_at_once(header):
                yield from self._element(header)

    def _is_over(self) -> Generator[None, None, bool]:
        """Wait for the header of an element; True when none comes."""
        while len(self._buffer) - self._at < 8 and not self._ended:
            yield
        left = self._buffer[self._at : self._at + 8]
        # Some writers fill up with zeros. Group 0000 is in no data set, but one zero alone may begin another group.
        if len(left) < 8 and len(left) != 1 and not any(left):
            return True
        yield from self._need(8)
        return False

    def _take_at_once(self, header: Header) -> bool:
        """Deal with an element that is in the buffer as a whole; False leaves it to `_element`."""
        return False

    def _begin(self) -> Iterator[None]:
        """Called when the encoding of the data set is known."""
        return iter(())

    def _element(self, header: Header) -> Iterator[None]:
        """Called at the header of each top-level element; must pass over all of it."""
        raise NotImplementedError

    def _item_header(self) -> tuple[int, int]:
        """Tag and length of an item or a delimiter, which have no VR in any syntax (PS3.5 §7.5)."""
        return parse_item_header(self._buffer, self._at, little=self._little)

    def _sequence(self, sink: bytearray) -> Iterator[None]:
        """Take in a sequence of undefined length with its delimiter, however deep it nests (PS3.5 §7.5)."""
        open_items: list[bool] = []  # for each open item: whether it is in implicit VR
        while True:
            yield from self._need(8)
            tag, length = self._item_header()
            if tag == SEQUENCE_DELIMITER:
                yield from self._move(8, sink)
                if not open_items:
                    return
            elif tag != ITEM:
                raise NotDicom("A sequence holds something that is not an item.")
            elif length != UNDEFINED_LENGTH:
                self._count_element()
                yield from self._move(8 + length, sink)
                continue
            else:
                yield from self._move(8, sink)
                yield from self._need(8)
                outer = open_items[-1] if open_items else self._implicit
                open_items.append(outer or not self._next_looks_explicit())
            # Now inside an item, a new one or the one around the sequence that has just ended.
            yield from self._item_content(open_items, sink)

    def _next_looks_explicit(self) -> bool:
        return looks_explicit(self._buffer[self._at + 4 : self._at + 6])

    def _item_content(self, open_items: list[bool], sink: bytearray) -> Iterator[None]:
        """Take in elements up to the end of the item or the start of a sequence of undefined length in it."""
        while True:
            yield from self._need(8)
            header = self._header(implicit=open_items[-1])
            if header is None:
                yield from self._need(12)
                continue
            tag, _, size_bytes, length = header
            self._count_element()
            if tag == ITEM_DELIMITER:
                yield from self._move(8, sink)
                open_items.pop()
                return
            if tag >> 16 == 0xFFFE:
                raise NotDicom("The items of a sequence are not nested properly.")
            if length == UNDEFINED_LENGTH:
                yield from self._move(size_bytes, sink)
                return
            yield from self._move(size_bytes + length, sink)

    def _finish(self) -> Iterator[None]:
        """Called after the last element."""
        return iter(())
