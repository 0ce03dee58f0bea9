"""Indexing what is stored by extended query tags: a page of a walk through everything, or one study.

The values come from the metadata in the rows. Each is written with the version of the instance that said it and gives
way only to a newer one, so it does not matter who indexes first, how often, or beside which stores.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Iterator, Sequence

from shared.errors import StoreUnavailable
from shared.storage.batching import jittered_pause
from shared.storage.errors import OutcomeUnknown, TransactionFailed
from shared.storage.files import HEAD
from shared.storage.index import DELETING, Index
from shared.storage.instances import Instances
from shared.storage.keys import (
    ORIGINAL,
    STUDY_ROW,
    main_table,
    segment_partition,
    segment_table,
    series_guard,
    series_row,
    study_partition,
    uids_of_row,
)
from shared.storage.partitions import DataPartition
from shared.storage.postings import Posted, Postings
from shared.storage.rows import METADATA_COLUMNS, LevelState, covering_row_key, state_entity, state_of
from shared.storage.segments import LogKind
from shared.storage.tables import ETAG, TRANSACTION_LIMIT, Entity, Tables, Write, between, binary, whole
from shared.storage.tagrows import POSTED, TAGS_ADDED, column_of, extended_entity
from shared.storage.tags import Tags
from shared.storage.tagset import TagEntry
from shared.storage.tagvalues import Candidates, Gathered, InstanceFault, InstanceSaid, gathered

_TRIES = 20
_IN_THREAD_ROWS = 50
_COLUMNS = (
    *("PartitionKey", "RowKey", "blob", HEAD, "dictionary", "version", "newest", TAGS_ADDED, POSTED, DELETING),
    *METADATA_COLUMNS,
)


class TagIndex:
    """What is indexed by tags, seen from one worker that writes it."""

    def __init__(self, tables: Tables, index: Index, instances: Instances, tags: Tags, postings: Postings) -> None:
        self._tables = tables
        self._index = index
        self._instances = instances
        self._tags = tags
        self._postings = postings

    async def study(self, partition: DataPartition, study_uid: str) -> None:
        """Index a study by all tags that there are, whatever it was indexed by before."""
        entries = (await self._tags.current()).entries
        if not entries:
            return
        whole_study = Gathered()
        where = between(study_partition(partition.number, study_uid), STUDY_ROW, ORIGINAL)
        newest = ""
        async for page in self._tables.pages(main_table(study_uid), where, columns_for(entries)):
            if page and page[0]["RowKey"] == STUDY_ROW:
                newest = page[0].get("newest", "")
            found = await self._gathered(partition, study_uid, page, entries, newest)
            whole_study.study.merge(found.study)
            for uid, candidates in found.series.items():
                whole_study.series.setdefault(uid, Candidates()).merge(candidates)
            await self._write_instances(partition, study_uid, found.instances, entries)
        await self._write_levels(partition, study_uid, whole_study, in_place=False)

    async def rows(
        self, partition: DataPartition, study_uid: str, rows: Sequence[Entity], entries: Sequence[TagEntry]
    ) -> list[InstanceFault]:
        """Index rows of one study, in key order, by tags that are being added; gives what cannot be indexed.

        Instances that were stored when the tags were there already are left out: their stores did it.
        """
        if any(DELETING in row for row in rows if row["RowKey"] == STUDY_ROW):
            return []
        needed = min(entry.added for entry in entries)
        late = [row for row in rows if "blob" not in row or whole(row, TAGS_ADDED) < needed]
        newest = next((row.get("newest", "") for row in rows if row["RowKey"] == STUDY_ROW), "")
        found = await self._gathered(partition, study_uid, late, entries, newest)
        await self._write_levels(partition, study_uid, found, in_place=True)
        await self._write_instances(partition, study_uid, found.instances, entries)
        return found.faults

    async def complete(self, partition: DataPartition, posted: Posted) -> bool:
        """Give an instance of a dead store its rows; True when its study has to be indexed, because tags came since.

        What its row says of tags that are gone is left out: nobody may clean behind them again.
        """
        tags = await self._tags.current()
        await self._postings.insert(partition.number, [posted.by({entry.tag.number for entry in tags.entries})])
        return posted.tags_added < tags.added

    async def _gathered(
        self,
        partition: DataPartition,
        study_uid: str,
        rows: Sequence[Entity],
        entries: Sequence[TagEntry],
        newest: str,
    ) -> Gathered:
        dictionaries: dict[str, bytes] = {}
        documents: list[tuple[Entity, bytes]] = []
        for row in rows:
            series_uid = uids_of_row(row["RowKey"])[0]
            if "dictionary" in row:
                dictionaries[series_uid] = zlib.decompress(binary(row, "dictionary"))
            elif "blob" in row:
                known = dictionaries.get(series_uid)
                metadata = await self._instances.metadata_of(partition, study_uid, row, known)
                if metadata is not None:
                    documents.append((row, metadata))
        if len(documents) > _IN_THREAD_ROWS:
            return await asyncio.to_thread(gathered, study_uid, documents, entries, newest)
        return gathered(study_uid, documents, entries, newest)

    # ---- studies and series ----

    async def _write_levels(self, partition: DataPartition, study_uid: str, found: Gathered, *, in_place: bool) -> None:
        levels: list[tuple[LogKind, str, tuple[str, ...], Candidates]] = [
            ("ser", series_row(uid), (study_uid, uid), candidates) for uid, candidates in found.series.items()
        ]
        if found.study.values:
            levels.append(("log", STUDY_ROW, (study_uid,), found.study))
        for kind, row_key, uids, candidates in levels:
            await self._write_level(partition, kind, row_key, uids, candidates, in_place=in_place)

    async def _write_level(
        self,
        partition: DataPartition,
        kind: LogKind,
        row_key: str,
        uids: tuple[str, ...],
        candidates: Candidates,
        *,
        in_place: bool,
    ) -> None:
        """Bring a study's or series' row, and its covering row, to what they have to say.

        Args:
            partition: where it is.
            kind: `log` for a study, `ser` for a series.
            row_key: of its row.
            uids: study UID, or study and series UID.
            candidates: what instances say.
            in_place: change the covering row where it is. That is for tags nobody searches for yet: filters of
                sealed segments learn of them before somebody does. Otherwise the row moves to the log's end.
        """
        for attempt in range(_TRIES):
            row = await self._tables.get(main_table(uids[0]), study_partition(partition.number, uids[0]), row_key)
            if row is None or DELETING in row:
                return
            before = state_of(row)
            after = candidates.applied(before)
            if in_place:
                written = after.extended == before.extended or await self._merged(partition, uids[0], row, after)
                if written and await self._covered_in_place(partition, kind, after, uids):
                    return
                # Its covering row is on its way, or was superseded, or lost: moving it settles all three.
                in_place = not written
            elif await self._moved(partition, kind, row, (before, after), uids):
                return
            await jittered_pause(min(attempt, 6))
        raise StoreUnavailable

    async def _merged(self, partition: DataPartition, study_uid: str, row: Entity, after: LevelState) -> bool:
        """Write a state's tags into its row; False when it has changed since it was read."""
        where = study_partition(partition.number, study_uid)
        entity = extended_entity(after.extended, after.columns)
        return await self._tables.merge(main_table(study_uid), where, row["RowKey"], entity, row[ETAG])

    async def _covered_in_place(
        self, partition: DataPartition, kind: LogKind, state: LevelState, uids: tuple[str, ...]
    ) -> bool:
        """Write a state's tags into its covering row; False when it is not where the state says."""
        table, where = segment_table(kind, state.segment), segment_partition(partition.number, state.segment)
        entity = extended_entity(state.extended, state.columns)
        return await self._tables.merge(table, where, covering_row_key(state.order, *uids), entity)

    async def _moved(
        self,
        partition: DataPartition,
        kind: LogKind,
        row: Entity,
        states: tuple[LevelState, LevelState],
        uids: tuple[str, ...],
    ) -> bool:
        """Give a row its new state with a new covering row; False when it has changed since it was read."""
        before, after = states
        if after.extended == before.extended and await self._index.covering.covered(partition, kind, before, *uids):
            return True
        state = await self._index.covering.following(partition, kind, before, after, *uids)
        where = study_partition(partition.number, uids[0])
        entity = state_entity(state, whole(row, "version"))
        if not await self._tables.merge(main_table(uids[0]), where, row["RowKey"], entity, row[ETAG]):
            return False
        await self._index.covering.cover(partition, kind, row["RowKey"], state, *uids)
        return True

    # ---- instances ----

    async def _write_instances(
        self,
        partition: DataPartition,
        study_uid: str,
        instances: Sequence[InstanceSaid],
        entries: Sequence[TagEntry],
    ) -> None:
        for part in _parts(instances):
            left = part
            for _ in range(_TRIES):
                there = await self._merge_instances(partition, study_uid, left)
                await self._postings.insert(partition.number, [one.now for one in there])
                await self._postings.replace(partition.number, [one.before for one in there])
                changed = await self._updated_since(partition, study_uid, there, entries)
                if not changed:
                    break
                left = (await self._gathered(partition, study_uid, changed, entries, "")).instances
            else:
                raise StoreUnavailable

    async def _updated_since(
        self,
        partition: DataPartition,
        study_uid: str,
        instances: Sequence[InstanceSaid],
        entries: Sequence[TagEntry],
    ) -> list[Entity]:
        """Rows of instances that were updated since they were read: what they say now may be something else."""
        if not instances:
            return []
        table, where = main_table(study_uid), study_partition(partition.number, study_uid)
        read = {one.row: one.version for one in instances}
        rows = between(where, min(read), max(read) + "~")
        changed = []
        async for page in self._tables.pages(table, rows, ("RowKey", "version")):
            changed += [
                row["RowKey"] for row in page if whole(row, "version") != read.get(row["RowKey"], whole(row, "version"))
            ]
        fresh = [await self._tables.get(table, where, key, columns_for(entries)) for key in changed]
        return [row for row in fresh if row is not None]

    async def _merge_instances(
        self, partition: DataPartition, study_uid: str, instances: Sequence[InstanceSaid]
    ) -> list[InstanceSaid]:
        """Write what instances say into their rows; gives those that are there and stay."""
        if await self._transacted(partition, study_uid, instances):
            return list(instances)
        return [one for one in instances if await self._transacted(partition, study_uid, [one])]

    async def _transacted(self, partition: DataPartition, study_uid: str, instances: Iterable[InstanceSaid]) -> bool:
        rows = [Write("merge", one.row, {**one.columns, POSTED: one.now.version}) for one in instances]
        # A delete takes the guards away before it looks at what rows say.
        guards = sorted({series_guard(uids_of_row(one.row)[0]) for one in rows})
        writes = [*(Write("merge", guard) for guard in guards), *rows]
        for _ in range(_TRIES):
            try:
                where = study_partition(partition.number, study_uid)
                await self._tables.transact(main_table(study_uid), where, writes)
                return True
            except OutcomeUnknown:
                continue
            except TransactionFailed as error:
                if error.status != 404:
                    raise
                return False
        raise StoreUnavailable


def _parts(instances: Sequence[InstanceSaid]) -> Iterator[Sequence[InstanceSaid]]:
    """As many instances as one transaction takes, with the guards of their series."""
    part: list[InstanceSaid] = []
    series: set[str] = set()
    for one in instances:
        series_uid = uids_of_row(one.row)[0]
        if len(part) + len(series | {series_uid}) >= TRANSACTION_LIMIT:
            yield part
            part, series = [], set()
        part.append(one)
        series.add(series_uid)
    if part:
        yield part


def columns_for(entries: Iterable[TagEntry]) -> tuple[str, ...]:
    """The properties of rows that indexing by tags looks at."""
    return (*_COLUMNS, *(column_of(entry.tag.slot) for entry in entries))
