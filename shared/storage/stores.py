"""Everything a handler may reach in storage. Opening it does no I/O: connections are made when they are first used."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from azure.core.pipeline.transport import AsyncHttpTransport

from shared.settings import Settings
from shared.storage import fsck
from shared.storage.account import account_of
from shared.storage.blobs import Blobs
from shared.storage.client import StorageClient
from shared.storage.deletion import Deletion
from shared.storage.feed import Feed
from shared.storage.feed_reader import FeedReader
from shared.storage.frames import Frames
from shared.storage.index import Index
from shared.storage.instances import Instances
from shared.storage.packs import Packs
from shared.storage.partitions import DataPartition, Partitions
from shared.storage.search import Search
from shared.storage.sweep import Sweep
from shared.storage.tables import Tables
from shared.storage.uploads import Uploads
from shared.storage.writer import Writer


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one app.

    Attributes:
        instances: reads stored instances.
        frames: reads single frames of stored instances.
        packs: finished metadata answers.
        search: finds studies, series and instances.
        index: makes uploaded instances visible.
        uploads: brings bytes of new instances into blobs.
        feed: the change feed's log.
        changes: reads the change feed.
        partitions: names and numbers of data partitions.
        writer: this worker as a writer.
        deletion: deletes what is stored.
        sweep: finishes what dead workers left.
    """

    instances: Instances
    frames: Frames
    packs: Packs
    search: Search
    index: Index
    uploads: Uploads
    feed: Feed
    changes: FeedReader
    partitions: Partitions
    writer: Writer
    deletion: Deletion
    sweep: Sweep
    _client: StorageClient
    _blobs: Blobs
    _tables: Tables

    async def partition(self, name: str) -> DataPartition:
        """A data partition that exists.

        Raises:
            InvalidRequest: there is none of that name.
        """
        return DataPartition(await self.partitions.number(name), name)

    async def partition_or_new(self, name: str) -> DataPartition:
        """A data partition, made when it does not exist."""
        return DataPartition(await self.partitions.number_or_new(name), name)

    async def check(self) -> None:
        """Return when both storage services answer.

        Raises:
            StoreUnavailable: one of them does not.
        """
        await asyncio.gather(self._blobs.check(), self._tables.check())

    async def fsck(self) -> fsck.Report:
        """Check everything that is stored; see `shared.storage.fsck`."""
        return await fsck.check(self._tables, self._blobs)

    async def close(self) -> None:
        """Finish what is being written behind answers, and close the connections."""
        await self.packs.settled()
        await self.deletion.settled()
        await self.writer.close()
        await self._client.close()


def open_stores(settings: Settings, transport: AsyncHttpTransport[Any, Any] | None = None) -> Stores:
    """The stores that the settings name.

    Args:
        settings: the service's settings.
        transport: replaces the HTTP transport to storage.

    Raises:
        SettingsError: the settings cannot be used.
    """
    client = StorageClient(account_of(settings), settings.identity_client_id, transport)
    tables, blobs = Tables(client), Blobs(client, settings.container)
    feed = Feed(tables)
    writer = Writer(tables, feed)
    index, instances, packs = Index(tables, blobs, feed, writer), Instances(tables, blobs), Packs(blobs)
    partitions = Partitions(tables)
    deletion = Deletion(tables, blobs, feed, index, instances, packs)
    return Stores(
        instances=instances,
        frames=Frames(tables, blobs),
        packs=packs,
        search=Search(tables, instances),
        index=index,
        uploads=Uploads(blobs, writer),
        feed=feed,
        changes=FeedReader(tables),
        partitions=partitions,
        writer=writer,
        deletion=deletion,
        sweep=Sweep(tables, blobs, feed, index, deletion, partitions),
        _client=client,
        _blobs=blobs,
        _tables=tables,
    )
