"""Covering rows: one in a log of segments for each study and series, which is all that a search reads of it.

A row of a study or series says where its covering row is, and where those of states before may still be.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from shared.storage.keys import main_table, segment_partition, segment_table, study_partition, ulid
from shared.storage.partitions import DataPartition
from shared.storage.rows import LevelState, covering_places, covering_row, covering_row_key, following
from shared.storage.segments import LogKind, SegmentLog
from shared.storage.tables import ETAG, Tables

_TRIES = 20
_SETTLED_KEPT = 4096


class Covering:
    """Covering rows of studies and series, seen from one worker that writes them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._logs: dict[tuple[str, int], SegmentLog] = {}
        # Order keys of the states whose covering rows this worker has brought into order.
        self._settled: OrderedDict[tuple[str | int, ...], str] = OrderedDict()

    def log(self, kind: LogKind, partition: DataPartition) -> SegmentLog:
        """The segment log of one kind in a data partition."""
        key = (kind, partition.number)
        if key not in self._logs:
            self._logs[key] = SegmentLog(self._tables, kind, partition.number)
        return self._logs[key]

    async def cover(self, partition: DataPartition, kind: LogKind, row: str, now: LevelState, *uids: str) -> None:
        """Append a state's covering row, take those before it away; mend the pointer when the segment was full."""
        log = self.log(kind, partition)
        covering = covering_row(now, *uids)
        (segment,) = await log.append([covering])
        # Not at the same time: between the two a search would find neither.
        await self.clear(partition, kind, now)
        if segment != now.segment:
            table, where = main_table(uids[0]), study_partition(partition.number, uids[0])
            for _ in range(_TRIES):
                current = await self._tables.get(table, where, row, ("order",))
                if current is None or current["order"] != now.order:
                    # Somebody has written a newer one, or deleted it all, and looked for this row elsewhere.
                    await log.remove(segment, covering.row)
                    return
                if await self._tables.merge(table, where, row, {"segment": segment}, current[ETAG]):
                    break
        self._settled[kind, partition.number, *uids] = now.order
        if len(self._settled) > _SETTLED_KEPT:
            self._settled.popitem(last=False)

    async def clear(self, partition: DataPartition, kind: LogKind, state: LevelState) -> None:
        """Take the covering rows of the states before this one away."""
        log = self.log(kind, partition)
        places = covering_places(state.before)
        # Whoever stored the state before this one may be late with its row; nobody is that late with an older one.
        await asyncio.gather(*(log.remove(*one) for one in places[:1]), *(log.drop(*one) for one in places[1:]))

    def settled(self, partition: DataPartition, kind: LogKind, state: LevelState, *uids: str) -> bool:
        """Whether this worker has brought the covering rows of a state into order itself."""
        return self._settled.get((kind, partition.number, *uids)) == state.order

    async def covered(self, partition: DataPartition, kind: LogKind, state: LevelState, *uids: str) -> bool:
        """Whether the covering row of a study's or series' state is where its row says."""
        table, where = segment_table(kind, state.segment), segment_partition(partition.number, state.segment)
        return await self._tables.get(table, where, covering_row_key(state.order, *uids), ("RowKey",)) is not None

    async def mend(self, partition: DataPartition, kind: LogKind, row: str, now: LevelState, *uids: str) -> bool:
        """See to it that a state has its covering row, and not the ones before as well; False when it had."""
        await self.clear(partition, kind, now)
        if await self.covered(partition, kind, now, *uids):
            return False
        await self.cover(partition, kind, row, now, *uids)
        return True

    async def following(
        self, partition: DataPartition, kind: LogKind, before: LevelState, after: LevelState, *uids: str
    ) -> LevelState:
        """A state that says something else than the one before, with the place of a covering row of its own."""
        segment = await self.log(kind, partition).current()
        settled = self.settled(partition, kind, before, *uids)
        return following(before, after, ulid(before.order), segment, *uids, settled=settled)
