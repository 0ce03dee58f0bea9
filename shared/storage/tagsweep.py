"""What the sweep does for extended query tags: finishes the indexing of dead stores, and cleans behind deleted tags."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from shared.storage.partitions import DataPartition, Partitions
from shared.storage.postings import Posted, Postings
from shared.storage.tables import Entity
from shared.storage.tagindex import TagIndex
from shared.storage.tags import Tags
from shared.storage.tagset import GoneTag


class TagSweep:
    """One sweep's part for tags, seen from the worker that runs it."""

    def __init__(self, tags: Tags, index: TagIndex, postings: Postings, partitions: Partitions) -> None:
        self._tags = tags
        self._index = index
        self._postings = postings
        self._partitions = partitions
        self._indexed: set[tuple[int, str]] = set()

    def begin(self) -> None:
        """A new sweep: what the one before has looked at may have changed."""
        self._indexed.clear()

    async def complete(self, partition: DataPartition, uids: tuple[str, str, str], row: Entity) -> bool:
        """Give an instance of a dead store what tags need; True when its study had to be indexed."""
        study = partition.number, uids[0]
        behind = await self._index.complete(partition, Posted.of(*uids, row))
        if not behind or study in self._indexed:
            return False
        self._indexed.add(study)
        await self._index.study(partition, uids[0])
        return True

    async def clean(self, before: datetime) -> int:
        """Clean behind tags that were deleted before a moment; gives their number.

        Stores that began when a tag was still there may write in its name for as long as a request can last.
        """
        return await self._tags.clean(before, self._forget)

    async def _forget(self, gone: GoneTag) -> AsyncIterator[None]:
        for number in (await self._partitions.all()).values():
            async for _ in self._postings.forget(number, gone.number):
                yield
