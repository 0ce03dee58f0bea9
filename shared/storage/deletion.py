"""Deleting a study, a series or an instance: out of sight at once, out of storage in steps that can be repeated.

What is going to be deleted is written down first, and whoever finds a job that nobody works on finishes it from that.
Blobs follow behind the answer. How whole studies and series go is in `emptying.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from shared.errors import NotFound, StoreUnavailable
from shared.storage.batching import jittered_pause
from shared.storage.blobs import Blobs
from shared.storage.deletejobs import VICTIM, Batch, DeleteJob, DeleteJobs, Victim
from shared.storage.emptying import Emptying
from shared.storage.errors import OutcomeUnknown, StorageFailed, TransactionFailed
from shared.storage.feed import Feed
from shared.storage.index import DELETING, Index
from shared.storage.instances import Instances
from shared.storage.keys import (
    instance_row,
    main_table,
    study_partition,
)
from shared.storage.packs import Packs
from shared.storage.partitions import DataPartition
from shared.storage.remains import Remains, place
from shared.storage.tables import ETAG, Entity, Tables, Write
from shared.storage.tagremains import TagRemains

log = logging.getLogger(__name__)

_TRIES = 60


class Deletion:
    """Deletes, seen from one worker."""

    def __init__(
        self, tables: Tables, blobs: Blobs, feed: Feed, index: Index, instances: Instances, packs: Packs
    ) -> None:
        self._tables = tables
        self._blobs = blobs
        self._feed = feed
        self._index = index
        self.jobs = DeleteJobs(tables, feed)
        self._remains = Remains(tables, index, instances, self.jobs)
        self._tags = TagRemains(tables)
        self.emptying = Emptying(tables, feed, index, packs, self.jobs, self._remains, self._tags)
        self._behind: set[asyncio.Task[None]] = set()

    async def study(self, partition: DataPartition, study_uid: str) -> None:
        """Delete a study.

        Raises:
            NotFound: there is none.
            StoreUnavailable: storage fails, or another delete of it takes too long.
        """
        if await self._index.study(partition, study_uid) is None:
            raise NotFound("The study is not stored here.")
        job = await self.jobs.begin(partition, study_uid)
        if not await self.emptying.shut_study(job):
            await self.jobs.end(job)
            raise NotFound("The study is not stored here.")
        await self.emptying.finish_study(job)
        self._sweep_blobs_behind(job)

    async def series(self, partition: DataPartition, study_uid: str, series_uid: str) -> None:
        """Delete a series, and its study when it was the last one.

        Raises:
            NotFound: there is none.
            StoreUnavailable: storage fails, or another delete of it takes too long.
        """
        if await self._index.series(partition, study_uid, series_uid) is None:
            raise NotFound("The series is not stored here.")
        job = await self.jobs.begin(partition, study_uid, series_uid)
        if not await self.emptying.shut_series(job):
            await self.jobs.end(job)
            raise NotFound("The series is not stored here.")
        await self.emptying.finish_series(job)
        self._sweep_blobs_behind(job)

    async def instance(self, partition: DataPartition, study_uid: str, series_uid: str, sop_instance_uid: str) -> None:
        """Delete an instance, and its series and study when it was the last one.

        Raises:
            NotFound: there is none.
            StoreUnavailable: storage fails, or another delete takes too long.
        """
        row_key = instance_row(series_uid, sop_instance_uid)
        row = await self._row(partition, study_uid, row_key, VICTIM)
        if row is None:
            raise NotFound("The instance is not stored here.")
        job = await self.jobs.begin(partition, study_uid, series_uid, sop_instance_uid)
        taken, batch = await self._take_out(job, await self.jobs.write_batch(job, 0, [row]))
        if not taken:
            await self.jobs.forget_batch(job, batch)
            await self.jobs.end(job)
            raise NotFound("The instance is not stored here.")
        await asyncio.gather(self._feed.append(batch.events(job)), self._tags.drop(job, batch.victims))
        self._sweep_blobs_behind(job)

    async def resume(self, job: DeleteJob) -> None:
        """Finish a job whose worker died. Doing it twice changes nothing.

        Args:
            job: as `jobs.all()` gives it; nobody else works on it.
        """
        await self.jobs.beat(job)
        if job.sop_instance_uid:
            for batch in await self.jobs.batches(job):
                row = await self._row(job.partition, job.study_uid, batch.victims[0].row, VICTIM)
                if row is not None and row["blob"] == batch.victims[0].blobs[0]:
                    # It never happened, and nobody was told that it did.
                    await self.jobs.forget_batch(job, batch)
                else:
                    await self._feed.append_missing(batch.events(job), batch.feed_number)
                    await self._tags.drop(job, batch.victims)
            await self._remains.mend_covers(job)
        else:
            await self.emptying.resume(job)
        await self._sweep_blobs(job)

    async def settled(self) -> None:
        """Wait until the blobs of all deletes of this worker are gone."""
        await asyncio.gather(*self._behind)

    async def _take_out(self, job: DeleteJob, batch: Batch) -> tuple[bool, Batch]:
        """Delete one instance's rows and change, or delete, those above it; False when it is gone.

        The batch comes back as it was written down last: the instance may be updated until its rows are gone.
        """
        table, where = place(job)
        victim = batch.victims[0]
        doubtful = False
        for attempt in range(_TRIES):
            found, study, series = await asyncio.gather(
                self._row(job.partition, job.study_uid, victim.row, VICTIM),
                self._index.study(job.partition, job.study_uid),
                self._index.series(job.partition, job.study_uid, job.series_uid),
            )
            if found is None or found["blob"] != victim.blobs[0] or study is None or series is None:
                return doubtful, batch
            if DELETING in study or DELETING in series:
                await jittered_pause(min(attempt, 7))
                continue
            if Victim.of(found) != victim:
                batch = await self.jobs.write_batch(job, 0, [found])
                (victim,) = batch.victims
            writes, covers = await self._remains.without_instance(job, study, series, victim.row)
            writes.append(Write("delete", victim.row, etag=found[ETAG]))
            writes += [Write("delete", row) for row in victim.rows[1:]]
            await self.jobs.remember_covers(job, covers.stale)
            try:
                await self._tables.transact(table, where, writes)
                await self._remains.apply(job, covers)
                return True, batch
            except OutcomeUnknown:
                doubtful = True
            except TransactionFailed as error:
                if error.status not in (404, 412):
                    raise
            await jittered_pause(min(attempt, 6))
        raise StoreUnavailable

    def _sweep_blobs_behind(self, job: DeleteJob) -> None:
        task = asyncio.create_task(self._sweep_blobs_quietly(job))
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def _sweep_blobs_quietly(self, job: DeleteJob) -> None:
        try:
            await self._sweep_blobs(job)
        except (StoreUnavailable, StorageFailed, OutcomeUnknown):
            log.warning("blobs of a delete are left to the sweep")

    async def _sweep_blobs(self, job: DeleteJob) -> None:
        for batch in await self.jobs.batches(job):
            await self._blobs.delete_all([name for victim in batch.victims for name in victim.blobs])
            await self.jobs.forget_batch(job, batch)
        await self.jobs.end(job)

    async def _row(self, partition: DataPartition, study_uid: str, row: str, columns: Sequence[str]) -> Entity | None:
        where = study_partition(partition.number, study_uid)
        return await self._tables.get(main_table(study_uid), where, row, columns)
