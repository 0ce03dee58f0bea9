"""What is left of a study when something of it is deleted: how rows above change, and which covering rows follow.

Nothing here deletes an instance; it works out the writes that go with it, so that one transaction can do all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from shared.dicom.attributes import Level, all_return_set
from shared.errors import NotFound
from shared.storage.deletejobs import DeleteJob, DeleteJobs
from shared.storage.index import DELETING, Index
from shared.storage.instances import Instances
from shared.storage.keys import (
    STUDY_GUARD,
    STUDY_ROW,
    main_table,
    series_guard,
    series_range,
    series_row,
    study_partition,
    uids_of_row,
    version_number,
)
from shared.storage.rows import LevelState, covering_places, covering_row_key, state_entity, state_of
from shared.storage.segments import LogKind
from shared.storage.tables import ETAG, Entity, Tables, Write, between, binary, quoted, whole

_ANSWER_KEYS = {level: frozenset(f"{tag:08X}" for tag in all_return_set(level)) for level in Level}


@dataclass(frozen=True, slots=True)
class Covers:
    """What a change does to covering rows.

    Attributes:
        stale: rows that no longer say what is: kind, segment, row.
        fresh: states that need a new row: kind, main row, state, UIDs.
    """

    stale: list[tuple[LogKind, int, str]]
    fresh: list[tuple[LogKind, str, LevelState, tuple[str, ...]]]


class Remains:
    """Rows above what is deleted, seen from one worker."""

    def __init__(self, tables: Tables, index: Index, instances: Instances, jobs: DeleteJobs) -> None:
        self._tables = tables
        self._index = index
        self._instances = instances
        self._jobs = jobs

    async def without_instance(
        self, job: DeleteJob, study: Entity, series: Entity, victim: str
    ) -> tuple[list[Write], Covers]:
        """How the rows above an instance change when it goes."""
        where = between(place(job)[1], *series_range(job.series_uid))
        rest = [row async for page in self._instance_rows(job, where) for row in page if row["RowKey"] != victim]
        if not rest:
            writes, covers = await self.without(job, study, {job.series_uid}, victim)
            state = state_of(series)
            covers.stale.extend(self._all_covers(job, "ser", state, job.study_uid, job.series_uid))
            writes += [
                Write("delete", series_row(job.series_uid), etag=series[ETAG]),
                Write("delete", series_guard(job.series_uid)),
            ]
            return writes, covers
        writes, covers = await self.without(job, study, set(), victim)
        before = state_of(series)
        after = before
        if before.newest == victim:
            newest = max(rest, key=lambda row: whole(row, "version"))["RowKey"]
            after = replace(before, newest=newest, answer=await self._answer(job, newest, Level.SERIES, before))
        uids = (job.study_uid, job.series_uid)
        writes.append(await self._change(job, covers, series_row(job.series_uid), series, before, after, uids))
        return writes, covers

    async def without(
        self, job: DeleteJob, study: Entity, series_uids: set[str], victim: str | None
    ) -> tuple[list[Write], Covers]:
        """How a study's row changes, or that it goes, when series or an instance of it go."""
        covers = Covers([], [])
        before = state_of(study)
        others = [row for row in await self.series_rows(job) if uids_of_row(row["RowKey"])[0] not in series_uids]
        if not others:
            covers.stale.extend(self._all_covers(job, "log", before, job.study_uid))
            return [Write("delete", STUDY_ROW, etag=study[ETAG]), Write("delete", STUDY_GUARD)], covers
        after = replace(before, modalities=frozenset(filter(None, map(_modality, others))))
        if before.newest == victim or uids_of_row(before.newest)[0] in series_uids:
            newest = await self._newest_of(job, others, victim)
            # None when the others are going at this moment: their deletes change the study's row too, or take it away.
            if newest is not None:
                after = replace(after, newest=newest, answer=await self._answer(job, newest, Level.STUDY, before))
        return [await self._change(job, covers, STUDY_ROW, study, before, after, (job.study_uid,))], covers

    async def _change(  # noqa: PLR0913 - what a row was, what it will be, and where
        self,
        job: DeleteJob,
        covers: Covers,
        row_key: str,
        row: Entity,
        before: LevelState,
        after: LevelState,
        uids: tuple[str, ...],
    ) -> Write:
        """The write that gives a study or series row its new state."""
        version = version_number(whole(row, "version"))
        kind: LogKind = "log" if row_key == STUDY_ROW else "ser"
        if after.says_the_same(before):
            return Write("merge", row_key, {"version": version, "newest": after.newest}, row[ETAG])
        after = await self._index.covering.following(job.partition, kind, before, after, *uids)
        covers.stale.append((kind, before.segment, covering_row_key(before.order, *uids)))
        covers.fresh.append((kind, row_key, after, uids))
        entity = state_entity(after, version)
        if "dictionary" in row:
            entity["dictionary"] = binary(row, "dictionary")
        return Write("replace", row_key, entity, row[ETAG])

    def _all_covers(
        self, job: DeleteJob, kind: LogKind, state: LevelState, *uids: str
    ) -> list[tuple[LogKind, int, str]]:
        """Where the covering row of a state is, and those of the states before it may still be."""
        older = () if self._index.covering.settled(job.partition, kind, state, *uids) else covering_places(state.before)
        return [(kind, *place) for place in ((state.segment, covering_row_key(state.order, *uids)), *older)]

    async def _newest_of(self, job: DeleteJob, series: Sequence[Entity], victim: str | None) -> str | None:
        """Row of the instance that was stored last among some series, if there is any but the one left out."""
        newest, version = None, -1
        for row in series:
            where = between(place(job)[1], *series_range(uids_of_row(row["RowKey"])[0]))
            async for page in self._instance_rows(job, where):
                for one in page:
                    if one["RowKey"] != victim and whole(one, "version") > version:
                        newest, version = one["RowKey"], whole(one, "version")
        return newest

    async def _answer(self, job: DeleteJob, row_key: str, level: Level, before: LevelState) -> Mapping[str, object]:
        """The attributes of a level from an instance's metadata."""
        series_uid, sop_instance_uid = uids_of_row(row_key)
        try:
            found = await self._instances.metadata(job.partition, job.study_uid, series_uid, sop_instance_uid)
        except NotFound:
            # It is being deleted as well, and whoever does that comes here after us.
            return before.answer
        return {key: value for key, value in orjson.loads(found.json).items() if key in _ANSWER_KEYS[level]}

    async def apply(self, job: DeleteJob, covers: Covers) -> None:
        """Make the covering rows say what the rows say."""
        for kind, row_key, state, uids in covers.fresh:
            await self._index.covering.cover(job.partition, kind, row_key, state, *uids)
        for kind, segment, row in covers.stale:
            await self._index.covering.log(kind, job.partition).remove(segment, row)

    async def uncover(self, job: DeleteJob, kind: LogKind, state: LevelState, *uids: str) -> None:
        """Take the covering row of a state away, and those of the states before it."""
        for _, segment, row in self._all_covers(job, kind, state, *uids):
            await self._index.covering.log(kind, job.partition).remove(segment, row)

    async def mend_covers(self, job: DeleteJob) -> None:
        """After a crash: take covering rows away that are stale now, and add those that are missing."""
        current: dict[str, tuple[LogKind, str, LevelState, tuple[str, ...]]] = {}
        study = await self._index.study(job.partition, job.study_uid)
        series = await self._index.series(job.partition, job.study_uid, job.series_uid)
        if study is not None and DELETING not in study:
            state, uids = state_of(study), (job.study_uid,)
            current[covering_row_key(state.order, *uids)] = ("log", STUDY_ROW, state, uids)
        if series is not None and DELETING not in series:
            state, both = state_of(series), (job.study_uid, job.series_uid)
            current[covering_row_key(state.order, *both)] = ("ser", series_row(job.series_uid), state, both)
        for kind, segment, row in await self._jobs.covers(job):
            if row not in current:
                await self._index.covering.log(_kind(kind), job.partition).remove(segment, row)
        for kind, row_key, state, names in current.values():
            if not await self._index.covering.covered(job.partition, kind, state, *names):
                await self._index.covering.cover(job.partition, kind, row_key, state, *names)

    async def series_rows(self, job: DeleteJob) -> list[Entity]:
        """Rows of all series of the study."""
        where = f"PartitionKey eq {quoted(place(job)[1])} and RowKey gt '!~' and order ge ' '"
        pages = self._tables.pages(main_table(job.study_uid), where, ("RowKey", "index", "version"))
        return [row async for page in pages for row in page]

    def _instance_rows(self, job: DeleteJob, where_rows: str) -> AsyncIterator[list[Entity]]:
        return self._tables.pages(main_table(job.study_uid), f"{where_rows} and blob ge ' '", ("RowKey", "version"))


def place(job: DeleteJob) -> tuple[str, str]:
    """Table and partition of a job's study."""
    return main_table(job.study_uid), study_partition(job.partition.number, job.study_uid)


def _modality(series: Entity) -> str:
    values = orjson.loads(series["index"]).get("00080060", {}).get("Value", [""])
    return str(values[0])


def _kind(text: str) -> LogKind:
    return "log" if text == "log" else "ser"
