"""The change feed's reading side: windows by number or by time, the newest event, versions of what events are about.

Why a reader never sees a number while an earlier one can still appear: number n + 1 is only ever written by somebody
who has seen n, or in one transaction with it, and rows are never removed. So at any moment the rows are 1 to n without
a gap, and in order of time as well. Looking at several blocks takes several moments; they are read in ascending order,
and a block is only looked at when the one before it was found full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from shared.storage import feed
from shared.storage.batching import last_existing
from shared.storage.feed import TABLE, Action, Event, block_partition, event_row, time_text
from shared.storage.keys import HINTS, instance_row, main_table, study_partition, uids_of_row
from shared.storage.partitions import DataPartition
from shared.storage.tables import Entity, Tables, quoted, whole

_KNOWN_BLOCKS = 4096
# 9999-12-31T23:59:59.9999999, the last time there is a text for.
_LAST_TICKS = 253_402_300_800 * 10_000_000 - 1
# Reading a row more in a range costs a small fraction of reading one by its key.
_ROWS_FOR_A_READ = 32
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """An event as it is in the feed.

    Attributes:
        number: its place in the feed, from 1.
        time: when it was appended; text with seven digits of fraction and `+00:00`, later for every later number.
        event: what happened.
    """

    number: int
    time: str
    event: Event


class FeedReader:
    """The feed of all data partitions together, seen from one worker that reads it."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        # Rows never change, so what was read once stays true: the newest event seen, when blocks begin.
        self._newest: Change | None = None
        self._begins: dict[int, str] = {}
        self._latest_block = -1

    async def after(self, number: int, count: int) -> list[Change]:
        """Events with number < event number <= number + count, ascending, without a gap.

        Args:
            number: 0 or more.
            count: 1 to 1,000.
        """
        changes: list[Change] = []
        low, high = number + 1, number + count
        for block in range((low - 1) // feed.BLOCK, (high - 1) // feed.BLOCK + 1):
            end_of_block = (block + 1) * feed.BLOCK
            first, last = number + len(changes) + 1, min(high, end_of_block)
            where = (
                f"PartitionKey eq {quoted(block_partition(first))}"
                f" and RowKey ge {quoted(event_row(first))} and RowKey le {quoted(event_row(last))}"
            )
            async for page in self._tables.pages(TABLE, where):
                changes += map(_change, page)
            if number + len(changes) < last:
                break
        return changes

    async def between(self, start_ticks: int, end_ticks: int, skip: int, count: int) -> list[Change]:
        """Events with start <= time < end, ascending.

        Args:
            start_ticks: hundreds of nanoseconds since 1970.
            end_ticks: the same.
            skip: how many of them to leave out first, 0 or more.
            count: how many to give at most, 1 to 1,000.
        """
        start, end = _bound(start_ticks), _bound(end_ticks)
        first = await self._first_at(start)
        if first is None:
            return []
        # The order of time is the order of numbers, so skipping is an addition.
        changes = await self.after(first - 1 + skip, count)
        return [change for change in changes if change.time < end]

    async def newest(self) -> Change | None:
        """The event with the highest number, which is the one with the latest time; None in an empty feed."""
        known = self._newest
        following = (known.number if known else 0) + 1
        if await self._tables.get(TABLE, block_partition(following), event_row(following), ("RowKey",)) is None:
            return known
        block = await last_existing(self._has_begun, await self._recent_block())
        first = max(following, block * feed.BLOCK + 1)
        where = f"PartitionKey eq {quoted(block_partition(first))} and RowKey ge {quoted(event_row(first))}"
        async for page in self._tables.pages(TABLE, where):
            for row in page[-1:]:
                known = _change(row)
        if known is not None and (self._newest is None or known.number > self._newest.number):
            self._newest = known
        return known

    async def versions(
        self, partition: DataPartition, study_uid: str, series_uid: str, sop_instance_uids: Iterable[str]
    ) -> dict[str, int]:
        """Version numbers of those of a series' instances that are stored, by SOPInstanceUID.

        One instance is read by its key, several in one range as long as not too many others lie between them.
        """
        wanted = sorted(set(sop_instance_uids))
        found: dict[str, int] = {}
        left = wanted
        if len(wanted) > 1:
            found, left = await self._versions_in_range(partition, study_uid, series_uid, wanted)
        where = study_partition(partition.number, study_uid)
        rows = await asyncio.gather(
            *(
                self._tables.get(main_table(study_uid), where, instance_row(series_uid, uid), ("version",))
                for uid in left
            )
        )
        return found | {uid: whole(row, "version") for uid, row in zip(left, rows, strict=True) if row is not None}

    async def _versions_in_range(
        self, partition: DataPartition, study_uid: str, series_uid: str, wanted: list[str]
    ) -> tuple[dict[str, int], list[str]]:
        """What a bounded range read finds of the wanted instances, and those it did not come to."""
        where = (
            f"PartitionKey eq {quoted(study_partition(partition.number, study_uid))}"
            f" and RowKey ge {quoted(instance_row(series_uid, wanted[0]))}"
            f" and RowKey le {quoted(instance_row(series_uid, wanted[-1]))}"
        )
        found: dict[str, int] = {}
        most = min(_PAGE, len(wanted) * _ROWS_FOR_A_READ)
        rows_read = 0
        async for page in self._tables.pages(main_table(study_uid), where, ("RowKey", "version"), most):
            versions = {uids_of_row(row["RowKey"])[1]: whole(row, "version") for row in page}
            found |= {uid: versions[uid] for uid in wanted if uid in versions}
            rows_read += len(page)
            if rows_read >= most:
                last = max(versions)
                return found, [uid for uid in wanted if uid > last]
        return found, []

    async def _first_at(self, time: str) -> int | None:
        """Number of the first event at that time or later; None when there is none."""
        begins: dict[int, str] = {}

        async def begins_before(block: int) -> bool:
            begin = await self._begin(block)
            if begin is not None:
                begins[block] = begin
            return begin is not None and begin < time

        recent = await self._recent_block()
        block = await last_existing(begins_before, recent if recent >= 0 and await begins_before(recent) else -1)
        if block >= 0:
            where = f"PartitionKey eq {quoted(f'f~{block}')} and time ge {quoted(time)}"
            async for page in self._tables.pages(TABLE, where, ("RowKey",), top=1):
                if page:
                    return int(page[0]["RowKey"])
        # The next block counts only if it was there before this one was looked through: then this one was full. Events
        # that have been appended since are for the next look.
        return (block + 1) * feed.BLOCK + 1 if block + 1 in begins else None

    async def _recent_block(self) -> int:
        """A block that has begun, normally the last one; -1 when none is known."""
        if self._latest_block < 0:
            hint = await self._tables.get("work", HINTS, "feed", ("number",))
            if hint is not None:
                await self._begin((whole(hint, "number") - 1) // feed.BLOCK)
        return self._latest_block

    async def _has_begun(self, block: int) -> bool:
        return await self._begin(block) is not None

    async def _begin(self, block: int) -> str | None:
        """The time of a block's first event; None while there is none."""
        known = self._begins.get(block)
        if known is not None:
            return known
        first = block * feed.BLOCK + 1
        row = await self._tables.get(TABLE, block_partition(first), event_row(first), ("time",))
        if row is None:
            return None
        if len(self._begins) >= _KNOWN_BLOCKS:
            self._begins.clear()
        self._begins[block] = begin = str(row["time"])
        self._latest_block = max(self._latest_block, block)
        return begin


def _bound(ticks: int) -> str:
    # No event is older than 1970.
    return time_text(min(max(ticks, 0), _LAST_TICKS))


def _change(row: Entity) -> Change:
    event = Event(
        event_id=row["eventId"],
        action=Action(row["action"]),
        partition=row["partition"],
        study_uid=row["study"],
        series_uid=row["series"],
        sop_instance_uid=row["instance"],
        version=whole(row, "version"),
    )
    return Change(int(row["RowKey"]), row["time"], event)
