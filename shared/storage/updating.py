"""Writing side of updates: instances that have a new begin, and the rows above them; all of it in one transaction.

An update takes the place of what an instance was; what it was first is kept in a row of its own. The transaction merges
the guards of the series it touches, as a store does, so that a delete keeps updates out; and it is for the rows that
were read, so that of two workers one does it. Whoever comes later sees in the rows what was done, and by whom.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import orjson

from shared.dicom.attributes import Level
from shared.errors import NotFound
from shared.storage.blobs import Blobs
from shared.storage.errors import OutcomeUnknown, TransactionFailed
from shared.storage.feed import Action, Event, Feed
from shared.storage.files import HEAD
from shared.storage.index import DELETING, Index
from shared.storage.instances import Instances
from shared.storage.keys import (
    SEARCH_COLUMN,
    STUDY_ROW,
    original_row,
    series_guard,
    series_row,
    uids_of_row,
    ulid,
    version_number,
)
from shared.storage.levels import ANSWER_KEYS, keyword_of
from shared.storage.originals import is_updated, original_entity
from shared.storage.rows import (
    METADATA_SUFFIX,
    LevelState,
    LevelValues,
    distinct,
    replaced_blobs,
    state_entity,
    state_of,
)
from shared.storage.segments import LogKind
from shared.storage.tables import ETAG, Entity, Tables, Write, whole
from shared.storage.updates import (
    REFUSED,
    Census,
    Place,
    Refusal,
    UpdatedInstance,
    census,
    subjects,
    updated_entity,
)
from shared.storage.writer import Writer

_EVENTS = 90
_FORGOTTEN = 50


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction does in a study.

    Attributes:
        place: the study, and the operation that does it.
        updated: instances with a new begin.
        refused: instances that cannot have one.
        ending: what the study shall say from now on; None as long as more of its instances are to come.
        study: the row of the study as it was read before its instances were listed.
    """

    place: Place
    updated: Sequence[UpdatedInstance]
    refused: Sequence[Refusal] = ()
    ending: LevelValues | None = None
    study: Entity | None = None


@dataclass(slots=True)
class _Plan:
    writes: list[Write] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    covers: list[tuple[LogKind, str, LevelState, tuple[str, ...]]] = field(default_factory=list)


class Updating:
    """Updates, seen from one worker."""

    def __init__(
        self, tables: Tables, blobs: Blobs, feed: Feed, index: Index, instances: Instances, writer: Writer
    ) -> None:
        self._tables = tables
        self._blobs = blobs
        self._feed = feed
        self._index = index
        self._instances = instances
        self._writer = writer

    async def study(self, place: Place) -> Entity | None:
        """The row of a study that can be updated; None when there is none, or when it is being deleted."""
        row = await self._index.study(place.partition, place.study_uid)
        return None if row is None or DELETING in row else row

    async def subjects(self, place: Place, behind: str, most: int) -> Census:
        """The next instances of a study, see `updates.subjects`."""
        return await subjects(self._tables, place, behind, most)

    async def census(self, place: Place) -> Census:
        """All instances of a study, see `updates.census`."""
        return await census(self._tables, place)

    async def commit(self, batch: Batch) -> bool:
        """Do a batch, and what has to follow; False when something has changed since it was read: read again.

        Raises:
            StoreUnavailable: storage fails; what follows may be missing, see `settle`.
        """
        place = batch.place
        after = await self._feed.last_number()
        await self._put_beside(batch.updated)
        await self._writer.may_commit()
        plan = await self._plan(batch)
        if plan is not None and not (batch.updated or batch.refused or plan.covers):
            return True  # nothing is left to be said
        if plan is None or not await self._done(batch, plan):
            await self._blobs.delete_all([one.head + METADATA_SUFFIX for one in batch.updated if one.beside])
            return False
        await asyncio.gather(
            self._feed.append_missing(plan.events, after),
            *(
                self._index.covering.cover(place.partition, kind, row, state, *uids)
                for kind, row, state, uids in plan.covers
            ),
        )
        return True

    async def settle(self, place: Place, done: Census, after: int) -> None:
        """See to it that all that has to follow this operation's transactions in a study is there.

        Args:
            place: the study and the operation.
            done: its instances, read after the transactions.
            after: number of an event before the operation's first.
        """
        events = [_event(place, row, row["event"], whole(row, "version")) for row in done.updated]
        for start in range(0, len(events), _EVENTS):
            await self._feed.append_missing(events[start : start + _EVENTS], after)
        study = await self.study(place)
        if study is not None:
            await self._cover(place, "log", STUDY_ROW, study, place.study_uid)
        for series_uid in distinct(uids_of_row(row["RowKey"])[0] for row in done.updated):
            series = await self._index.series(place.partition, place.study_uid, series_uid)
            if series is not None and DELETING not in series:
                await self._cover(place, "ser", series_row(series_uid), series, place.study_uid, series_uid)

    async def forget_replaced(self, place: Place, done: Census) -> bool:
        """Delete blobs that this operation replaced, those of some instances; False when there are more."""
        rows = [row for row in done.updated if replaced_blobs(row)]
        some = rows[:_FORGOTTEN]
        await self._blobs.delete_all([name for row in some for name in replaced_blobs(row)])
        writes = [Write("merge", row["RowKey"], {"replaced": ""}, row[ETAG]) for row in some]
        try:
            if writes:
                await self._tables.transact(place.table, place.where, writes)
        except (OutcomeUnknown, TransactionFailed):
            for write in writes:
                # Somebody who has changed it meanwhile knows what he replaced.
                await self._tables.merge(place.table, place.where, write.row, write.entity, write.etag)
        return len(some) == len(rows)

    async def _plan(self, batch: Batch) -> _Plan | None:
        """The writes of a batch; None when a series is gone or going."""
        place = batch.place
        series_uids = distinct(uids_of_row(one.key)[0] for one in batch.updated)
        read = (self._index.series(place.partition, place.study_uid, uid) for uid in series_uids)
        series = dict(zip(series_uids, await asyncio.gather(*read), strict=True))
        if any(row is None or DELETING in row for row in series.values()):
            return None
        rows = (batch.study, *series.values(), *(one.row for one in batch.updated))
        version = version_number(max((whole(row, "version") for row in rows if row is not None), default=0))
        plan = _Plan()
        await self._plan_study(plan, batch, version)
        for series_uid, row in series.items():
            assert row is not None, "checked above"
            before = state_of(row)
            newest = next((one.metadata for one in batch.updated if one.key == before.newest), None)
            after = before if newest is None else _answering(before, newest, Level.SERIES)
            key = series_row(series_uid)
            plan.writes += [await self._level_write(plan, place, "ser", key, row, after, version)]
            plan.writes.append(Write("merge", series_guard(series_uid)))
        for one in batch.updated:
            event_id = ulid()
            plan.events.append(_event(place, one.row, event_id, version))
            entity = updated_entity(one, place.operation_id, version, event_id)
            plan.writes.append(Write("merge", one.key, entity, one.row[ETAG]))
            if not is_updated(one.row):
                plan.writes.append(Write("insert", original_row(one.key), original_entity(one.row)))
        for refusal in batch.refused:
            entity = {REFUSED: f"{place.operation_id} {refusal.reason}"}
            plan.writes.append(Write("merge", refusal.row["RowKey"], entity, refusal.row[ETAG]))
        return plan

    async def _plan_study(self, plan: _Plan, batch: Batch, version: int) -> None:
        if batch.ending is None or batch.study is None:
            if batch.updated:
                plan.writes.append(Write("merge", STUDY_ROW, {"version": version}))
            return
        before = state_of(batch.study)
        metadata = next((one.metadata for one in batch.updated if one.key == before.newest), None)
        if metadata is None:
            metadata = await self._metadata(batch.place, before.newest)
        after = _with_values(_answering(before, metadata, Level.STUDY), batch.ending)
        write = await self._level_write(plan, batch.place, "log", STUDY_ROW, batch.study, after, version)
        # A store that came in between has changed it: its instances are to be looked at first.
        plan.writes.append(replace(write, etag=batch.study[ETAG]))

    async def _level_write(  # noqa: PLR0913 - what a row was, what it will be, and where
        self,
        plan: _Plan,
        place: Place,
        kind: LogKind,
        key: str,
        row: Entity,
        after: LevelState,
        version: int,
    ) -> Write:
        """How the row of a study or series changes; notes the covering row that it needs then."""
        before = state_of(row)
        if after.says_the_same(before):
            return Write("merge", key, {"version": version})
        uids = (place.study_uid,) if kind == "log" else (place.study_uid, uids_of_row(key)[0])
        after = await self._index.covering.following(place.partition, kind, before, after, *uids)
        gone = {SEARCH_COLUMN + name: "" for name in before.columns.keys() - after.columns.keys()}
        plan.covers.append((kind, key, after, uids))
        return Write("merge", key, {**state_entity(after, version), **gone}, row[ETAG])

    async def _done(self, batch: Batch, plan: _Plan) -> bool:
        """Do the writes; when nobody knows whether they were done, one of the rows does."""
        place = batch.place
        try:
            await self._tables.transact(place.table, place.where, plan.writes)
        except OutcomeUnknown:
            return await self._was_done(batch)
        except TransactionFailed as error:
            if error.status not in (404, 412) and error.code != "EntityAlreadyExists":
                raise
            # Also what a try whose answer was lost leaves to the next one.
            return await self._was_done(batch)
        return True

    async def _was_done(self, batch: Batch) -> bool:
        if not batch.updated:
            return False
        one, place = batch.updated[0], batch.place
        row = await self._tables.get(place.table, place.where, one.key, (HEAD,))
        return row is not None and row.get(HEAD) == one.head

    async def _put_beside(self, updated: Sequence[UpdatedInstance]) -> None:
        for one in updated:
            if one.beside:
                await self._blobs.put(one.head + METADATA_SUFFIX, one.packed)

    async def _metadata(self, place: Place, row_key: str) -> bytes | None:
        try:
            found = await self._instances.metadata(place.partition, place.study_uid, *uids_of_row(row_key))
        except NotFound:
            return None  # it is being deleted, and whoever does that comes here after us
        return found.json

    async def _cover(self, place: Place, kind: LogKind, key: str, row: Entity, *uids: str) -> None:
        await self._index.covering.mend(place.partition, kind, key, state_of(row), *uids)


def _event(place: Place, row: Entity, event_id: str, version: int) -> Event:
    uids = (place.study_uid, *uids_of_row(row["RowKey"]))
    return Event(event_id, Action.UPDATE, place.partition.name, *uids, version)


def _answering(before: LevelState, metadata: bytes | None, level: Level) -> LevelState:
    """The state with the attributes that its newest instance has now."""
    if metadata is None:
        return before
    found = orjson.loads(metadata)
    return replace(before, answer={key: found[key] for key in ANSWER_KEYS[level] if key in found})


def _with_values(before: LevelState, values: LevelValues) -> LevelState:
    """The state with other values for the attributes that are given."""
    changed = {keyword_of(name) for name in values.columns}
    kept = {name: value for name, value in before.columns.items() if keyword_of(name) not in changed}
    return replace(before, index={**before.index, **values.index}, columns={**kept, **values.columns})
