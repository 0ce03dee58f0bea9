"""The feed numbers events without gaps and in order, whoever writes them."""

from __future__ import annotations

import asyncio
import random

import pytest

from shared.storage import feed as feed_module
from shared.storage.feed import Action, Event, Feed, time_text
from shared.storage.keys import ulid
from tests.storage.made import rows
from tests.support.storage import watched_stores

pytestmark = pytest.mark.azurite


def event() -> Event:
    return Event(ulid(), Action.CREATE, "Microsoft.Default", "1.2", "1.3", "1.4", 1)


async def test_competing_writers_leave_no_gap_and_no_double(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        feeds = [Feed(stores._tables) for _ in range(4)]
        batches = [[event() for _ in range(random.randint(1, 7))] for _ in range(60)]
        numbers = await asyncio.gather(*(feeds[place % 4].append(batch) for place, batch in enumerate(batches)))
        stored = await rows(stores, "feed")
    total = sum(map(len, batches))
    assert sorted(number for batch in numbers for number in batch) == list(range(1, total + 1))
    by_number = {int(str(row["RowKey"])): row["eventId"] for row in stored}
    for batch, given in zip(batches, numbers, strict=True):
        assert [by_number[number] for number in given] == [one.event_id for one in batch]
    times = [str(row["time"]) for row in sorted(stored, key=lambda row: str(row["RowKey"]))]
    assert times == sorted(times)


async def test_a_block_that_is_full_is_followed_by_the_next(azurite, monkeypatch):
    monkeypatch.setattr(feed_module, "BLOCK", 10)
    async with watched_stores(azurite.connection_string) as (stores, _):
        feed = Feed(stores._tables)
        given = []
        for size in (7, 7, 23, 1):
            given += await feed.append([event() for _ in range(size)])
        assert given == list(range(1, 39))
        # A worker that knows nothing finds the end.
        assert await Feed(stores._tables).last_number() == 38
        assert await Feed(stores._tables).append([event()]) == [39]


async def test_the_end_is_found_without_a_hint(azurite, monkeypatch):
    monkeypatch.setattr(feed_module, "BLOCK", 10)
    async with watched_stores(azurite.connection_string) as (stores, _):
        await Feed(stores._tables).append([event() for _ in range(95)])
        await stores._tables.delete("work", "hint", "feed")
        assert await Feed(stores._tables).last_number() == 95


async def test_an_empty_feed_ends_at_zero(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        assert await stores.feed.last_number() == 0


def test_times_as_text_sort_like_times():
    ticks = sorted(random.randrange(10**17, 2 * 10**17) for _ in range(200))
    texts = [time_text(tick) for tick in ticks]
    assert texts == sorted(texts)
    assert time_text(17_000_000_000_000_001) == "2023-11-14T22:13:20.0000001+00:00"
