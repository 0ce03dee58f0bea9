"""The feed numbers events without gaps and in order, whoever writes them."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from shared.storage import feed as feed_module
from shared.storage.errors import OutcomeUnknown
from shared.storage.feed import Action, Event, Feed, time_text
from shared.storage.keys import ulid
from shared.storage.tables import Tables
from tests.storage.made import rows
from tests.support.storage import describe, watched_stores

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


async def test_a_group_over_two_blocks_is_appended_once_when_the_second_answer_is_lost(azurite, monkeypatch):
    monkeypatch.setattr(feed_module, "BLOCK", 10)
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await stores.feed.append([event() for _ in range(8)])
        transactions = itertools.count(1)
        transport.fault = lambda request: (
            "after" if describe(request) == "transaction feed" and next(transactions) == 2 else None
        )
        events = [event() for _ in range(5)]
        assert await stores.feed.append(events) == [9, 10, 11, 12, 13]
        assert [change.event for change in await stores.changes.after(8, 100)] == events


async def test_a_group_over_two_blocks_is_appended_once_when_somebody_else_begins_the_second(azurite, monkeypatch):
    monkeypatch.setattr(feed_module, "BLOCK", 10)
    async with watched_stores(azurite.connection_string) as (stores, _):
        await stores.feed.append([event() for _ in range(8)])
        rival, insert = Feed(stores._tables), Tables.transact
        transactions = itertools.count(1)

        async def transact(self, *args):
            if next(transactions) == 2:
                await rival.append([event()])
            await insert(self, *args)

        monkeypatch.setattr(Tables, "transact", transact)
        events = [event() for _ in range(5)]
        assert await stores.feed.append(events) == [9, 10, 12, 13, 14]
        stored = [change.event for change in await stores.changes.after(8, 100)]
        assert [one for one in stored if one in events] == events
        assert len(stored) == 6


async def test_events_are_appended_once_when_the_writer_for_the_group_is_cancelled_behind_them(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        events = [event() for _ in range(5)]
        leader = asyncio.create_task(stores.feed.append(events[:2]))
        transport.fault = lambda request: "before" if describe(request) == "PUT row work" and leader.cancel() else None
        other = asyncio.create_task(stores.feed.append(events[2:]))
        await other
        assert leader.cancelled()
        assert [change.event for change in await stores.changes.after(0, 100)] == events


async def test_events_are_appended_once_when_the_end_is_looked_for_before_a_lost_answer(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await stores.feed.append([event()])
        insert = stores._tables.transact
        lost = asyncio.Event()

        class Losing(Tables):
            async def transact(self, *args):
                await insert(*args)
                if not lost.is_set():
                    lost.set()
                    await feed.last_number()
                    raise OutcomeUnknown

        feed = Feed(Losing(stores._client))
        await feed.last_number()
        events = [event(), event()]
        assert await feed.append(events) == [2, 3]
        assert [change.event for change in await stores.changes.after(1, 100)] == events
