"""Where the bytes and the starts of frames come from: ranges of blobs, pages of tables, and files that have to be read.

What is kept of tables is bounded, whatever their number: pages of large ones, and what was found by scanning the files
of rows that say nothing of frames.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from shared.dicom.elements import DEFLATED_EXPLICIT_LITTLE
from shared.dicom.inflating import DeflatedReader
from shared.dicom.part10 import NotDicom, Part10Scanner
from shared.errors import NotAcceptable, ReplacedMeanwhile
from shared.storage.blobs import BlobMissing, Blobs
from shared.storage.files import StoredInstance, open_file
from shared.storage.pixelrows import FRAMES_SUFFIX, START_BYTES, PixelColumns, pixel_columns, starts_of, unpacked_starts

_PAGE_STARTS = 512
"""Numbers of a table that are read together, 4 KiB. The last of a page is the first of the next one."""

_PAGES_KEPT = 2048
_SCANNED_KEPT = 256
_SCANNED_STARTS_KEPT = 1_000_000
_FED_BYTES = 256 * 1024
_FED_DEFLATED_BYTES = 8 * 1024  # these may grow a thousandfold


@dataclass(frozen=True, slots=True)
class FileSource:
    """The bytes of one stored file."""

    blobs: Blobs
    instance: StoredInstance

    async def range(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """The bytes of the file from `start` to before `stop`.

        Raises:
            ReplacedMeanwhile: the instance was deleted, or updated again, after it was found.
        """
        if stop <= start:
            return
        try:
            async with open_file(self.blobs, self.instance, start, stop) as opened:
                async for chunk in opened.chunks:
                    yield chunk
        except BlobMissing as error:
            raise ReplacedMeanwhile from error

    async def inflated_header(self, max_bytes: int) -> bytes:
        """A deflated file, inflated, up to the value of its pixel data.

        Raises:
            NotAcceptable: that is longer than `max_bytes`, or cannot be inflated.
        """
        reader = DeflatedReader()
        content = bytearray()
        async with aclosing(self._inflated(reader)) as pieces:
            async for piece in pieces:
                content += piece
                if (reader.pixels_at or len(content)) > max_bytes:
                    break
                if reader.pixels_at is not None:
                    return reader.file_meta + bytes(content[: reader.pixels_at])
        raise NotAcceptable(f"The pixel data of the instance does not begin in its first {max_bytes} bytes.")

    async def inflated_pixels(self, start: int, stop: int | None) -> AsyncGenerator[bytes, None]:
        """Bytes of a deflated file, inflated, counted from the value of its pixel data; to its end without `stop`."""
        reader = DeflatedReader()
        position = 0
        async with aclosing(self._inflated(reader)) as pieces:
            async for piece in pieces:
                if reader.pixels_at is not None:
                    at = reader.pixels_at - position
                    wanted = piece[max(at + start, 0) : None if stop is None else max(at + stop, 0)]
                    if wanted:
                        yield wanted
                    if stop is not None and len(piece) >= at + stop:
                        return
                position += len(piece)

    async def _inflated(self, reader: DeflatedReader) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(self.range(0, self.instance.length_bytes)) as chunks:
                async for chunk in chunks:
                    for at in range(0, len(chunk), _FED_DEFLATED_BYTES):
                        piece = await asyncio.to_thread(reader.feed, chunk[at : at + _FED_DEFLATED_BYTES])
                        if piece:
                            yield piece
        except NotDicom as error:
            raise NotAcceptable(f"The deflated instance cannot be taken apart: {error}") from error


@dataclass(frozen=True, slots=True)
class ScannedPixels:
    """What was found by reading a file through.

    Attributes:
        columns: what its row would say; None when it has no pixel data.
        starts: of its encapsulated frames, and their end.
    """

    columns: PixelColumns | None
    starts: array[int]


class FrameStarts:
    """Starts of frames that are not in a row, a bounded part of them kept."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._pages: OrderedDict[tuple[str, int], array[int]] = OrderedDict()
        self._scanned: OrderedDict[str, ScannedPixels] = OrderedDict()
        self._scanning = asyncio.Lock()

    async def of_frame(self, instance: StoredInstance, count: int, frame: int) -> tuple[int, int]:
        """Start and end of a frame.

        Args:
            instance: the instance.
            count: how many frames it has.
            frame: number of the frame, from 1 to `count`.

        Raises:
            ReplacedMeanwhile: the instance was deleted, or updated again, after it was found.
        """
        number, place = divmod(frame - 1, _PAGE_STARTS - 1)
        page = self._pages.get((instance.blob, number))
        if page is None:
            page = await self._read_page(instance, count, number)
        else:
            self._pages.move_to_end((instance.blob, number))
        return page[place], page[place + 1]

    async def scanned(self, instance: StoredInstance) -> ScannedPixels:
        """What the file of an instance says of its pixel data; read through when it is not known any more."""
        # An update moves the pixel data; what frame tables say of it stays.
        name = instance.head or instance.blob
        known = self._scanned.get(name)
        if known is not None:
            self._scanned.move_to_end(name)
            return known
        async with self._scanning:
            # One after the other: many requests for one instance are the rule.
            if name not in self._scanned:
                found = await _scan(FileSource(self._blobs, instance))
                self._scanned[name] = ScannedPixels(found, _starts_of(found))
                self._forget_scanned()
            return self._scanned[name]

    async def _read_page(self, instance: StoredInstance, count: int, number: int) -> array[int]:
        first = number * (_PAGE_STARTS - 1)
        starts = min(_PAGE_STARTS, count + 1 - first)
        name = instance.blob + FRAMES_SUFFIX
        try:
            async with self._blobs.open(name, first * START_BYTES, starts * START_BYTES) as opened:
                page = starts_of(b"".join([chunk async for chunk in opened.chunks]))
        except BlobMissing as error:
            raise ReplacedMeanwhile from error
        self._pages[instance.blob, number] = page
        if len(self._pages) > _PAGES_KEPT:
            self._pages.popitem(last=False)
        return page

    def _forget_scanned(self) -> None:
        """Keep what was scanned last, and of the rest as much as is allowed."""
        kept = sum(len(one.starts) for one in self._scanned.values())
        while len(self._scanned) > 1 and (kept > _SCANNED_STARTS_KEPT or len(self._scanned) > _SCANNED_KEPT):
            _, forgotten = self._scanned.popitem(last=False)
            kept -= len(forgotten.starts)


async def _scan(source: FileSource) -> PixelColumns | None:
    scanner = Part10Scanner()
    deflated = source.instance.transfer_syntax == DEFLATED_EXPLICIT_LITTLE
    fed_bytes = _FED_DEFLATED_BYTES if deflated else _FED_BYTES
    try:
        async with aclosing(source.range(0, source.instance.length_bytes)) as chunks:
            async for chunk in chunks:
                for at in range(0, len(chunk), fed_bytes):
                    await asyncio.to_thread(scanner.feed, chunk[at : at + fed_bytes])
        return await asyncio.to_thread(lambda: pixel_columns(scanner.finish()))
    except NotDicom as error:
        raise NotAcceptable(f"The frames of the instance cannot be found: {error}") from error


def _starts_of(pixels: PixelColumns | None) -> array[int]:
    return unpacked_starts(pixels.starts) if pixels is not None and pixels.starts else array("Q")
