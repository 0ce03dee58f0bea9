"""Studies and series on their way out: shut, so that no store gets in and no reader sees them, then emptied, then gone.

One is shut by taking its guard away and marking its row, in one transaction. Then instances go, a batch at a time: the
batch is written down, its rows are deleted, its events are appended. Every step can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import StoreUnavailable
from shared.storage.batching import jittered_pause
from shared.storage.deletejobs import VICTIM, Batch, DeleteJob, DeleteJobs
from shared.storage.errors import OutcomeUnknown, TransactionFailed
from shared.storage.feed import Feed
from shared.storage.index import DELETING, Index
from shared.storage.keys import (
    STUDY_GUARD,
    STUDY_ROW,
    main_table,
    series_guard,
    series_range,
    series_row,
    uids_of_row,
    version_number,
)
from shared.storage.originals import BLOB_OF_ORIGINAL, is_updated
from shared.storage.packs import Packs
from shared.storage.remains import Remains, place
from shared.storage.rows import state_of
from shared.storage.tables import ETAG, Entity, Tables, Write, between, quoted, whole
from shared.storage.tagremains import TagRemains

_BATCH = 90
_SERIES_AT_ONCE = 45
_TRIES = 60


class Emptying:
    """Deletes of whole studies and series, seen from one worker."""

    def __init__(  # noqa: PLR0913 - all that knows of an instance that goes
        self,
        tables: Tables,
        feed: Feed,
        index: Index,
        packs: Packs,
        jobs: DeleteJobs,
        remains: Remains,
        tags: TagRemains,
    ) -> None:
        self._tables = tables
        self._feed = feed
        self._index = index
        self._packs = packs
        self._jobs = jobs
        self._remains = remains
        self._tags = tags

    async def resume(self, job: DeleteJob) -> None:
        """Go on with the job of a worker that died. Doing it twice changes nothing."""
        for batch in await self._jobs.batches(job):
            await self._tags.drop_read(job, batch)
            await self._delete_rows(job, batch)
            await self._feed.append_missing(batch.events(job), batch.feed_number)
        await self._resume_rows(job)

    async def shut_study(self, job: DeleteJob) -> bool:
        """Take the guards of a study and its series away; False when there is no study (any more)."""
        table, where = place(job)
        for attempt in range(_TRIES):
            study = await self._index.study(job.partition, job.study_uid)
            if study is None:
                return False
            if study.get(DELETING, job.job_id) != job.job_id:
                await jittered_pause(min(attempt, 7))
                continue
            if DELETING not in study:
                mark = {DELETING: job.job_id, "version": version_number(whole(study, "version"))}
                writes = [Write("merge", STUDY_ROW, mark, study[ETAG]), Write("delete", STUDY_GUARD)]
                if not await self._done(table, where, writes):
                    continue
            for series_uid in await self._series_uids(job):
                await self._shut_one_series(job, series_uid)
            return True
        raise StoreUnavailable

    async def _shut_one_series(self, job: DeleteJob, series_uid: str) -> None:
        """Take a series' guard away and mark it; a store that got in before is seen by what follows."""
        table, where = place(job)
        writes = [
            Write("merge", series_row(series_uid), {DELETING: job.job_id}),
            Write("delete", series_guard(series_uid)),
        ]
        for attempt in range(_TRIES):
            if await self._done(table, where, writes):
                return
            series = await self._index.series(job.partition, job.study_uid, series_uid)
            if series is None or series.get(DELETING) == job.job_id:
                return
            # Another delete, of this series, was first: two that empty it would tell of each instance twice.
            await jittered_pause(min(attempt, 7))
        raise StoreUnavailable

    async def finish_study(self, job: DeleteJob) -> None:
        """From a study that is shut to nothing."""
        table, where = place(job)
        study = await self._index.study(job.partition, job.study_uid)
        if study is not None:
            state = state_of(study)
            await self._remains.uncover(job, "log", state, job.study_uid)
        series_uids = await self._series_uids(job)
        for series_uid in series_uids:
            row = await self._index.series(job.partition, job.study_uid, series_uid)
            if row is not None:
                await self._remains.uncover(job, "ser", state_of(row), job.study_uid, series_uid)
        await self._empty(job, f"PartitionKey eq {quoted(where)}")
        for start in range(0, len(series_uids), _SERIES_AT_ONCE):
            part = series_uids[start : start + _SERIES_AT_ONCE]
            await self._each_gone(table, where, [series_row(series_uid) for series_uid in part])
        await self._tables.delete(table, where, STUDY_ROW)
        for series_uid in series_uids:
            await self._packs.delete(job.partition, job.study_uid, series_uid)

    async def shut_series(self, job: DeleteJob) -> bool:
        """Take the guard of a series away; False when there is no such series (any more)."""
        table, where = place(job)
        for attempt in range(_TRIES):
            series = await self._index.series(job.partition, job.study_uid, job.series_uid)
            if series is None:
                return False
            owner = series.get(DELETING)
            if owner == job.job_id:
                return True
            if owner is None:
                writes = [
                    Write("merge", series_row(job.series_uid), {DELETING: job.job_id}, series[ETAG]),
                    Write("delete", series_guard(job.series_uid)),
                    Write("merge", STUDY_ROW, {"version": version_number(whole(series, "version"))}),
                ]
                if await self._done(table, where, writes):
                    return True
            await jittered_pause(min(attempt, 7))
        raise StoreUnavailable

    async def finish_series(self, job: DeleteJob) -> None:
        """From a series that is shut to nothing; takes its study along when it is empty then."""
        table, where = place(job)
        row = await self._index.series(job.partition, job.study_uid, job.series_uid)
        if row is not None:
            await self._remains.uncover(job, "ser", state_of(row), job.study_uid, job.series_uid)
        await self._empty(job, between(where, *series_range(job.series_uid)))
        for attempt in range(_TRIES):
            study = await self._index.study(job.partition, job.study_uid)
            if study is None or DELETING in study:
                # The study goes as well, by another hand.
                await self._tables.delete(table, where, series_row(job.series_uid))
                break
            writes, covers = await self._remains.without(job, study, {job.series_uid}, None)
            writes.append(Write("delete", series_row(job.series_uid)))
            await self._jobs.remember_covers(job, covers.stale)
            if await self._done(table, where, writes) or await self._gone(table, where, series_row(job.series_uid)):
                await self._remains.apply(job, covers)
                break
            await jittered_pause(min(attempt, 6))
        else:
            raise StoreUnavailable
        await self._packs.delete(job.partition, job.study_uid, job.series_uid)

    async def _empty(self, job: DeleteJob, where_rows: str) -> None:
        """Delete all instances in a range that is shut, and say so in the feed."""
        number = max((batch.number + 1 for batch in await self._jobs.batches(job)), default=0)
        while True:
            rows: list[Entity] = []
            pages = self._tables.pages(main_table(job.study_uid), f"{where_rows} and blob ge ' '", VICTIM, top=_BATCH)
            async for page in pages:
                rows += page
                if len(rows) >= _BATCH:
                    break
            if not rows:
                return
            batch = await self._jobs.write_batch(job, number, _fitting(rows))
            await self._tags.drop(job, batch.victims)
            await self._delete_rows(job, batch)
            await self._feed.append(batch.events(job))
            await self._jobs.beat(job)
            number += 1

    async def _delete_rows(self, job: DeleteJob, batch: Batch) -> None:
        """Delete the rows of a batch; a row that is gone, or stored anew since, is left."""
        table, where = place(job)
        await self._each_gone(table, where, [row for victim in batch.victims for row in victim.rows], batch)

    async def _each_gone(self, table: str, where: str, rows: Sequence[str], batch: Batch | None = None) -> None:
        if await self._done(table, where, [Write("delete", row) for row in rows]):
            return
        # Some are gone already: this is the second time, and the first was cut off.
        blobs = {row: victim.blobs[0] for victim in batch.victims for row in victim.rows} if batch else {}
        for row in rows:
            found = await self._tables.get(table, where, row, ("blob", BLOB_OF_ORIGINAL))
            if found is not None and found.get("blob", found.get(BLOB_OF_ORIGINAL)) == blobs.get(row):
                await self._tables.delete(table, where, row, found[ETAG])

    async def _resume_rows(self, job: DeleteJob) -> None:
        """Go on with a study or series job where its rows say it stands."""
        if job.series_uid:
            row = await self._index.series(job.partition, job.study_uid, job.series_uid)
            if row is not None and row.get(DELETING) == job.job_id:
                await self.finish_series(job)
            await self._remains.mend_covers(job)
            return
        row = await self._index.study(job.partition, job.study_uid)
        if row is not None and row.get(DELETING) == job.job_id and await self.shut_study(job):
            await self.finish_study(job)

    async def _series_uids(self, job: DeleteJob) -> list[str]:
        return [uids_of_row(row["RowKey"])[0] for row in await self._remains.series_rows(job)]

    async def _gone(self, table: str, where: str, row: str) -> bool:
        return await self._tables.get(table, where, row, ("RowKey",)) is None

    async def _done(self, table: str, where: str, writes: Sequence[Write]) -> bool:
        """Do writes; False when one of them found its row gone or changed, or when nobody knows."""
        try:
            await self._tables.transact(table, where, writes)
        except OutcomeUnknown:
            return False
        except TransactionFailed as error:
            if error.status in (404, 412):
                return False
            raise
        return True


def _fitting(rows: Sequence[Entity]) -> list[Entity]:
    """As many of the rows as one transaction deletes; an updated instance has two."""
    operations, fitting = 0, []
    for row in rows[:_BATCH]:
        operations += 2 if is_updated(row) else 1
        if operations > _BATCH:
            break
        fitting.append(row)
    return fitting
