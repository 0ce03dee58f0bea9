"""Writing side of the index: makes uploaded instances visible, then tells search and feed.

An instance exists when its row does. Its blob is there before; covering rows and events follow before the client is
answered. All rows of a study change together, in one transaction.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from shared.errors import StoreUnavailable
from shared.storage.batching import jittered_pause
from shared.storage.blobs import Blobs
from shared.storage.covering import Covering
from shared.storage.errors import OutcomeUnknown, StorageFailed, TransactionFailed
from shared.storage.feed import Action, Event, Feed
from shared.storage.keys import (
    SCHEMA,
    STUDY_GUARD,
    STUDY_ROW,
    instance_row,
    main_table,
    series_guard,
    series_row,
    study_partition,
    ulid,
    version_number,
)
from shared.storage.partitions import DataPartition
from shared.storage.pixelrows import FRAMES_SUFFIX, starts_blob
from shared.storage.postings import Posted
from shared.storage.rows import (
    METADATA_SUFFIX,
    LevelState,
    NewInstance,
    dictionary_of,
    distinct,
    first_event,
    fits_row,
    instance_entity,
    level_write,
    packed_metadata,
    state_of,
)
from shared.storage.tables import Entity, Tables, Write, binary, whole
from shared.storage.tagfollow import TagFollower
from shared.storage.writer import Writer

_TRIES = 20
_DELETE_TRIES = 100

# A study or series row with this property is going away; its value is the delete's id.
DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows of a study and of some of its series as they were read; None for one that does not exist."""

    study: Entity | None
    series: Mapping[str, Entity | None]


@dataclass(frozen=True, slots=True)
class _Plan:
    """One try at a transaction, and what is to follow when it succeeds."""

    writes: list[Write]
    events: list[Event]
    studies: list[LevelState]
    series: list[tuple[str, LevelState]]
    posted: list[Posted]
    first_instance: int


class Index:
    """Rows of studies, series and instances, seen from one worker that writes them."""

    def __init__(self, tables: Tables, blobs: Blobs, feed: Feed, writer: Writer, follower: TagFollower) -> None:
        self._tables = tables
        self._blobs = blobs
        self._feed = feed
        self._writer = writer
        self._follower = follower
        self.covering = Covering(tables)

    async def study(self, partition: DataPartition, study_uid: str) -> Entity | None:
        """The row of a study."""
        return await self._row(partition, study_uid, STUDY_ROW)

    async def series(self, partition: DataPartition, study_uid: str, series_uid: str) -> Entity | None:
        """The row of a series."""
        return await self._row(partition, study_uid, series_row(series_uid))

    async def ready(self, partition: DataPartition) -> None:
        """Learn where the logs end and say that this worker writes, while the request's blobs are on their way."""
        await asyncio.gather(
            self.covering.log("log", partition).current(),
            self.covering.log("ser", partition).current(),
            self._writer.may_commit(),
        )

    async def commit(
        self, partition: DataPartition, instances: Sequence[NewInstance], seen: Snapshot | None = None
    ) -> list[bool]:
        """Make instances of one study visible, at most `fits` of them.

        Args:
            partition: where to.
            instances: of one study, no SOP instance twice.
            seen: the study's rows as read before, saves reading them again.

        Returns:
            For each instance True when it was stored, False when one of that UID was there before.
        """
        study_uid = instances[0].study_uid
        stored = dict.fromkeys((instance.sop_instance_uid for instance in instances), True)
        left = list(instances)
        for attempt in range(_TRIES):
            if seen is None:
                seen = await self._read(partition, study_uid, left)
            if _being_deleted(seen):
                seen = await self._read_when_deleted(partition, study_uid, left)
            await self._writer.may_commit()
            plan = await self._plan(partition, left, seen)
            try:
                await self._tables.transact(
                    main_table(study_uid), study_partition(partition.number, study_uid), plan.writes
                )
                await self._follow_up(partition, study_uid, plan)
                break
            except OutcomeUnknown:
                doubtful = True
            except TransactionFailed as error:
                if error.code != "EntityAlreadyExists" and error.status not in (404, 412):
                    raise
                doubtful = error.code == "EntityAlreadyExists" and error.index >= plan.first_instance
            if doubtful:
                rows = await self._existing(partition, left)
                ours = [
                    instance
                    for instance in left
                    if rows.get(instance.sop_instance_uid, {}).get("blob") == instance.blob
                ]
                left = [instance for instance in left if instance in ours or instance.sop_instance_uid not in rows]
                stored.update(dict.fromkeys(rows.keys() - {instance.sop_instance_uid for instance in ours}, False))
                if ours:
                    # The answer got lost, not the write: add what had to follow it.
                    await self._follow_up(partition, study_uid, await self._committed_plan(partition, ours, rows))
                    break
            if not left:
                break
            seen = None
            await jittered_pause(attempt)
        else:
            raise StoreUnavailable
        await self._drop_beside([instance for instance in instances if not stored[instance.sop_instance_uid]])
        return [stored[instance.sop_instance_uid] for instance in instances]

    async def _follow_up(self, partition: DataPartition, study_uid: str, plan: _Plan) -> None:
        behind, *_ = await asyncio.gather(
            self._follower.follow(partition, plan.posted),
            self._feed.append(plan.events),
            *(self.covering.cover(partition, "log", STUDY_ROW, now, study_uid) for now in plan.studies),
            *(
                self.covering.cover(partition, "ser", series_row(series_uid), now, study_uid, series_uid)
                for series_uid, now in plan.series
            ),
        )
        if behind:
            await self._follower.catch_up(partition, study_uid)

    async def _plan(self, partition: DataPartition, instances: Sequence[NewInstance], seen: Snapshot) -> _Plan:
        version = version_number(
            max(whole(row, "version") for row in (seen.study, *seen.series.values(), {}) if row is not None)
        )
        study_log, series_log = self.covering.log("log", partition), self.covering.log("ser", partition)
        study_uid = instances[0].study_uid
        before = state_of(seen.study) if seen.study else None
        after = before or LevelState()
        for instance in instances:
            after = after.with_values(instance.study, instance.modality, version)
        after = replace(after, newest=_row_of(instances[-1]))
        settled = before is not None and self.covering.settled(partition, "log", before, study_uid)
        segment = await study_log.current()
        write, after = level_write(STUDY_ROW, before, after, version, segment, study_uid, settled=settled)
        plan = _Plan([write], [], [], [], [], 1)
        if before is None:
            plan.writes.append(Write("insert", STUDY_GUARD, {"schema": SCHEMA}))
        elif None in seen.series.values():
            # A new series in a study that is being deleted would outlive it.
            plan.writes.append(Write("merge", STUDY_GUARD))
        if before is None or after.order != before.order:
            plan.studies.append(after)
        dictionaries: dict[str, bytes] = {}
        for series_uid in distinct(instance.series_uid for instance in instances):
            members = [instance for instance in instances if instance.series_uid == series_uid]
            row = seen.series.get(series_uid)
            before = state_of(row) if row else None
            after = before or LevelState()
            for instance in members:
                after = after.with_values(instance.series, version=version)
            after = replace(after, newest=_row_of(members[-1]))
            settled = before is not None and self.covering.settled(partition, "ser", before, study_uid, series_uid)
            segment = await series_log.current()
            key = series_row(series_uid)
            write, after = level_write(key, before, after, version, segment, study_uid, series_uid, settled=settled)
            if row is None:
                dictionaries[series_uid] = dictionary_of(members[0].metadata)
                write = replace(
                    write, entity={**write.entity, "dictionary": zlib.compress(dictionaries[series_uid], 9)}
                )
            else:
                dictionaries[series_uid] = zlib.decompress(binary(row, "dictionary"))
            if before is None or after.order != before.order:
                plan.series.append((series_uid, after))
            # Merging the number would change a guard of a later form back.
            guard = series_guard(series_uid)
            guarding = Write("insert", guard, {"schema": SCHEMA}) if row is None else Write("merge", guard)
            plan.writes.extend([write, guarding])
        first = len(plan.writes)
        for instance in instances:
            event_id = ulid()
            plan.events.append(_event(event_id, version, partition, instance))
            packed = packed_metadata(instance.metadata, dictionaries[instance.series_uid])
            await self._put_beside(instance, packed)
            entity = instance_entity(instance, packed if fits_row(packed) else b"", version, event_id)
            plan.posted.append(Posted.of(*_uids_of(instance), entity))
            plan.writes.append(Write("insert", instance_row(instance.series_uid, instance.sop_instance_uid), entity))
        return replace(plan, first_instance=first)

    async def _committed_plan(
        self, partition: DataPartition, instances: Sequence[NewInstance], rows: Mapping[str, Entity]
    ) -> _Plan:
        """What had to follow a transaction whose answer was lost, read back from its rows."""
        events = []
        for instance in instances:
            row = rows[instance.sop_instance_uid]
            events.append(_event(*first_event(row), partition, instance))
        study_uid = instances[0].study_uid
        seen = await self._read(partition, study_uid, instances)
        posted = [Posted.of(*_uids_of(instance), rows[instance.sop_instance_uid]) for instance in instances]
        plan = _Plan([], events, [], [], posted, 0)
        if seen.study and not await self.covering.covered(partition, "log", state_of(seen.study), study_uid):
            plan.studies.append(state_of(seen.study))
        for uid, series in seen.series.items():
            if series and not await self.covering.covered(partition, "ser", state_of(series), study_uid, uid):
                plan.series.append((uid, state_of(series)))
        return plan

    async def _put_beside(self, instance: NewInstance, packed: bytes) -> None:
        """Write what is too long for a row into blobs beside the instance's."""
        if not fits_row(packed):
            await self._blobs.put(instance.blob + METADATA_SUFFIX, packed)
        if instance.pixels is not None and instance.pixels.beside:
            await self._blobs.put(instance.blob + FRAMES_SUFFIX, starts_blob(instance.pixels.starts))

    async def _drop_beside(self, instances: Sequence[NewInstance]) -> None:
        """Take away what was written beside instances that turned out to be stored already."""
        names = [one.blob + FRAMES_SUFFIX for one in instances if one.pixels is not None and one.pixels.beside]
        names += [one.blob + METADATA_SUFFIX for one in instances if not fits_row(one.metadata)]
        with suppress(StoreUnavailable, StorageFailed):  # others of the request are stored, whatever becomes of these
            await self._blobs.delete_all(names)

    async def _read(self, partition: DataPartition, study_uid: str, instances: Sequence[NewInstance]) -> Snapshot:
        uids = distinct(instance.series_uid for instance in instances)
        study, *series = await asyncio.gather(
            self.study(partition, study_uid), *(self.series(partition, study_uid, uid) for uid in uids)
        )
        return Snapshot(study, dict(zip(uids, series, strict=True)))

    async def _read_when_deleted(
        self, partition: DataPartition, study_uid: str, instances: Sequence[NewInstance]
    ) -> Snapshot:
        """The rows once nobody is deleting them any more: what is stored now comes after that delete.

        Raises:
            StoreUnavailable: it takes too long, or whoever deletes has died and a sweep has to finish it first.
        """
        for attempt in range(_DELETE_TRIES):
            await jittered_pause(min(attempt, 6))
            seen = await self._read(partition, study_uid, instances)
            if not _being_deleted(seen):
                return seen
        raise StoreUnavailable

    async def _existing(self, partition: DataPartition, instances: Sequence[NewInstance]) -> dict[str, Entity]:
        """Those of the instances that have a row, by SOP instance UID."""
        rows = await asyncio.gather(
            *(
                self._row(partition, instance.study_uid, instance_row(instance.series_uid, instance.sop_instance_uid))
                for instance in instances
            )
        )
        return {
            instance.sop_instance_uid: row for instance, row in zip(instances, rows, strict=True) if row is not None
        }

    async def _row(self, partition: DataPartition, study_uid: str, row: str) -> Entity | None:
        return await self._tables.get(main_table(study_uid), study_partition(partition.number, study_uid), row)


def _being_deleted(seen: Snapshot) -> bool:
    return any(row is not None and DELETING in row for row in (seen.study, *seen.series.values()))


def _uids_of(instance: NewInstance) -> tuple[str, str, str]:
    return instance.study_uid, instance.series_uid, instance.sop_instance_uid


def _row_of(instance: NewInstance) -> str:
    return instance_row(instance.series_uid, instance.sop_instance_uid)


def _event(event_id: str, version: int, partition: DataPartition, instance: NewInstance) -> Event:
    return Event(
        event_id=event_id,
        action=Action.CREATE,
        partition=partition.name,
        study_uid=instance.study_uid,
        series_uid=instance.series_uid,
        sop_instance_uid=instance.sop_instance_uid,
        version=version,
    )
