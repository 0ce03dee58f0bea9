"""Who is writing: every worker that stores has a row with its heartbeat; a sweep can finish what a dead one left.

Blob names are the intent log: `{data partition}/{writer}/{epoch}/{ulid}`, never reused. An epoch closes when all
requests that began in it are through, so a sweep looks at the open epochs of silent writers only. The hot path pays
nothing for it.

A request that could not finish, because storage failed between its rows and what follows them, leaves its epoch: when
the epoch's other requests are through, a row in `work` hands it to the sweep, while the worker lives on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from shared.errors import StoreUnavailable
from shared.storage.feed import Feed
from shared.storage.keys import SCHEMA, base36, ulid
from shared.storage.tables import Tables

log = logging.getLogger(__name__)

WRITERS = "writer"
LEFT = "left"
"""Partition of `work` with the epochs that living writers leave to the sweep."""
EPOCH_SECONDS = 10
EPOCH_REQUESTS = 1000
STALE_SECONDS = 60
"""A writer whose own heartbeat is older than this must not commit: a sweep may soon take it for dead."""


class Writer:
    """This worker as a writer. Its row is written when it first stores something, then every ten seconds."""

    def __init__(self, tables: Tables, feed: Feed) -> None:
        self._tables = tables
        self._feed = feed
        self.writer_id = ulid()
        self._epoch = 0
        self._epoch_began = 0.0
        self._begun_in_epoch = 0
        # Epochs that are not through, each with its requests under way and a feed number from before its first event.
        self._under_way: dict[int, int] = {}
        self._feed_at: dict[int, int | None] = {}
        self._left: set[int] = set()
        self._beat_at: float | None = None
        self._beat_lock = asyncio.Lock()
        self._beating: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def request(self) -> AsyncIterator[int]:
        """One storing request, from its first blob to its last event; gives the epoch that its blobs are named by."""
        epoch = self._enter()
        try:
            yield epoch
        finally:
            self._under_way[epoch] -= 1
            if epoch != self._epoch:
                self._forget(epoch)

    def blob_name(self, partition: int, epoch: int) -> str:
        """A new blob's name."""
        return f"{base36(partition)}/{self.writer_id}/{epoch}/{ulid()}"

    def leave(self, epoch: int) -> None:
        """Say that a request of this epoch may have rows without what has to follow them; the sweep will see to it."""
        self._left.add(epoch)

    async def may_commit(self) -> None:
        """Return when the heartbeat is fresh enough to commit rows.

        Raises:
            StoreUnavailable: the heartbeat cannot be written.
        """
        if not self._fresh(STALE_SECONDS / 2):
            async with self._beat_lock:
                if not self._fresh(STALE_SECONDS / 2):
                    await self._beat()
        if not self._fresh(STALE_SECONDS):
            raise StoreUnavailable

    async def close(self) -> None:
        """Stop the heartbeat and say which epochs are through."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
            self._beating = None
            async with self._beat_lock:
                await self._beat()

    def _fresh(self, seconds: float) -> bool:
        return self._beat_at is not None and time.monotonic() - self._beat_at <= seconds

    def _enter(self) -> int:
        old = time.monotonic() - self._epoch_began > EPOCH_SECONDS or self._begun_in_epoch >= EPOCH_REQUESTS
        if not self._epoch or old:
            self._advance()
        self._begun_in_epoch += 1
        self._under_way[self._epoch] += 1
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat_while_busy(), name="writer heartbeat")
        return self._epoch

    def _advance(self) -> None:
        before = self._epoch
        self._epoch += 1
        self._epoch_began = time.monotonic()
        self._begun_in_epoch = 0
        self._under_way[self._epoch] = 0
        self._feed_at[self._epoch] = self._feed.cached_number
        self._forget(before)

    def _forget(self, epoch: int) -> None:
        if self._under_way.get(epoch) == 0 and epoch not in self._left:
            del self._under_way[epoch]
            del self._feed_at[epoch]

    async def _beat_while_busy(self) -> None:
        """Beat every ten seconds until nothing is under way; the last beat says that all epochs are through."""
        while True:
            try:
                async with self._beat_lock:
                    await self._beat()
            except StoreUnavailable:
                log.warning("no heartbeat: storage is not available")
            await asyncio.sleep(EPOCH_SECONDS)
            if not any(self._under_way.values()):
                return await self._last_beat()

    async def _last_beat(self) -> None:
        with suppress(StoreUnavailable):
            async with self._beat_lock:
                await self._beat()

    async def _beat(self) -> None:
        began = time.monotonic()
        if not any(self._under_way.values()):
            # Everything is through. What comes next belongs to a new epoch, or the row would say it is through as well.
            self._advance()
        for epoch, number in list(self._feed_at.items()):
            if number is None:
                # Nothing of this epoch is committed before the first heartbeat, so the newest number will do.
                self._feed_at[epoch] = await self._feed.last_number()
        await self._hand_over()
        entity = {
            "heartbeat": datetime.now(UTC).isoformat(),
            "openEpoch": min(self._under_way),
            "newestEpoch": self._epoch,
            "feedNumber": min(number or 0 for number in self._feed_at.values()),
            "schema": SCHEMA,
        }
        await self._tables.put("work", WRITERS, self.writer_id, entity)
        self._beat_at = began

    async def _hand_over(self) -> None:
        """Write down the epochs that are left, as soon as nothing of them is under way. Until then they are open."""
        for epoch in sorted(self._left):
            if epoch == self._epoch or self._under_way[epoch]:
                continue
            entity = {
                "writer": self.writer_id,
                "epoch": epoch,
                "feedNumber": self._feed_at[epoch] or 0,
                "left": datetime.now(UTC).isoformat(),
                "schema": SCHEMA,
            }
            await self._tables.put("work", LEFT, f"{self.writer_id}~{epoch:010d}", entity)
            self._left.discard(epoch)
            self._forget(epoch)
