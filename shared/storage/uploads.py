"""Bringing the bytes of new instances into blobs while they arrive, with bounded memory.

A small instance is kept until it is known to be good and then put in one call, in the background, with others. A large
one is staged in blocks, which stay invisible until they are committed; a refused one is simply never committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from shared.errors import StoreUnavailable
from shared.storage.blobs import Blobs
from shared.storage.errors import StorageFailed
from shared.storage.writer import Writer

log = logging.getLogger(__name__)

BLOCK_BYTES = 4 * 1024 * 1024
"""Instances up to this size go in one call; larger ones in blocks of it."""

PENDING_BYTES = 16 * 1024 * 1024
"""How much one request may have on its way to storage before it stops reading its body."""

PENDING_CALLS = 32


class _Budget:
    """Bounds what one request has on its way to storage."""

    def __init__(self) -> None:
        self._free_bytes = PENDING_BYTES
        self._free_calls = PENDING_CALLS
        self._waiters: list[asyncio.Future[None]] = []

    async def take(self, size_bytes: int) -> None:
        while self._free_bytes < size_bytes or not self._free_calls:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        self._free_bytes -= size_bytes
        self._free_calls -= 1

    def give_back(self, size_bytes: int) -> None:
        self._free_bytes += size_bytes
        self._free_calls += 1
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class Upload:
    """One instance's bytes on their way to a blob.

    Attributes:
        name: the blob's name.
        size_bytes: how much was written so far.
    """

    def __init__(self, blobs: Blobs, name: str, budget: _Budget, tasks: set[asyncio.Task[None]]) -> None:
        self.name = name
        self.size_bytes = 0
        self._blobs = blobs
        self._budget = budget
        self._tasks = tasks
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._blocks: list[asyncio.Task[None]] = []

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes; waits while too much is on its way."""
        self._kept.append(chunk)
        self._kept_bytes += len(chunk)
        self.size_bytes += len(chunk)
        while self._kept_bytes > BLOCK_BYTES:
            content = b"".join(self._kept)
            self._keep(content[BLOCK_BYTES:])
            await self._stage(content[:BLOCK_BYTES])

    async def finish(self, belongs_to: Mapping[str, str]) -> asyncio.Task[None]:
        """Begin to make the blob; the task ends when it is there."""
        content = b"".join(self._kept)
        self._keep(b"")
        if not self._blocks:
            return await self._start(self._blobs.put(self.name, content, belongs_to), len(content))
        await self._stage(content)
        return await self._start(self._commit(belongs_to), 0)

    async def discard(self) -> None:
        """Forget what was staged."""
        self._keep(b"")
        for task in self._blocks:
            task.cancel()
        await asyncio.gather(*self._blocks, return_exceptions=True)

    def _keep(self, rest: bytes) -> None:
        self._kept = [rest] if rest else []
        self._kept_bytes = len(rest)

    async def _stage(self, content: bytes) -> None:
        number = len(self._blocks)
        self._blocks.append(await self._start(self._blobs.stage(self.name, number, content), len(content)))

    async def _commit(self, belongs_to: Mapping[str, str]) -> None:
        await asyncio.gather(*self._blocks)
        await self._blobs.commit(self.name, len(self._blocks), belongs_to)

    async def _start(self, work: Coroutine[Any, Any, None], size_bytes: int) -> asyncio.Task[None]:
        try:
            await self._budget.take(size_bytes)
        except asyncio.CancelledError:
            work.close()
            raise
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._budget.give_back(size_bytes))
        return task


class RequestUploads:
    """All uploads of one request."""

    def __init__(self, blobs: Blobs, writer: Writer, partition: int, epoch: int) -> None:
        self._blobs = blobs
        self._writer = writer
        self._partition = partition
        self._epoch = epoch
        self._budget = _Budget()
        self._tasks: set[asyncio.Task[None]] = set()
        self._made: dict[str, bool] = {}
        self._unsure: set[str] = set()

    def begin(self) -> Upload:
        """A new, empty upload."""
        name = self._writer.blob_name(self._partition, self._epoch)
        self._made[name] = False
        return Upload(self._blobs, name, self._budget, self._tasks)

    def committing(self, names: Iterable[str]) -> None:
        """Rows that name these blobs may be written from now on: until more is known, nobody here may delete them."""
        for name in names:
            self._made.pop(name, None)
            self._unsure.add(name)

    def keep(self, name: str) -> None:
        """The blob has a row now, and all that follows it: it stays."""
        self._made.pop(name, None)
        self._unsure.discard(name)

    def refuse(self, name: str) -> None:
        """The blob has no row and will have none."""
        self._unsure.discard(name)
        self._made[name] = True

    async def settle(self) -> None:
        """End what is still on its way, delete the blobs that got no row, and leave to the sweep what is in doubt."""
        doubtful = bool(self._unsure) or any(not task.done() for task in self._tasks)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._blobs.delete_all([name for name, started in self._made.items() if started])
        except (StoreUnavailable, StorageFailed):
            doubtful = True
        if doubtful:
            # A row may have been written, or a blob may yet be: what was sent can be carried out after its sender left.
            log.warning("instances are left to the sweep", extra={"instances": len(self._unsure)})
            self._writer.leave(self._epoch)

    async def finish(self, upload: Upload, study: str, series: str, instance: str) -> asyncio.Task[None]:
        """Begin to make an upload's blob, which says what it belongs to; the task ends when it is there."""
        self._made[upload.name] = True
        return await upload.finish({"study": study, "series": series, "instance": instance})


class Uploads:
    """Uploads of this worker."""

    def __init__(self, blobs: Blobs, writer: Writer) -> None:
        self._blobs = blobs
        self._writer = writer

    @asynccontextmanager
    async def request(self, partition: int) -> AsyncIterator[RequestUploads]:
        """The uploads of one request into a data partition; what got no row by its end is deleted again."""
        async with self._writer.request() as epoch:
            uploads = RequestUploads(self._blobs, self._writer, partition, epoch)
            try:
                yield uploads
            finally:
                await uploads.settle()
