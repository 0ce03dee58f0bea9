"""Metadata packs: the finished answer to "metadata of this series", one compressed blob a series.

A pack has a fixed name and carries the series' version with it, so a stale one is recognised by every reader and
overwritten by the next; nothing has to be cleaned up but the pack of a deleted series.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from shared.errors import NotFound, StoreUnavailable, UnknownSchema
from shared.storage.blobs import BlobMissing, Blobs, OpenBlob
from shared.storage.errors import StorageFailed
from shared.storage.keys import base36
from shared.storage.partitions import DataPartition

log = logging.getLogger(__name__)

_VERSION = "version"


class Packs:
    """Packs of one store. They live in the instances' container below `packs/`."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._writing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(
        self, partition: DataPartition, study_uid: str, series_uid: str, version: int
    ) -> AsyncIterator[OpenBlob | None]:
        """The pack of that very version, gzip; None when there is none that this release reads."""
        async with AsyncExitStack() as stack:
            found: OpenBlob | None = None
            with suppress(BlobMissing, UnknownSchema):
                found = await stack.enter_async_context(self._blobs.open(_name(partition, study_uid, series_uid)))
            yield found if found is not None and found.metadata.get(_VERSION) == str(version) else None

    def write_behind(
        self,
        partition: DataPartition,
        study_uid: str,
        series_uid: str,
        version: int,
        content: bytes,
        still_current: Callable[[], Awaitable[bool]],
    ) -> None:
        """Write a pack after the answer, if nothing was stored meanwhile. Losing it costs the next reader's time."""
        name = _name(partition, study_uid, series_uid)
        task = asyncio.create_task(self._put(name, version, content, still_current))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def delete(self, partition: DataPartition, study_uid: str, series_uid: str) -> None:
        """Delete the pack of a series that is gone."""
        await self._blobs.delete(_name(partition, study_uid, series_uid))

    async def settled(self) -> None:
        """Wait until all packs that are being written are written."""
        await asyncio.gather(*self._writing)

    async def _put(self, name: str, version: int, content: bytes, still_current: Callable[[], Awaitable[bool]]) -> None:
        try:
            if await still_current():
                await self._blobs.put(name, content, {_VERSION: str(version)})
        except (StoreUnavailable, StorageFailed, NotFound):
            log.warning("a metadata pack could not be written")


def _name(partition: DataPartition, study_uid: str, series_uid: str) -> str:
    return f"packs/{base36(partition.number)}/{study_uid}/{series_uid}"
