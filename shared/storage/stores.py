"""Everything a handler may reach in storage. Opening it does no I/O: connections are made when they are first used."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from azure.core.pipeline.transport import AsyncHttpTransport

from shared.settings import Settings
from shared.storage import fsck
from shared.storage.account import account_of
from shared.storage.blobs import Blobs
from shared.storage.client import StorageClient
from shared.storage.copying import Copying
from shared.storage.deletion import Deletion
from shared.storage.destinations import Destinations
from shared.storage.dropped import Dropped
from shared.storage.feed import Feed
from shared.storage.feed_reader import FeedReader
from shared.storage.filerecords import FileRecords
from shared.storage.frames import Frames
from shared.storage.index import Index
from shared.storage.instances import Instances
from shared.storage.instancewalk import InstanceWalk
from shared.storage.operationstore import Operations
from shared.storage.packs import Packs
from shared.storage.partitions import DataPartition, Partitions
from shared.storage.postings import Postings
from shared.storage.queues import Queues
from shared.storage.search import Search
from shared.storage.sweep import Sweep
from shared.storage.tables import Tables
from shared.storage.tagfollow import TagFollower
from shared.storage.tagindex import TagIndex
from shared.storage.tags import Tags
from shared.storage.tagsweep import TagSweep
from shared.storage.tagwalk import TagWalk
from shared.storage.updating import Updating
from shared.storage.uploads import Uploads
from shared.storage.workitems import Workitems
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
        updating: makes updates of instances visible.
        operations: work that outlives its request.
        queues: where messages for workers go.
        tags: the extended query tags.
        tag_index: indexes a study by them.
        tag_walk: indexes everything by those that are being added.
        instance_walk: goes through instances in slices.
        destinations: containers that are exported to.
        dropped: files that wait to be imported.
        file_records: what has become of them.
        copying: makes instances of them.
        workitems: the worklist.
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
    updating: Updating
    operations: Operations
    queues: Queues
    tags: Tags
    tag_index: TagIndex
    tag_walk: TagWalk
    instance_walk: InstanceWalk
    destinations: Destinations
    dropped: Dropped
    file_records: FileRecords
    copying: Copying
    workitems: Workitems
    _client: StorageClient
    _blobs: Blobs
    _tables: Tables

    async def partition(self, name: str) -> DataPartition:
        """A data partition that exists.

        Raises:
            InvalidRequest: there is none of that name.
            PartitionsLeft: the app is set not to use those that there are.
        """
        await self.partitions.check_use()
        return DataPartition(await self.partitions.number(name), name)

    async def partition_or_new(self, name: str) -> DataPartition:
        """A data partition, made when it does not exist.

        Raises:
            PartitionsLeft: the app is set not to use those that there are.
        """
        await self.partitions.check_use()
        return DataPartition(await self.partitions.number_or_new(name), name)

    async def check(self) -> None:
        """Return when both storage services answer.

        Raises:
            StoreUnavailable: one of them does not.
            PartitionsLeft: the app is set not to use the partitions that there are.
        """
        await asyncio.gather(self._blobs.check(), self._tables.check(), self.partitions.check_use())

    async def fsck(self) -> fsck.Report:
        """Check everything that is stored; see `shared.storage.fsck`."""
        return await fsck.check(self._tables, self._blobs)

    async def close(self) -> None:
        """Finish what is being written behind answers, and close the connections."""
        await self.packs.settled()
        await self.deletion.settled()
        await self.writer.close()
        await self.destinations.close()
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
    queues = Queues(client)
    feed = Feed(tables)
    writer = Writer(tables, feed)
    tags, postings = Tags(tables), Postings(tables)
    follower = TagFollower(tags, postings)
    index, instances, packs = Index(tables, blobs, feed, writer, follower), Instances(tables, blobs), Packs(blobs)
    partitions = Partitions(tables, in_use=settings.data_partitions)
    tag_index = TagIndex(tables, index, instances, tags, postings)
    follower.catch_up = tag_index.study
    deletion = Deletion(tables, blobs, feed, index, instances, packs)
    dropped, lease = Dropped(client, settings.imports.container), timedelta(seconds=settings.lease_seconds)
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
        sweep=Sweep(tables, blobs, feed, index, deletion, partitions, TagSweep(tags, tag_index, postings, partitions)),
        updating=Updating(tables, blobs, feed, index, instances, writer),
        operations=Operations(tables, queues, lease),
        queues=queues,
        tags=tags,
        tag_index=tag_index,
        tag_walk=TagWalk(tables, tag_index, partitions),
        instance_walk=InstanceWalk(tables),
        destinations=Destinations(settings, client.account),
        dropped=dropped,
        file_records=FileRecords(client, settings.imports.container, lease),
        copying=Copying(blobs, writer, dropped),
        workitems=Workitems(tables),
        _client=client,
        _blobs=blobs,
        _tables=tables,
    )
