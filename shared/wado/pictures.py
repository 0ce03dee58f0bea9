"""Stored pixel data as the wado room looks at it: what it is, what work on it costs, what cannot be done with it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from shared.dicom.pixels import CannotDecode, PixelDescription, describe
from shared.dicom.recoding import parse_header
from shared.errors import NotAcceptable, NotFound
from shared.storage.frames import Frames, StoredFrames
from shared.wado.pixelwork import WORK

MAX_CONVERTED_BYTES = 100 * 1024 * 1024
"""Contract C1.10: instances in longer files are neither re-encoded nor rendered."""

HINT = "Ask for transfer-syntax=* to get it as it is stored."

_SMALL_HEADER_BYTES = 64 * 1024
# A header is cut into raw elements, and a file's put together again; each is a copy or two.
_COPYING_COST = 4
# A sequence as data sets takes many times the bytes it was read from.
_READING_COST = 16
# OpenJPEG, the most demanding of the codecs, calculates with numbers of 32 bits; rendering goes in blocks.
_SAMPLE_COST = 8
_DEFLATED_GROWTH = 8
_DESCRIPTIONS = 512


@dataclass(frozen=True, slots=True)
class Picture:
    """Stored frames and what they are.

    Attributes:
        stored: where they are.
        description: what they are.
        header: the file up to its pixel data; empty when it was not read, or is too long to be kept while others work.
    """

    stored: StoredFrames
    description: PixelDescription
    header: bytes

    @property
    def copying_cost_bytes(self) -> int:
        """What it takes to have the header in pieces."""
        return _COPYING_COST * _header_bytes(self.stored)

    @property
    def reading_cost_bytes(self) -> int:
        """What it takes to have the header as a data set of which everything was read."""
        return _READING_COST * _header_bytes(self.stored)


class Pictures:
    """Descriptions of the instances that were asked for last: what is stored under a blob's name never changes."""

    def __init__(self, limit: int = _DESCRIPTIONS) -> None:
        self._known: OrderedDict[tuple[str, int], PixelDescription] = OrderedDict()
        self._limit = limit

    async def open(self, frames: Frames, stored: StoredFrames) -> Picture:
        """Look at stored pixel data.

        Raises:
            NotAcceptable: its attributes are missing, or do not make sense.
        """
        key = (stored.instance.blob, stored.instance.offset_bytes)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return Picture(stored, known, b"")
        async with WORK.room(_COPYING_COST * _header_bytes(stored)) as room:
            header = await frames.header(stored)
            try:
                description = await room.run(_described, header, stored)
            except CannotDecode as error:
                raise refused(error) from error
        self._known[key] = description
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return Picture(stored, description, header if len(header) <= _SMALL_HEADER_BYTES else b"")


PICTURES = Pictures()
"""Those of this process."""


def refused(error: CannotDecode) -> NotAcceptable:
    """The error that a client gets for pixel data that cannot be worked on (contract C1.4)."""
    return NotAcceptable(f"{error} {HINT}")


def check_frames(stored: StoredFrames, numbers: Sequence[int]) -> None:
    """Return when there are frames of all those numbers.

    Raises:
        NotFound: there is no pixel data, or a number is beyond the last frame.
        NotAcceptable: frames cannot be told apart, as in videos.
    """
    if not stored.has_pixels:
        raise NotFound("The instance has no pixel data.")
    if not stored.count:
        raise NotAcceptable("The frames of the instance cannot be told apart; retrieve the whole instance instead.")
    if max(numbers) > stored.count:
        raise NotFound(f"The instance has no frame {max(numbers)}; its last one is {stored.count}.")


def is_short(stored: StoredFrames) -> bool:
    """Whether the file is short enough to be worked on."""
    return stored.instance.length_bytes <= MAX_CONVERTED_BYTES


def check_length(stored: StoredFrames) -> None:
    """Return when the file is short enough to be worked on.

    Raises:
        NotAcceptable: it is not.
    """
    if not is_short(stored):
        raise NotAcceptable(
            f"The instance is longer than the {MAX_CONVERTED_BYTES} bytes that are re-encoded or rendered. {HINT}"
        )


async def stored_bytes(frames: Frames, stored: StoredFrames, number: int) -> bytes:
    """One frame as it is stored."""
    async with aclosing(frames.chunks(stored, number)) as chunks:
        return b"".join([chunk async for chunk in chunks])


def frame_cost(description: PixelDescription, size_bytes: int) -> int:
    """What work on a frame costs: its bytes before and after, and what codecs hold for each sample meanwhile."""
    samples = description.rows * description.columns * description.samples
    return size_bytes + 2 * description.decoded_frame_bytes + _SAMPLE_COST * samples


def _header_bytes(stored: StoredFrames) -> int:
    """Length of the header; of a deflated file, a guess on the safe side."""
    return stored.header_bytes if stored.header_bytes >= 0 else stored.instance.length_bytes * _DEFLATED_GROWTH


def _described(header: bytes, stored: StoredFrames) -> PixelDescription:
    return describe(parse_header(header), stored.instance.transfer_syntax, stored.keyword, stored.vr)
