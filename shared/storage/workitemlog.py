"""The log of workitems: numbered without gaps in the order in which they were made, whoever makes them.

A number is decided by inserting the row with it, as in the change feed: a conflict means that somebody was first. Rows
stay for ever and are changed where they are, so there is nothing to seal and nothing to move.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from shared.errors import StoreUnavailable
from shared.storage.batching import jittered_pause, last_existing
from shared.storage.errors import OutcomeUnknown, TransactionFailed
from shared.storage.keys import HINTS, SCHEMA
from shared.storage.tables import Entity, Tables, Write, quoted, whole
from shared.storage.workitemrows import BLOCK, KIND, block_of, home, number_of, workitem_row

log = logging.getLogger(__name__)

_TRIES = 50


class WorkitemLog:
    """One data partition's log, seen from one worker."""

    def __init__(self, tables: Tables, partition: int) -> None:
        self._tables = tables
        self._partition = partition
        self._tail: int | None = None
        self._turn = asyncio.Lock()

    async def seen(self) -> int:
        """A number that was given away before now; 0 when none was."""
        if self._tail is None:
            self._tail = await self._find_tail(0)
        return self._tail

    async def append(self, entity: Mapping[str, Any]) -> int:
        """Insert a row as the next one; gives its number. Its `token` tells it from all others."""
        async with self._turn:
            tail = await self.seen()
            for attempt in range(_TRIES):
                number = tail + 1
                if await self._insert(number, entity):
                    self._tail = number
                    return number
                # Somebody was first; after a while it is cheaper to look where the end is.
                await jittered_pause(attempt // 4)
                tail = number if attempt % 4 else await self._find_tail(number)
            log.error("the log of workitems is too busy", extra={"tries": _TRIES})
            raise StoreUnavailable

    async def newest_block(self) -> int:
        """The newest block; -1 when there is none."""
        known = block_of(self._tail) if self._tail is not None else await self._hinted()
        return await last_existing(self.begun, known if known > 0 and await self.begun(known) else -1)

    async def begun(self, block: int) -> bool:
        """Whether there is a block of that number."""
        first = block * BLOCK + 1
        return await self.row(first, ("RowKey",)) is not None

    async def row(self, number: int, columns: tuple[str, ...] = ()) -> Entity | None:
        """The row with a number."""
        return await self._tables.get(*home(self._partition, block_of(number)), workitem_row(number), columns)

    async def find(self, token: str, after: int) -> int:
        """Number of the row with a token, when it is behind a number; 0 when there is none."""
        newest = await self.newest_block()
        for block in range(max(block_of(after), 0), newest + 1):
            table, partition = home(self._partition, block)
            where = f"PartitionKey eq {quoted(partition)} and token eq {quoted(token)}"
            async for page in self._tables.pages(table, where, ("RowKey",)):
                for row in page:
                    return number_of(row["RowKey"])
        return 0

    async def _insert(self, number: int, entity: Mapping[str, Any]) -> bool:
        """Insert the row with a number; False when another one has it."""
        table, partition = home(self._partition, block_of(number))
        try:
            await self._tables.transact(table, partition, [Write("insert", workitem_row(number), entity)])
        except (TransactionFailed, OutcomeUnknown) as error:
            if isinstance(error, TransactionFailed) and error.code != "EntityAlreadyExists":
                raise
            there = await self.row(number, ("token",))
            if there is None:
                # The try whose answer was lost may be on its way yet; the same one is made again.
                return await self._insert_again(number, entity)
            if there["token"] != entity["token"]:
                return False
        if (number - 1) % BLOCK == 0:
            hint = {"block": block_of(number), "schema": SCHEMA}
            await self._tables.put("work", HINTS, self._hint_row, hint)
        return True

    async def _insert_again(self, number: int, entity: Mapping[str, Any]) -> bool:
        try:
            return await self._tables.insert(*home(self._partition, block_of(number)), workitem_row(number), entity)
        except OutcomeUnknown as error:
            # Whoever comes next finds out by the token.
            raise StoreUnavailable from error

    async def _find_tail(self, known: int) -> int:
        """The newest number, which is not below the one known."""
        newest = await self.newest_block()
        if newest < 0:
            return 0
        table, partition = home(self._partition, newest)
        async for page in self._tables.pages(table, f"PartitionKey eq {quoted(partition)}", ("RowKey",), 1):
            for row in page:
                return max(number_of(row["RowKey"]), known)
        return known

    async def _hinted(self) -> int:
        return whole(await self._tables.get("work", HINTS, self._hint_row) or {}, "block")

    @property
    def _hint_row(self) -> str:
        return f"{KIND}~{self._partition}"
