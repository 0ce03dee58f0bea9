"""The walk over a segment log, newest segment first: how a search that names no study finds its rows.

Segments are read 2, 2, 4, 8 … 32 at once until the reader has enough. Those whose filter says no are left out.

A row counts when it satisfies the conditions itself. A writer settles a study's covering rows before it answers its own
client, so a search meets a rewritten study in its old or its new state; where it meets both, the newer one is first and
the older one is dropped. A row that was superseded before it came has no order key and never matches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from shared.storage.batching import last_existing
from shared.storage.conditions import Condition
from shared.storage.filters import BLOCK, SegmentFilters
from shared.storage.keys import segment_partition, segment_table
from shared.storage.paging import MOST_AT_ONCE, Part, Wanted, matching_rows, page_of, read_each
from shared.storage.segments import LogKind, hinted_segment, is_begun
from shared.storage.tables import Entity, Tables, quoted
from shared.storage.tagrows import EXTENDED

_KEYS = ("RowKey", "order", "study", "series")
_ANSWERS = (*_KEYS, "answer", "index", "modalities", EXTENDED)

_Reader = Callable[[Sequence[int]], Awaitable[list[Part]]]


class SegmentWalk:
    """One data partition's log of one kind, seen from one worker that searches it."""

    def __init__(self, tables: Tables, filters: SegmentFilters, kind: LogKind, partition: int) -> None:
        self._tables = tables
        self._filters = filters
        self._kind = kind
        self._partition = partition
        self._newest: int | None = None

    async def page(self, conditions: Sequence[Condition], offset: int, limit: int) -> list[Entity]:
        """Matching rows with what an answer is made of, newest first."""
        return await page_of(self._segments, Wanted(conditions, _ANSWERS), _KEYS, offset, limit)

    async def keys(self, conditions: Sequence[Condition]) -> AsyncGenerator[list[Entity], None]:
        """All matching rows, with their UIDs and order keys only, newest first, a segment at a time."""
        async with aclosing(self._segments(Wanted(conditions, _KEYS))) as segments:
            async for _, rows in segments:
                yield rows

    async def _segments(self, wanted: Wanted) -> AsyncGenerator[Part, None]:
        """Matching rows of each segment that may have some, newest first."""
        seen: set[tuple[str, str]] = set()

        async def read(segments: Sequence[int]) -> list[Part]:
            return await read_each(segments, rows_of)

        async def rows_of(segment: int) -> list[Entity]:
            part = f"PartitionKey eq {quoted(segment_partition(self._partition, segment))} and order gt ''"
            return await matching_rows(self._tables, segment_table(self._kind, segment), part, wanted)

        async with aclosing(self._waves(wanted.conditions, read, wanted.start)) as waves:
            async for wave in waves:
                for segment, rows in wave:
                    first_seen = []
                    for row in rows:
                        uids = (row["study"], row.get("series", ""))
                        if uids not in seen:
                            seen.add(uids)
                            first_seen.append(row)
                    yield segment, first_seen

    async def _waves(
        self, conditions: Sequence[Condition], read: _Reader, start: int | None
    ) -> AsyncGenerator[list[Part], None]:
        if start is None:
            newest = await self._known_newest()
            # Its successor is looked for while it is read: as a rule the newest rows are one round trip away.
            tail, before, newer = await asyncio.gather(
                read([newest]), self._read_passing([newest - 1][:newest], conditions, read), self._begun_since(newest)
            )
            for first in range(0, len(newer), MOST_AT_ONCE):
                yield await read(newer[first : first + MOST_AT_ONCE])
            yield [*tail, *before]
            start = newest - 2
        size = 2
        wave: list[int] = []
        while start >= 0:
            # As many as one block of filters holds.
            last = start // BLOCK * BLOCK
            wave += await self._filters.passing(self._kind, self._partition, range(start, last - 1, -1), conditions)
            start = last - 1
            while len(wave) >= size or (wave and start < 0):
                yield await read(wave[:size])
                wave, size = wave[size:], min(2 * size, MOST_AT_ONCE)

    async def _read_passing(
        self, segments: Sequence[int], conditions: Sequence[Condition], read: _Reader
    ) -> list[Part]:
        return await read(await self._filters.passing(self._kind, self._partition, segments, conditions))

    async def _known_newest(self) -> int:
        """The newest segment this worker knows of, or the one storage has a hint of."""
        if self._newest is None:
            self._newest = max(await hinted_segment(self._tables, self._kind, self._partition), 0)
        return self._newest

    async def _begun_since(self, known: int) -> list[int]:
        """Segments that are newer than the one known, newest first."""

        async def begun(segment: int) -> bool:
            return await is_begun(self._tables, self._kind, self._partition, segment)

        newest = await last_existing(begun, known)
        self._newest = max(newest, self._newest or 0)
        return list(range(newest, known, -1))
