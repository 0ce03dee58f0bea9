"""Cutting one frame out of the bytes around it, as they arrive: item headers go, bits move to the begin of a byte."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Protocol

from shared.dicom.framing import parse_item_header

_ITEM_HEADER_BYTES = 8
_WORD_BITS = 16


class Cutter(Protocol):
    """Takes the bytes of a range in chunks of any size and gives those of a frame."""

    def feed(self, chunk: bytes) -> bytes:
        """The next bytes of the frame, as far as the chunk allows."""

    def finish(self) -> bytes:
        """What is left after the last chunk."""


class ItemCutter:
    """Drops the headers of a frame's items (PS3.5 §A.4).

    Args:
        little: byte order of the data set.
    """

    def __init__(self, *, little: bool) -> None:
        self._little = little
        self._header = b""
        self._left = 0

    def feed(self, chunk: bytes) -> bytes:
        """The content of the items in the chunk."""
        pieces: list[bytes] = []
        at = 0
        while at < len(chunk):
            if self._left:
                piece = chunk[at : at + self._left]
                pieces.append(piece)
                self._left -= len(piece)
                at += len(piece)
                continue
            taken = chunk[at : at + _ITEM_HEADER_BYTES - len(self._header)]
            self._header += taken
            at += len(taken)
            if len(self._header) == _ITEM_HEADER_BYTES:
                _, self._left = parse_item_header(self._header, 0, little=self._little)
                self._header = b""
        return b"".join(pieces)

    def finish(self) -> bytes:
        """Nothing: a frame ends with an item."""
        return b""


@dataclass(frozen=True, slots=True)
class NativePlace:
    """Where a native frame is in the pixel data's value.

    Attributes:
        first_byte: of the bytes that hold it.
        size_bytes: how many bytes hold it; they may hold bits of its neighbours as well.
        skip_bits: of the first bytes, that belong to the frame before.
        frame_bits: how long it is.
        words: whether the bytes are pairs in turned order, and the frame does not begin and end with a pair.
    """

    first_byte: int
    size_bytes: int
    skip_bits: int
    frame_bits: int
    words: bool

    @property
    def whole_bytes(self) -> bool:
        """Whether those bytes are the frame and nothing else."""
        return not self.skip_bits and self.size_bytes * 8 == self.frame_bits

    @property
    def cut_bytes(self) -> int:
        """How long the frame is when it is cut out."""
        unit = _WORD_BITS if self.words else 8
        return -(-self.frame_bits // unit) * unit // 8


def native_place(frame_bits: int, frame: int, *, words: bool) -> NativePlace:
    """Where a native frame is.

    Args:
        frame_bits: bits of a frame.
        frame: its number, from 1.
        words: whether the value is big-endian words of 16 bits, so that smaller pixels lie in turned pairs of bytes.
    """
    start, stop = (frame - 1) * frame_bits, frame * frame_bits
    turned = words and frame_bits % _WORD_BITS != 0
    unit = _WORD_BITS if turned else 8
    first, last = start // unit, -(-stop // unit)
    return NativePlace(first * unit // 8, (last - first) * unit // 8, start % unit, frame_bits, turned)


class NativeCutter:
    """Gives a native frame as it would be if it were alone: its first pixel begins the first byte or word.

    Bits behind the last pixel are zero.
    """

    def __init__(self, place: NativePlace) -> None:
        self._words = place.words
        self._skip_bytes, self._shift = divmod(place.skip_bits, 8)
        self._left = -(-place.frame_bits // 8)
        self._last_bits = (place.frame_bits - 1) % 8 + 1
        self._half_in = b""
        self._half_out = b""
        self._carry = b""

    def feed(self, chunk: bytes) -> bytes:
        """The next bytes of the frame."""
        if self._words:
            chunk = self._half_in + chunk
            even = len(chunk) - len(chunk) % 2
            chunk, self._half_in = _turned(chunk[:even]), chunk[even:]
        return self._paired(self._ended(self._shifted(chunk)))

    def finish(self) -> bytes:
        """The last byte or two."""
        rest = self._shifted(_turned(self._half_in + b"\0")) if self._half_in else b""
        last = (int.from_bytes(self._carry, "little") >> self._shift).to_bytes(len(self._carry), "little")
        content = self._half_out + self._ended(rest + last)
        self._half_in = self._half_out = self._carry = b""
        return _turned(content.ljust(2, b"\0")) if self._words and content else content

    def _shifted(self, chunk: bytes) -> bytes:
        """Pixels begin at the lowest bit of a byte (PS3.5 §8.1.1); what is over of the last byte has to wait."""
        skipped = min(self._skip_bytes, len(chunk))
        self._skip_bytes -= skipped
        chunk = self._carry + chunk[skipped:]
        if not self._shift or not chunk:
            return chunk
        self._carry = chunk[-1:]
        return (int.from_bytes(chunk, "little") >> self._shift).to_bytes(len(chunk), "little")[:-1]

    def _ended(self, content: bytes) -> bytes:
        """The content as far as it belongs to the frame."""
        if len(content) < self._left:
            self._left -= len(content)
            return content
        if not self._left:
            return b""
        content = content[: self._left]
        self._left = 0
        return content[:-1] + bytes([content[-1] & (1 << self._last_bits) - 1])

    def _paired(self, content: bytes) -> bytes:
        if not self._words:
            return content
        content = self._half_out + content
        even = len(content) - len(content) % 2
        self._half_out = content[even:]
        return _turned(content[:even])


def _turned(pairs: bytes) -> bytes:
    words = array("H", pairs)
    words.byteswap()
    return words.tobytes()
