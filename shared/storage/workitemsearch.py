"""Searching workitems: a walk over the blocks of their log, newest first, until the page is full.

The row of a workitem is the workitem, so what is found is as it is now. Blocks are read 2, 2, 4, 8 … 32 at once.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.storage.batching import last_existing
from shared.storage.conditions import Condition
from shared.storage.keys import SEARCH_COLUMN
from shared.storage.paging import MOST_AT_ONCE, Part, Wanted, matching_rows, page_of, read_each
from shared.storage.tables import Entity, Tables, quoted
from shared.storage.workitemlog import WorkitemLog
from shared.storage.workitemrows import DATASET_COLUMNS, dataset_of, home, values_in

log = logging.getLogger(__name__)

_KEYS = ("RowKey",)
_ANSWERS = (*_KEYS, "uid", *DATASET_COLUMNS)


@dataclass(frozen=True, slots=True)
class FoundWorkitems:
    """A page of a search.

    Attributes:
        rows: of those that can be read, newest first.
        unreadable: how many matched and cannot be read.
    """

    rows: tuple[Entity, ...]
    unreadable: int

    def datasets(self) -> Iterator[Mapping[str, Any]]:
        """What they say, one after the other, so that one is in memory at a time."""
        return map(dataset_of, self.rows)


def any_of(column: str, values: frozenset[str]) -> Condition:
    """One of the folded values is one of these; items of a sequence can have a value each."""
    return _AnyOf(f"{SEARCH_COLUMN}{column}", values)


@dataclass(frozen=True, slots=True)
class _AnyOf(Condition):
    name: str
    values: frozenset[str]

    @property
    def column(self) -> str:
        return self.name

    def filters(self) -> list[str]:
        # Several values stand between backslashes, which no value has; `]` follows the backslash.
        several = f"({self.name} ge {quoted(chr(92))} and {self.name} lt ']')"
        return [*(f"{self.name} eq {quoted(value)}" for value in sorted(self.values)), several]

    def matches(self, row: Mapping[str, Any]) -> bool:
        held = row.get(self.name)
        return held is not None and not self.values.isdisjoint(values_in(held))


class WorkitemSearch:
    """One data partition's workitems, seen from one worker that searches them."""

    def __init__(self, tables: Tables, numbers: WorkitemLog, partition: int) -> None:
        self._tables = tables
        self._log = numbers
        self._partition = partition
        self._newest: int | None = None

    async def page(self, conditions: Sequence[Condition], offset: int, limit: int) -> FoundWorkitems:
        """Matching workitems, newest first."""
        matched = await page_of(self._blocks, Wanted(conditions, _ANSWERS), _KEYS, offset, limit)
        readable = tuple(row for row in matched if _readable(row))
        return FoundWorkitems(readable, len(matched) - len(readable))

    async def _blocks(self, wanted: Wanted) -> AsyncGenerator[Part, None]:
        """Matching rows of each block, newest first."""

        async def read(blocks: Sequence[int]) -> list[Part]:
            return await read_each(blocks, rows_of)

        async def rows_of(block: int) -> list[Entity]:
            table, partition = home(self._partition, block)
            return await matching_rows(self._tables, table, f"PartitionKey eq {quoted(partition)}", wanted)

        start = wanted.start
        if start is None:
            known = await self._known_newest()
            # What is newer is looked for meanwhile: as a rule the newest rows are one round trip away.
            tail, newer = await asyncio.gather(
                read([one for one in (known, known - 1) if one >= 0]), self._newer(known)
            )
            for first in range(0, len(newer), MOST_AT_ONCE):
                for one in await read(newer[first : first + MOST_AT_ONCE]):
                    yield one
            for one in tail:
                yield one
            start = known - 2
        size = 2
        while start >= 0:
            for one in await read(range(start, max(start - size, -1), -1)):
                yield one
            start, size = start - size, min(2 * size, MOST_AT_ONCE)

    async def _known_newest(self) -> int:
        if self._newest is None:
            self._newest = max(await self._log.newest_block(), 0)
        return self._newest

    async def _newer(self, known: int) -> list[int]:
        """Blocks that are newer than the one known, newest first."""
        newest = await last_existing(self._log.begun, known)
        self._newest = max(newest, self._newest or 0)
        return list(range(newest, known, -1))


def _readable(row: Entity) -> bool:
    try:
        dataset_of(row)
    except (ValueError, zlib.error):
        log.exception("the row of a workitem cannot be read", extra={"row": row["RowKey"]})
        return False
    return True
