"""Bytes of new instances out of files that are in the account already: copied within storage, not through the worker.

Where storage refuses to copy, the file goes through the worker in blocks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from shared.storage.blobs import Blobs
from shared.storage.dropped import Dropped, DroppedFile, FileChanged
from shared.storage.errors import StorageFailed
from shared.storage.uploads import BLOCK_BYTES, RequestUploads, Upload
from shared.storage.writer import Writer

log = logging.getLogger(__name__)

ORIGIN = "origin"
"""In the metadata of a blob: the mark of the file that it was made of."""


@dataclass(frozen=True, slots=True)
class _Source:
    dropped: Dropped
    file: DroppedFile


class _Copied(Upload):
    """An upload that is told the bytes of a file and only counts them: the blob is a copy of the file."""

    source: _Source

    async def write(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)

    async def finish(self, belongs_to: Mapping[str, str]) -> asyncio.Task[None]:
        return await self._start(self._copy({**belongs_to, ORIGIN: self.source.file.mark}), 0)

    async def _copy(self, metadata: Mapping[str, str]) -> None:
        file = self.source.file
        try:
            await self._blobs.copy(self.name, self.source.dropped.url(file.path), file.etag, metadata)
        except StorageFailed as refused:
            if refused.status in (404, 412):
                raise FileChanged from refused
            log.warning("storage does not copy file %s (%s); it goes through the worker", file.mark, refused)
            await self._carry(metadata)

    async def _carry(self, metadata: Mapping[str, str]) -> None:
        blocks, kept = 0, bytearray()
        async with aclosing(self.source.dropped.chunks(self.source.file)) as chunks:
            async for chunk in chunks:
                kept += chunk
                while len(kept) >= BLOCK_BYTES:
                    await self._blobs.stage(self.name, blocks, bytes(kept[:BLOCK_BYTES]))
                    del kept[:BLOCK_BYTES]
                    blocks += 1
        if kept:
            await self._blobs.stage(self.name, blocks, bytes(kept))
            blocks += 1
        await self._blobs.commit(self.name, blocks, metadata)


class _CopyingUploads(RequestUploads):
    source: _Source

    def begin(self) -> Upload:
        name = self._writer.blob_name(self._partition, self._epoch)
        self._made[name] = False
        upload = _Copied(self._blobs, name, self._budget, self._tasks)
        upload.source = self.source
        return upload


class Copying:
    """Makes instances of dropped files.

    Args:
        blobs: where instances are.
        writer: this worker.
        dropped: where files are.
    """

    def __init__(self, blobs: Blobs, writer: Writer, dropped: Dropped) -> None:
        self._blobs = blobs
        self._writer = writer
        self._dropped = dropped

    @asynccontextmanager
    async def request(self, partition: int, file: DroppedFile) -> AsyncIterator[RequestUploads]:
        """Uploads of a request that stores one file into a data partition; what got no row by its end is deleted."""
        async with self._writer.request() as epoch:
            uploads = _CopyingUploads(self._blobs, self._writer, partition, epoch)
            uploads.source = _Source(self._dropped, file)
            try:
                yield uploads
            finally:
                await uploads.settle()
