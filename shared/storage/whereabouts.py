"""Where instances of a SOPInstanceUID were stored, whatever their study: the feed knows, and filters say where in it.

A block of the feed never changes once the next one has begun, so its UIDs fit a filter as a sealed segment's values do.
Nobody waits for that filter: a search that had to read the block writes it, for those that come later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from shared.errors import StoreUnavailable
from shared.storage.batching import last_existing
from shared.storage.conditions import one_of
from shared.storage.errors import OutcomeUnknown, StorageFailed
from shared.storage.feed import BLOCK, TABLE, block_partition, event_row
from shared.storage.filters import BLOCK as FILTERS
from shared.storage.filters import SegmentFilter, SegmentFilters
from shared.storage.keys import HINTS, SEARCH_COLUMN
from shared.storage.tables import Entity, Tables, quoted, whole

KIND = "feed"
_KEYWORD = "SOPInstanceUID"
_COLUMNS = ("partition", "study", "series", "instance")
_UIDS_A_QUERY = 10  # of the 15 comparisons that the service takes
_AT_ONCE = 16
_BUILT_A_SEARCH = 64
_FILTER_BLOCKS_KEPT = 256  # of 130 KB, for 16 million events
_BITS_A_UID = 16  # about 1 in 700 blocks is read for nothing

Place = tuple[str, str, str]


class Whereabouts:
    """What the feed knows of places, seen from one worker that searches."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._filters = SegmentFilters(tables, _FILTER_BLOCKS_KEPT)
        self._newest: int | None = None

    async def places(self, partition: str, sop_instance_uids: Iterable[str]) -> set[Place]:
        """Study, series and instance of everything of these UIDs that was ever stored; it may be gone by now.

        Args:
            partition: name of the data partition.
            sop_instance_uids: one or more.
        """
        uids = sorted(sop_instance_uids)
        known = await self._known_newest()
        # As a rule nothing is newer: what could be is asked for while the newest block is read.
        tail, newest = await asyncio.gather(self._asked(known, uids), last_existing(self._begun, known))
        self._newest = newest
        passing, unknown = await self._may_have(range(newest), uids)
        to_build = unknown[:_BUILT_A_SEARCH]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def read(block: int) -> list[Entity]:
            async with gate:
                return await (self._built(block) if block in to_build else self._asked(block, uids))

        blocks = [block for block in {newest, *passing} if block != known or block in to_build]
        rows = [row for part in await asyncio.gather(*map(read, blocks)) for row in part]
        return _places([*tail, *rows], partition, uids)

    async def _may_have(self, blocks: Sequence[int], uids: Sequence[str]) -> tuple[list[int], list[int]]:
        """Those of the blocks whose filter does not say no, and those among them that have no filter."""
        passing: list[int] = []
        unknown: list[int] = []
        for first in range(0, len(blocks), FILTERS * _AT_ONCE):
            part = blocks[first : first + FILTERS * _AT_ONCE]
            passing += await self._filters.passing(KIND, 0, part, [one_of(_KEYWORD, uids)])
            unknown += await self._filters.unknown(KIND, 0, part)
        return passing, unknown

    async def _asked(self, block: int, uids: Sequence[str]) -> list[Entity]:
        """Events of a block that are about some instances."""
        found: list[Entity] = []
        for first in range(0, len(uids), _UIDS_A_QUERY):
            any_of = " or ".join(f"instance eq {quoted(uid)}" for uid in uids[first : first + _UIDS_A_QUERY])
            where = f"PartitionKey eq {quoted(_partition(block))} and ({any_of})"
            async for page in self._tables.pages(TABLE, where, _COLUMNS):
                found += page
        return found

    async def _built(self, block: int) -> list[Entity]:
        """All events of a block that is full; its filter is written."""
        rows: list[Entity] = []
        async for page in self._tables.pages(TABLE, f"PartitionKey eq {quoted(_partition(block))}", _COLUMNS):
            rows += page
        with suppress(StoreUnavailable, StorageFailed, OutcomeUnknown):  # then the next search tries again
            await self._filters.write(KIND, 0, block, filter_of(rows))
        return rows

    async def _begun(self, block: int) -> bool:
        return await self._tables.get(TABLE, _partition(block), event_row(block * BLOCK + 1), ("RowKey",)) is not None

    async def _known_newest(self) -> int:
        """The newest block that this worker knows of, or the one that storage has a hint of."""
        if self._newest is None:
            hint = await self._tables.get("work", HINTS, "feed")
            self._newest = max(whole(hint or {}, "number") - 1, 0) // BLOCK
        return self._newest


def filter_of(events: Iterable[Mapping[str, Any]]) -> SegmentFilter:
    """The filter over the instances that events are about."""
    return SegmentFilter.of([clued(event) for event in events], _BITS_A_UID)


def clued(event: Mapping[str, Any]) -> Mapping[str, str]:
    """An event as a filter sees it."""
    return {SEARCH_COLUMN + _KEYWORD: event["instance"]}


def _places(events: Iterable[Entity], partition: str, uids: Collection[str]) -> set[Place]:
    return {
        (event["study"], event["series"], event["instance"])
        for event in events
        if event["partition"] == partition and event["instance"] in uids
    }


def _partition(block: int) -> str:
    return block_partition(block * BLOCK + 1)
