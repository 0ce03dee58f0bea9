"""Reading single frames of stored instances: by range from where their table says they are, never more than that.

Bytes come as they are stored. A deflated file is the exception to the range: it is inflated from its start each time.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from shared.dicom.elements import EXPLICIT_BIG
from shared.dicom.framecut import Cutter, ItemCutter, NativeCutter, NativePlace, native_place
from shared.errors import NotAcceptable, NotFound
from shared.storage.blobs import Blobs
from shared.storage.files import StoredInstance, stored_instance
from shared.storage.framesources import FileSource, FrameStarts
from shared.storage.instances import PLACE
from shared.storage.keys import instance_row, main_table, study_partition
from shared.storage.originals import originals
from shared.storage.partitions import DataPartition
from shared.storage.pixelrows import PIXEL_COLUMNS, PixelColumns, older_than_frames, pixels_of, unpacked_starts
from shared.storage.tables import Tables

MAX_HEADER_BYTES = 64 * 1024 * 1024
"""Of what is before or behind the pixel data; pixel work keeps it in memory."""

_DELIMITER_BYTES = 8


def _no_starts() -> array[int]:
    return array("Q")


@dataclass(frozen=True, slots=True)
class StoredFrames:
    """A stored instance and its frames.

    Attributes:
        instance: where it is.
        count: how many frames it has; 0 without pixel data, or when its frames cannot be told apart.
        has_pixels: whether there is pixel data.
        keyword: PixelData, FloatPixelData or DoubleFloatPixelData; empty when there is none.
        vr: of that element, as the file has it.
        encapsulated: whether its frames are made of items.
        frame_bits: of a native frame; 0 when encapsulated.
        header_bytes: of the file before the pixel data's value or its first item; -1 in a deflated file.
        pixel_bytes: of the value, without the delimiter behind its items.
        starts: of encapsulated frames, and their end, when they need no further read; else empty.
    """

    instance: StoredInstance
    count: int
    has_pixels: bool
    keyword: str
    vr: str
    encapsulated: bool
    frame_bits: int
    header_bytes: int
    pixel_bytes: int
    starts: array[int] = field(default_factory=_no_starts, repr=False, compare=False)

    @property
    def little(self) -> bool:
        """Byte order of the data set."""
        return self.instance.transfer_syntax != EXPLICIT_BIG


class Frames:
    """Frames of stored instances, seen from one worker that reads them."""

    def __init__(self, tables: Tables, blobs: Blobs) -> None:
        self._tables = tables
        self._blobs = blobs
        self._starts = FrameStarts(blobs)

    async def find(
        self,
        partition: DataPartition,
        study_uid: str,
        series_uid: str,
        sop_instance_uid: str,
        *,
        original: bool = False,
    ) -> StoredFrames:
        """An instance and its frames; one read, but for rows of an older shape, whose files are scanned.

        With `original` it is the file as it was before it was updated; frames are the same in both.

        Raises:
            NotFound: it is not stored.
        """
        table, where = main_table(study_uid), study_partition(partition.number, study_uid)
        row_key, columns = instance_row(series_uid, sop_instance_uid), (*PLACE, *PIXEL_COLUMNS)
        row = await self._tables.get(table, where, row_key, columns)
        if row is not None and original:
            row = next(iter(await originals(self._tables, table, where, [{**row, "RowKey": row_key}], columns)), None)
        if row is None:
            raise NotFound("The instance is not stored here.")
        instance = stored_instance(row)
        if not older_than_frames(row):
            pixels = pixels_of(row)
            starts = unpacked_starts(pixels.starts) if pixels is not None and pixels.starts else _no_starts()
            return _stored_frames(instance, pixels, starts)
        scanned = await self._starts.scanned(instance)
        return _stored_frames(instance, scanned.columns, scanned.starts)

    async def size_bytes(self, stored: StoredFrames, frame: int) -> int:
        """Stored bytes of a frame: with its item headers, or of a native one exactly what `chunks` gives.

        Args:
            stored: as `find` gave it.
            frame: number of the frame, from 1.

        Raises:
            NotFound: there is no such frame.
        """
        if not stored.encapsulated:
            return _native_place(stored, frame).cut_bytes
        start, stop = await self._item_range(stored, frame)
        return stop - start

    async def chunks(self, stored: StoredFrames, frame: int) -> AsyncGenerator[bytes, None]:
        """The bytes of a frame as they are stored, without item headers.

        A native frame begins with a byte of its own, and bits behind its end are zero.

        Args:
            stored: as `find` gave it.
            frame: number of the frame, from 1.

        Raises:
            NotFound: there is no such frame, or the instance was deleted after it was found.
        """
        cutter: Cutter | None
        if stored.encapsulated:
            start, stop = await self._item_range(stored, frame)
            cutter = ItemCutter(little=stored.little)
        else:
            place = _native_place(stored, frame)
            start, stop = place.first_byte, min(place.first_byte + place.size_bytes, stored.pixel_bytes)
            cutter = None if place.whole_bytes else NativeCutter(place)
        async with aclosing(self._pixels(stored, start, stop)) as pieces:
            async for piece in pieces:
                content = cutter.feed(piece) if cutter is not None else piece
                if content:
                    yield content
        if cutter is not None and (rest := cutter.finish()):
            yield rest

    async def header(self, stored: StoredFrames) -> bytes:
        """The file up to and including the header of its pixel data element; a deflated one inflated.

        Raises:
            NotFound: there is no pixel data, or the instance was deleted after it was found.
            NotAcceptable: it is too long, or cannot be inflated.
        """
        _expect_pixels(stored)
        source = FileSource(self._blobs, stored.instance)
        if stored.header_bytes < 0:
            return await source.inflated_header(MAX_HEADER_BYTES)
        _expect_bounded(stored.header_bytes)
        return await _bounded(source.range(0, stored.header_bytes))

    async def trailer(self, stored: StoredFrames) -> bytes:
        """What follows the pixel data in the file, and its delimiter if it has one; often nothing.

        Raises:
            NotFound: there is no pixel data, or the instance was deleted after it was found.
            NotAcceptable: it is too long, or cannot be inflated.
        """
        _expect_pixels(stored)
        source = FileSource(self._blobs, stored.instance)
        if stored.header_bytes < 0:
            return await _bounded(source.inflated_pixels(stored.pixel_bytes, None))
        start = stored.header_bytes + stored.pixel_bytes + (_DELIMITER_BYTES if stored.encapsulated else 0)
        _expect_bounded(stored.instance.length_bytes - start)
        return await _bounded(source.range(start, stored.instance.length_bytes))

    def _pixels(self, stored: StoredFrames, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Bytes of the pixel data's value."""
        source = FileSource(self._blobs, stored.instance)
        if stored.header_bytes < 0:
            return source.inflated_pixels(start, stop)
        return source.range(stored.header_bytes + start, stored.header_bytes + stop)

    async def _item_range(self, stored: StoredFrames, frame: int) -> tuple[int, int]:
        """Where the items of a frame are in the pixel data's value."""
        _expect_frame(stored, frame)
        if stored.starts:
            return stored.starts[frame - 1], stored.starts[frame]
        return await self._starts.of_frame(stored.instance, stored.count, frame)


def _stored_frames(instance: StoredInstance, pixels: PixelColumns | None, starts: array[int]) -> StoredFrames:
    if pixels is None:
        return StoredFrames(instance, 0, False, "", "", False, 0, 0, 0)
    return StoredFrames(
        instance=instance,
        count=pixels.frames,
        has_pixels=True,
        keyword=pixels.keyword,
        vr=pixels.vr,
        encapsulated=pixels.encapsulated,
        frame_bits=pixels.frame_bits,
        header_bytes=pixels.offset_bytes,
        pixel_bytes=pixels.length_bytes,
        starts=starts,
    )


def _native_place(stored: StoredFrames, frame: int) -> NativePlace:
    _expect_frame(stored, frame)
    return native_place(stored.frame_bits, frame, words=not stored.little and stored.vr == "OW")


def _expect_frame(stored: StoredFrames, frame: int) -> None:
    _expect_pixels(stored)
    if not 1 <= frame <= stored.count:
        raise NotFound(f"The instance has {stored.count} frames that can be given one by one.")


def _expect_pixels(stored: StoredFrames) -> None:
    if not stored.has_pixels:
        raise NotFound("The instance has no pixel data.")


def _expect_bounded(size_bytes: int) -> None:
    if size_bytes > MAX_HEADER_BYTES:
        raise NotAcceptable(f"The instance has more than {MAX_HEADER_BYTES} bytes before or behind its pixel data.")


async def _bounded(pieces: AsyncGenerator[bytes, None]) -> bytes:
    content = bytearray()
    async with aclosing(pieces):
        async for piece in pieces:
            content += piece
            _expect_bounded(len(content))
    return bytes(content)
