"""What a delete writes down before it does it, so that it can be finished by somebody else.

A job has one row in `work` and one for each batch of instances. The batch rows name blobs; they go when the blobs are
gone, and the job's row goes last.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from shared.storage.feed import Action, Event, Feed
from shared.storage.keys import SCHEMA, original_row, uids_of_row, ulid
from shared.storage.originals import is_updated
from shared.storage.partitions import DataPartition
from shared.storage.rows import OF_BLOBS, blobs_of, replaced_blobs
from shared.storage.tables import Entity, Tables, binary, whole
from shared.storage.tagrows import ALL_COLUMNS, POSTED, tag_columns

JOBS = "delete"
VICTIM = ("RowKey", "version", *OF_BLOBS, POSTED, *ALL_COLUMNS)
"""Columns of an instance row that say what goes with it."""


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """One delete.

    Attributes:
        job_id: time-ordered id.
        partition: data partition.
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID; empty when the whole study goes.
        sop_instance_uid: SOPInstanceUID; empty when more than one instance goes.
        heartbeat: when somebody last worked on it.
    """

    job_id: str
    partition: DataPartition
    study_uid: str
    series_uid: str = ""
    sop_instance_uid: str = ""
    heartbeat: datetime | None = None


@dataclass(frozen=True, slots=True)
class Victim:
    """One instance of a batch.

    Attributes:
        row: its RowKey.
        version: its version number.
        blobs: names of its blobs, the first being what it was stored as.
        updated: whether it has a row for what it was before it was updated.
        posted: its version when the rows were written by which extended query tags find it.
        said: its columns of such tags.
    """

    row: str
    version: int
    blobs: tuple[str, ...]
    updated: bool = False
    posted: int = 0
    said: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Entity) -> Victim:
        """The victim that an instance row describes."""
        blobs = (*blobs_of(row), *replaced_blobs(row))
        version = whole(row, "version")
        return cls(row["RowKey"], version, blobs, is_updated(row), whole(row, POSTED) or version, tag_columns(row))

    @property
    def rows(self) -> tuple[str, ...]:
        """All its rows."""
        return (self.row, original_row(self.row)) if self.updated else (self.row,)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some instances of a job.

    Attributes:
        number: place in the job, from 0.
        victims: the instances.
        feed_number: a number below which none of their events can be.
    """

    number: int
    victims: tuple[Victim, ...]
    feed_number: int

    def events(self, job: DeleteJob) -> list[Event]:
        """The events of the batch; the same each time they are made."""
        made = []
        for place, victim in enumerate(self.victims):
            series_uid, sop_instance_uid = uids_of_row(victim.row)
            made.append(
                Event(
                    event_id=f"{job.job_id}.{self.number}.{place}",
                    action=Action.DELETE,
                    partition=job.partition.name,
                    study_uid=job.study_uid,
                    series_uid=series_uid,
                    sop_instance_uid=sop_instance_uid,
                    version=victim.version,
                )
            )
        return made


class DeleteJobs:
    """The rows of all delete jobs."""

    def __init__(self, tables: Tables, feed: Feed) -> None:
        self._tables = tables
        self._feed = feed

    async def begin(self, partition: DataPartition, study_uid: str, series_uid: str = "", sop: str = "") -> DeleteJob:
        """Write down that something is going to be deleted."""
        job = DeleteJob(ulid(), partition, study_uid, series_uid, sop, datetime.now(UTC))
        await self._tables.put("work", JOBS, job.job_id, _job_entity(job))
        return job

    async def beat(self, job: DeleteJob) -> None:
        """Say that somebody works on a job."""
        await self._tables.merge("work", JOBS, job.job_id, {"heartbeat": datetime.now(UTC).isoformat()})

    async def remember_covers(self, job: DeleteJob, covers: Sequence[tuple[str, int, str]]) -> None:
        """Write down which covering rows a job is about to make stale: kind, segment and row."""
        await self._tables.merge("work", JOBS, job.job_id, {"covers": orjson.dumps(covers).decode()})

    async def covers(self, job: DeleteJob) -> list[tuple[str, int, str]]:
        """What `remember_covers` wrote."""
        row = await self._tables.get("work", JOBS, job.job_id, ("covers",))
        return [tuple(cover) for cover in orjson.loads(row["covers"])] if row and "covers" in row else []

    async def write_batch(self, job: DeleteJob, number: int, rows: Sequence[Entity]) -> Batch:
        """Write down a batch before its rows are deleted."""
        victims = tuple(Victim.of(row) for row in rows)
        batch = Batch(number, victims, await self._feed.last_number())
        # Of many, only the rows say what tags say: they are looked at before they go.
        listed = [
            [one.row, one.version, one.blobs, one.updated, one.posted, one.said if job.sop_instance_uid else {}]
            for one in victims
        ]
        entity = {"victims": zlib.compress(orjson.dumps(listed)), "feedNumber": batch.feed_number, "schema": SCHEMA}
        await self._tables.put("work", JOBS, _batch_row(job, number), entity)
        return batch

    async def batches(self, job: DeleteJob) -> list[Batch]:
        """The batches of a job whose blobs may still be there, in order."""
        where = f"PartitionKey eq '{JOBS}' and RowKey gt '{job.job_id}~' and RowKey lt '{job.job_id}~~'"
        found = []
        async for page in self._tables.pages("work", where):
            found += [_batch_of(row) for row in page]
        return found

    async def forget_batch(self, job: DeleteJob, batch: Batch) -> None:
        """The blobs of a batch are gone."""
        await self._tables.delete("work", JOBS, _batch_row(job, batch.number))

    async def end(self, job: DeleteJob) -> None:
        """Nothing is left to do."""
        await self._tables.delete("work", JOBS, job.job_id)

    async def all(self) -> AsyncIterator[DeleteJob]:
        """All jobs that have not ended."""
        async for page in self._tables.pages("work", f"PartitionKey eq '{JOBS}'"):
            for row in page:
                if "study" in row:
                    yield _job_of(row)


def _job_entity(job: DeleteJob) -> dict[str, Any]:
    return {
        "partition": job.partition.number,
        "partitionName": job.partition.name,
        "study": job.study_uid,
        "series": job.series_uid,
        "instance": job.sop_instance_uid,
        "heartbeat": datetime.now(UTC).isoformat(),
        "schema": SCHEMA,
    }


def _job_of(row: Entity) -> DeleteJob:
    return DeleteJob(
        job_id=row["RowKey"],
        partition=DataPartition(whole(row, "partition"), row["partitionName"]),
        study_uid=row["study"],
        series_uid=row["series"],
        sop_instance_uid=row["instance"],
        heartbeat=datetime.fromisoformat(row["heartbeat"]),
    )


def _batch_row(job: DeleteJob, number: int) -> str:
    return f"{job.job_id}~{number:06d}"


def _batch_of(row: Entity) -> Batch:
    listed = orjson.loads(zlib.decompress(binary(row, "victims")))
    # Older ones do not say whether they were updated, or what tags say of them.
    victims = tuple(Victim(key, version, tuple(blobs), *more) for key, version, blobs, *more in listed)
    return Batch(int(row["RowKey"].rpartition("~")[2]), victims, whole(row, "feedNumber"))
