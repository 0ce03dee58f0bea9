"""The sweep: finishes or undoes what a worker that died left behind. Safe to run twice, and beside workers that live.

It looks at deletes that nobody works on, at seals of segments that nobody finished, at the open epochs of writers that
have been silent for longer than any request can last, and at the epochs that living writers could not finish. All of
them are written down, so what a sweep costs depends on what was left and not on the size of the store. Everything it
does can be done again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.storage import oldoperations
from shared.storage.blobs import Blobs, ListedBlob
from shared.storage.deletejobs import JOBS, DeleteJob
from shared.storage.deletion import Deletion
from shared.storage.feed import Action, Event, Feed
from shared.storage.files import HEAD
from shared.storage.index import DELETING, Index
from shared.storage.keys import STUDY_ROW, base36, instance_row, main_table, series_row, study_partition
from shared.storage.partitions import DataPartition, Partitions
from shared.storage.rows import BESIDE_SUFFIXES, first_event, state_of
from shared.storage.segments import LogKind, SegmentLog, open_seals
from shared.storage.tables import ETAG, Entity, Tables, whole
from shared.storage.tagrows import ALL_COLUMNS, POSTED, TAGS_ADDED
from shared.storage.tagsweep import TagSweep
from shared.storage.writer import LEFT, WRITERS

SILENT = timedelta(minutes=10)
"""A writer or a delete that has not been heard of for longer is dead."""

ORPHAN_AGE = timedelta(hours=1)
"""A blob without a row is deleted when it is older."""

_SWEPT = "swept"
_INSTANCE = ("blob", HEAD, "event", "version", "created", "createdVersion", TAGS_ADDED, POSTED, *ALL_COLUMNS)


@dataclass(slots=True)
class Found:
    """What a sweep found and set right.

    Attributes:
        writers: dead writers that were looked at.
        epochs_left: epochs that living writers could not finish.
        blobs_deleted: blobs without a row.
        blobs_too_young: blobs without a row that are left for a later sweep.
        events_added: events that were missing in the feed.
        covers_added: covering rows that were missing.
        deletes_finished: deletes that were half done.
        seals_finished: segments whose seal was half done, which have their filter now.
        studies_tagged: studies that had to be indexed by extended query tags which came meanwhile.
        tags_cleaned: extended query tags that were deleted and whose data is gone now.
        operations_forgotten: operations that ended long ago.
    """

    writers: int = 0
    epochs_left: int = 0
    blobs_deleted: int = 0
    blobs_too_young: int = 0
    events_added: int = 0
    covers_added: int = 0
    deletes_finished: int = 0
    seals_finished: int = 0
    studies_tagged: int = 0
    tags_cleaned: int = 0
    operations_forgotten: int = 0


@dataclass(frozen=True, slots=True)
class _OpenEpochs:
    """Epochs of a writer that were not through: the first of them, a number before its events, and all ids since."""

    first: int
    feed_number: int
    events: set[str]


class Sweep:
    """One store's sweep, seen from the worker that runs it."""

    def __init__(  # noqa: PLR0913 - everything that a dead worker can have left
        self,
        tables: Tables,
        blobs: Blobs,
        feed: Feed,
        index: Index,
        deletion: Deletion,
        partitions: Partitions,
        tags: TagSweep,
    ) -> None:
        self._tables = tables
        self._blobs = blobs
        self._feed = feed
        self._index = index
        self._deletion = deletion
        self._partitions = partitions
        self._tags = tags

    async def run(self, silent: timedelta = SILENT, orphan_age: timedelta = ORPHAN_AGE) -> Found:
        """Sweep once.

        Args:
            silent: how long nothing was heard of a worker that counts as dead.
            orphan_age: how old a blob without a row has to be.
        """
        found = Found()
        now = datetime.now(UTC)
        self._tags.begin()
        async for job in self._deletion.jobs.all():
            if job.heartbeat is not None and now - job.heartbeat >= silent and await self._claim(job):
                await self._deletion.resume(job)
                found.deletes_finished += 1
        await self._finish_seals(now - silent, found)
        places = [DataPartition(number, name) for name, number in (await self._partitions.all()).items()]
        await self._sweep_left(now - silent, places, now - orphan_age, found)
        known = await self._writers()
        for writer in known.values():
            if _SWEPT not in writer and now - datetime.fromisoformat(writer["heartbeat"]) >= silent:
                await self._sweep_writer(writer, places, now - orphan_age, found)
        await self._sweep_strangers(known.keys(), places, now - orphan_age, found)
        found.tags_cleaned = await self._tags.clean(now - silent)
        found.operations_forgotten = await oldoperations.forget(self._tables, now - oldoperations.KEPT)
        return found

    async def _finish_seals(self, begun_before: datetime, found: Found) -> None:
        """Seal again what somebody began to seal: that is the same work from its start, and writes the filter."""
        async for seal in open_seals(self._tables):
            if seal.begun <= begun_before:
                log = SegmentLog(self._tables, seal.kind, seal.partition)
                found.seals_finished += await log.seal(seal.segment)

    async def _claim(self, job: DeleteJob) -> bool:
        """Take a job over; False when another sweep was first."""
        row = await self._tables.get("work", JOBS, job.job_id, ("heartbeat",))
        if row is None or job.heartbeat is None or datetime.fromisoformat(row["heartbeat"]) != job.heartbeat:
            return False
        return await self._tables.merge(
            "work", JOBS, job.job_id, {"heartbeat": datetime.now(UTC).isoformat()}, row[ETAG]
        )

    async def _writers(self) -> dict[str, Entity]:
        """Rows of all writers, by id."""
        pages = self._tables.pages("work", f"PartitionKey eq '{WRITERS}'")
        return {row["RowKey"]: row async for page in pages for row in page}

    async def _sweep_strangers(
        self, known: Collection[str], places: Sequence[DataPartition], orphans_before: datetime, found: Found
    ) -> None:
        """Delete blobs of writers that died before their first heartbeat; nothing of theirs can have a row.

        Where no change was ever written down, blobs are more likely those of a store whose tables are still to be
        restored: they stay.
        """
        if not await self._feed.last_number():
            return
        for partition in places:
            async for page in self._blobs.listed(f"{base36(partition.number)}/", folders=True):
                for folder in page:
                    if folder.name.split("/")[1] not in known:
                        await self._sweep_blobs(partition, folder.name, None, orphans_before, found)

    async def _sweep_left(
        self, left_before: datetime, places: Sequence[DataPartition], orphans_before: datetime, found: Found
    ) -> None:
        """Finish what living writers could not."""
        async for page in self._tables.pages("work", f"PartitionKey eq '{LEFT}'"):
            for row in page:
                if datetime.fromisoformat(row["left"]) > left_before:
                    continue  # what was sent last may still be carried out
                found.epochs_left += 1
                epoch = whole(row, "epoch")
                open_epochs = await self._open_epochs(epoch, row)
                if await self._sweep_epochs(f"{row['writer']}/{epoch}", open_epochs, places, orphans_before, found):
                    await self._tables.delete("work", LEFT, row["RowKey"])

    async def _sweep_writer(
        self, writer: Entity, places: Sequence[DataPartition], orphans_before: datetime, found: Found
    ) -> None:
        found.writers += 1
        open_epochs = await self._open_epochs(whole(writer, "openEpoch"), writer)
        if await self._sweep_epochs(writer["RowKey"], open_epochs, places, orphans_before, found):
            await self._tables.merge("work", WRITERS, writer["RowKey"], {_SWEPT: True})

    async def _sweep_epochs(
        self,
        folder: str,
        open_epochs: _OpenEpochs,
        places: Sequence[DataPartition],
        orphans_before: datetime,
        found: Found,
    ) -> bool:
        """Finish epochs in every data partition; False when something is too young to be judged."""
        young = found.blobs_too_young
        for partition in places:
            prefix = f"{base36(partition.number)}/{folder}/"
            await self._sweep_blobs(partition, prefix, open_epochs, orphans_before, found)
        return found.blobs_too_young == young

    async def _sweep_blobs(
        self,
        partition: DataPartition,
        prefix: str,
        open_epochs: _OpenEpochs | None,
        orphans_before: datetime,
        found: Found,
    ) -> None:
        first = open_epochs.first if open_epochs is not None else 0
        async for page in self._blobs.listed(prefix):
            for blob in page:
                if int(blob.name.split("/")[2]) < first or blob.name.endswith(BESIDE_SUFFIXES):
                    continue  # through, or goes with the blob it stands beside
                row = await self._row_of(partition, blob)
                if row is not None:
                    if open_epochs is not None:
                        await self._complete(partition, blob, row, open_epochs, found)
                elif blob.modified is not None and blob.modified <= orphans_before:
                    await self._blobs.delete_all([blob.name + suffix for suffix in ("", *BESIDE_SUFFIXES)])
                    found.blobs_deleted += 1
                else:
                    found.blobs_too_young += 1

    async def _row_of(self, partition: DataPartition, blob: ListedBlob) -> Entity | None:
        """The instance row that names a blob, if there is one."""
        study, series, instance = _uids(blob)
        if not instance:
            return None
        table, where = main_table(study), study_partition(partition.number, study)
        row = await self._tables.get(table, where, instance_row(series, instance), _INSTANCE)
        return row if row is not None and blob.name in (row["blob"], row.get(HEAD)) else None

    async def _complete(
        self, partition: DataPartition, blob: ListedBlob, row: Entity, epochs: _OpenEpochs, found: Found
    ) -> None:
        """Give an instance that has a row what has to follow it: what its store or its update had to do."""
        study_uid, series_uid, _ = uids = _uids(blob)
        action, event_id, version = Action.CREATE, *first_event(row)
        if blob.name != row["blob"]:
            action, event_id, version = Action.UPDATE, row["event"], whole(row, "version")
        if event_id not in epochs.events:
            # An update goes on by itself and may be here as well: it is appended once, by whoever is first.
            event = Event(event_id, action, partition.name, *uids, version)
            await self._feed.append_missing([event], epochs.feed_number)
            epochs.events.add(event_id)
            found.events_added += 1
        study = await self._index.study(partition, study_uid)
        series = await self._index.series(partition, study_uid, series_uid)
        if study is not None:
            found.covers_added += await self._cover(partition, "log", STUDY_ROW, study, study_uid)
        if series is not None:
            key = series_row(series_uid)
            found.covers_added += await self._cover(partition, "ser", key, series, study_uid, series_uid)
        found.studies_tagged += await self._tags.complete(partition, uids, row)

    async def _cover(self, partition: DataPartition, kind: LogKind, row_key: str, row: Entity, *uids: str) -> bool:
        """See to it that a study or series has its covering row, and not the one before as well."""
        if DELETING in row:
            return False
        return await self._index.covering.mend(partition, kind, row_key, state_of(row), *uids)

    async def _open_epochs(self, first: int, row: Entity) -> _OpenEpochs:
        """Epochs from one on, by what a row says that speaks of them."""
        after = whole(row, "feedNumber")
        return _OpenEpochs(first, after, {event_id async for event_id in self._feed.event_ids(after)})


def _uids(blob: ListedBlob) -> tuple[str, str, str]:
    """Study, series and instance that a blob says it belongs to; empty when it does not."""
    return blob.metadata.get("study", ""), blob.metadata.get("series", ""), blob.metadata.get("instance", "")
