"""One instance into a container: as it is stored, in blocks, with bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum

from shared.edits.export_source import Found
from shared.errors import NotFound, StoreUnavailable
from shared.storage.destinations import BLOCK_BYTES, BlobRefused, Container
from shared.storage.files import StoredInstance
from shared.storage.instances import BlobMissing, Instances
from shared.storage.partitions import DataPartition

_MEDIA_TYPE = "application/dicom"
_BLOCKS_AT_ONCE = 4
_TRIES = 4


class Outcome(Enum):
    """What became of an instance, when nothing was wrong."""

    EXPORTED = "exported"
    GONE = "gone"
    """Deleted since it was found."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an instance was not exported, without attribute values."""

    text: str


@dataclass(frozen=True, slots=True)
class Copier:
    """Copies instances of a data partition into a folder of a container.

    Attributes:
        instances: where they are.
        partition: theirs.
        container: where to.
        folder: name of the folder.
    """

    instances: Instances
    partition: DataPartition
    container: Container
    folder: str

    async def copy(self, found: Found) -> Outcome | Refused:
        """Copy the newest version of an instance, replacing what an earlier try has left.

        Raises:
            StoreUnavailable: the service's own storage does not answer.
            DestinationUnreachable: the container does not.
            DestinationClosed: it is not there, or not open any more.
        """
        name = f"{self.folder}/{found.identifier}.dcm"
        instance, why = found.instance, ""
        for _ in range(_TRIES):
            try:
                await self._write(name, instance)
            except BlobMissing:
                why = "The instance cannot be read."
            except BlobRefused as refused:
                # Another worker's commit drops the blocks of this one.
                why = f"The destination refused the file: {refused.code or 'no reason given'}."
            else:
                return Outcome.EXPORTED
            try:
                uids = (found.study_uid, instance.series_uid, instance.sop_instance_uid)
                instance = await self.instances.find(self.partition, *uids)
            except NotFound:
                return Outcome.GONE
        return Refused(why)

    async def _write(self, name: str, instance: StoredInstance) -> None:
        async with self.instances.open(instance) as opened:
            if opened.length_bytes > BLOCK_BYTES:
                await self._in_blocks(name, instance, opened.chunks)
                return
            content = b"".join([chunk async for chunk in opened.chunks])
        _expect(len(content), instance)
        await self.container.put(name, content, _MEDIA_TYPE)

    async def _in_blocks(self, name: str, instance: StoredInstance, chunks: AsyncIterator[bytes]) -> None:
        gate = asyncio.Semaphore(_BLOCKS_AT_ONCE)
        blocks: list[str] = []
        size_bytes = 0
        staging: list[asyncio.Task[None]] = []
        try:
            async for content in _cut(chunks):
                # Two workers with the same version of an instance write the same blocks.
                blocks.append(f"{instance.version:020d}-{len(blocks):06d}")
                size_bytes += len(content)
                await gate.acquire()
                _raise_first(staging)
                staging.append(asyncio.create_task(self._stage(gate, name, blocks[-1], content)))
            await asyncio.gather(*staging)
        finally:
            for task in staging:
                task.cancel()
            await asyncio.gather(*staging, return_exceptions=True)
        _expect(size_bytes, instance)
        await self.container.commit(name, blocks, _MEDIA_TYPE)

    async def _stage(self, gate: asyncio.Semaphore, name: str, block: str, content: bytes) -> None:
        try:
            await self.container.stage(name, block, content)
        finally:
            gate.release()


async def _cut(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in blocks."""
    kept = bytearray()
    async for chunk in chunks:
        kept += chunk
        while len(kept) >= BLOCK_BYTES:
            yield bytes(kept[:BLOCK_BYTES])
            del kept[:BLOCK_BYTES]
    if kept:
        yield bytes(kept)


def _raise_first(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done() and (error := task.exception()) is not None:
            raise error


def _expect(size_bytes: int, instance: StoredInstance) -> None:
    if size_bytes != instance.length_bytes:
        # The connection ended early.
        raise StoreUnavailable
