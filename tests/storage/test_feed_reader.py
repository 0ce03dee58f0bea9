"""The feed read by number and by time, by readers that are new and readers that remember, while others write."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

import pytest

from shared.errors import StoreUnavailable
from shared.storage import feed as feed_module
from shared.storage.feed import Action, Event
from shared.storage.feed_reader import Change, FeedReader
from shared.storage.keys import ulid
from shared.storage.stores import Stores
from shared.storage.tables import Entity, Tables
from tests.storage.made import DEFAULT, store
from tests.support.storage import describe, watched_stores, workers

pytestmark = pytest.mark.azurite

EVER = 10**18
_LEAST_REQUESTS = 3


def event(sop: str = "1.4") -> Event:
    return Event(ulid(), Action.CREATE, "Microsoft.Default", "1.2", "1.3", sop, 1)


def ticks_of(text: str) -> int:
    whole, _, fraction = text.removesuffix("+00:00").partition(".")
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * 10_000_000 + int(fraction)


async def written(stores: Stores, count: int) -> list[Event]:
    """A feed of that many events, appended in groups of several sizes."""
    events = [event() for _ in range(count)]
    start = 0
    while start < count:
        size = random.randint(1, 7)
        await stores.feed.append(events[start : start + size])
        start += size
    return events


async def test_an_empty_feed_has_nothing(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        reader = stores.changes
        assert await reader.after(0, 200) == []
        assert await reader.between(0, EVER, 0, 200) == []
        assert await reader.newest() is None


async def test_windows_by_number_are_exact_across_blocks(azurite, monkeypatch):
    monkeypatch.setattr(feed_module, "BLOCK", 10)
    async with watched_stores(azurite.connection_string) as (stores, _):
        events = await written(stores, 34)
        for after, count in (
            (0, 1),
            (0, 10),
            (0, 11),
            (9, 1),
            (9, 2),
            (10, 10),
            (5, 25),
            (33, 9),
            (34, 9),
            (10**18, 9),
        ):
            changes = await stores.changes.after(after, count)
            assert [change.number for change in changes] == list(range(after + 1, min(after + count, 34) + 1))
            assert [change.event for change in changes] == events[after : after + count]


async def test_times_are_strictly_later_for_later_numbers(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await written(stores, 60)
        times = [change.time for change in await stores.changes.after(0, 60)]
    assert times == sorted(set(times))


@pytest.mark.parametrize("remembering", [True, False], ids=["one reader", "a new reader each time"])
@pytest.mark.parametrize("hinted", [True, False], ids=["with a hint", "without a hint"])
async def test_windows_by_time_are_those_of_a_plain_list(azurite, monkeypatch, remembering, hinted):
    monkeypatch.setattr(feed_module, "BLOCK", 10)
    async with watched_stores(azurite.connection_string) as (stores, _):
        await written(stores, 57)
        if not hinted:
            await stores._tables.delete("work", "hint", "feed")
        ticks = [ticks_of(change.time) for change in await stores.changes.after(0, 100)]
        moments = [0, EVER, *(moment + step for moment in (ticks[0], *random.sample(ticks, 8)) for step in (-1, 0, 1))]
        moments += [
            moment + step for moment in (ticks[9], ticks[10], ticks[49], ticks[50], ticks[56]) for step in (0, 1)
        ]
        reader = FeedReader(stores._tables)
        for start in moments:
            reader = reader if remembering else FeedReader(stores._tables)
            end, skip, count = random.choice(moments), random.choice((0, 0, 1, 9, 10, 60)), random.randint(1, 60)
            expected = [number for number, at in enumerate(ticks, 1) if start <= at < end][skip : skip + count]
            found = await reader.between(start, end, skip, count)
            assert [change.number for change in found] == expected, (start, end, skip, count)


async def test_a_time_is_found_in_a_few_calls_when_it_was_found_before(azurite, monkeypatch):
    monkeypatch.setattr(feed_module, "BLOCK", 5)
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await written(stores, 103)
        recent = ticks_of((await stores.changes.after(97, 1))[0].time)
        await stores.changes.between(recent, EVER, 0, 10)
        transport.forget()
        assert len(await stores.changes.between(recent, EVER, 0, 10)) == 6
    # When the blocks begin is remembered: whether another one has begun, where the time is in its block, the window.
    assert len(transport.calls) <= 5, transport.calls


async def test_the_newest_event_is_found_and_asking_again_is_one_call(azurite, monkeypatch):
    monkeypatch.setattr(feed_module, "BLOCK", 10)
    async with watched_stores(azurite.connection_string) as (stores, transport):
        for size in (1, 8, 1, 1, 25):
            events = [event() for _ in range(size)]
            numbers = await stores.feed.append(events)
            for reader in (stores.changes, FeedReader(stores._tables)):
                newest = await reader.newest()
                assert newest is not None
                assert (newest.number, newest.event) == (numbers[-1], events[-1])
        await stores._tables.delete("work", "hint", "feed")
        without_hint = await FeedReader(stores._tables).newest()
        assert without_hint == newest
        transport.forget()
        assert await stores.changes.newest() == newest
        assert len(transport.calls) == 1


async def test_versions_are_found_however_many_others_lie_between(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        sops = [f"1.4.{number:04d}" for number in range(200)]
        for start in range(0, 200, 90):
            await store(stores, "1.2.7", sops[start : start + 90])
        await store(stores, "1.2.7", ["1.4.0050"], series="1.2.4")
        stored = {
            row.sop_instance_uid: row.version
            async for page in stores.instances.pages(DEFAULT, "1.2.7", "1.2.3")
            for row in page
        }
        for wanted in (["1.4.0000", "1.4.0199"], ["1.4.0007"], sops, ["1.4.0001", "1.4.0002", "1.4.9"], ["9", "8"], []):
            found = await stores.changes.versions(DEFAULT, "1.2.7", "1.2.3", wanted)
            assert found == {uid: stored[uid] for uid in wanted if uid in stored}


class _Meanwhile(Tables):
    """Tables in which something happens right after the n-th read."""

    def __init__(self, stores: Stores, reads: int, act: Callable[[], Awaitable[object]]) -> None:
        super().__init__(stores._client)
        self._left = reads
        self._act = act

    async def _read(self) -> None:
        self._left -= 1
        if self._left == 0:
            await self._act()

    async def get(self, *args, **more):
        row = await super().get(*args, **more)
        await self._read()
        return row

    async def pages(self, *args, **more) -> AsyncIterator[list[Entity]]:
        async for page in super().pages(*args, **more):
            await self._read()
            yield page


@pytest.mark.parametrize("place", ["beginning", "middle", "newest", "after the newest"])
async def test_what_is_appended_in_the_middle_of_a_look_makes_no_gap(azurite, monkeypatch, place):
    """After each of its reads in turn, and from every place in a block, a block fills up and the next one begins."""
    monkeypatch.setattr(feed_module, "BLOCK", 10)
    async with watched_stores(azurite.connection_string) as (stores, _):
        await written(stores, 9)

        async def append() -> None:
            await stores.feed.append([event() for _ in range(13)])

        for reads in (*range(1, 8), *range(1, 8)):
            ticks = [ticks_of(change.time) for change in await stores.changes.after(0, 1000)]
            starts = {"beginning": 0, "middle": ticks[-5], "newest": ticks[-1], "after the newest": ticks[-1] + 1}
            reader = FeedReader(_Meanwhile(stores, reads, append))
            numbers = [change.number for change in await reader.between(starts[place], EVER, 0, 1000)]
            everything = await stores.changes.after(0, 1000)
            matching = [change.number for change in everything if ticks_of(change.time) >= starts[place]]
            assert numbers == matching[: len(numbers)], reads
            assert len(numbers) >= sum(number <= len(ticks) for number in matching), reads


async def test_a_writer_that_dies_between_row_and_event_leaves_no_gap(azurite):
    async with workers(azurite.connection_string, 2) as ((dying, transport), (living, _)):
        await store(dying, "1.2.1", ["1.4.1", "1.4.2"])
        transport.fault = lambda request: "before" if describe(request) == "transaction feed" else None
        with pytest.raises(StoreUnavailable):
            await store(dying, "1.2.1", ["1.4.3"])
        assert (await living.instances.find(DEFAULT, "1.2.1", "1.2.3", "1.4.3")).length_bytes == 10
        await store(living, "1.2.1", ["1.4.4"])
        changes = await living.changes.after(0, 100)
    found = [(change.number, change.event.sop_instance_uid) for change in changes]
    assert found == [(1, "1.4.1"), (2, "1.4.2"), (3, "1.4.4")]


class _ByNumber:
    """A client that polls with the last sequence it has seen."""

    def __init__(self, reader: FeedReader) -> None:
        self.seen: list[Change] = []
        self._reader = reader

    async def poll(self) -> None:
        after = self.seen[-1].number if self.seen else 0
        self.seen += await self._reader.after(after, random.randint(1, 100))


class _ByTime(_ByNumber):
    """A client that polls with the last time it has seen, and leaves out the event it has seen at that time."""

    async def poll(self) -> None:
        start, skip = (ticks_of(self.seen[-1].time), 1) if self.seen else (0, 0)
        self.seen += await self._reader.between(start, EVER, skip, random.randint(1, 200))


async def _store_until(end: float, stores: Stores, name: int) -> tuple[list[str], int]:
    """Store until that time; the SOP instances that were acknowledged, in their order, and how many were not."""
    acknowledged: list[str] = []
    failed = 0
    for number in itertools.count():
        if time.monotonic() > end and number >= _LEAST_REQUESTS:
            return acknowledged, failed
        sops = [f"1.4.{name}.{number}.{place}" for place in range(1, random.randint(2, 5))]
        try:
            assert all(await store(stores, f"1.2.{name}.{number // 20}", sops))
            acknowledged += sops
        except StoreUnavailable:
            failed += len(sops)
    raise AssertionError("unreachable")


@pytest.mark.parametrize("seconds", [3, pytest.param(30, marks=pytest.mark.slow)])
async def test_sixteen_writers_and_four_readers_agree(azurite, seconds):
    """Every acknowledged instance once, in order, missed by no reader that polls with its own cursor."""
    async with workers(azurite.connection_string, 20) as opened:
        end = time.monotonic() + seconds
        writing = [asyncio.create_task(_store_until(end, stores, name)) for name, (stores, _) in enumerate(opened[:16])]
        clients = [
            kind(stores.changes) for kind, (stores, _) in zip((_ByNumber, _ByTime) * 2, opened[16:], strict=True)
        ]

        async def read(client: _ByNumber) -> None:
            while not all(one.done() for one in writing):
                await client.poll()
                await asyncio.sleep(0.01)
            last = -1
            while last != len(client.seen):
                last = len(client.seen)
                await client.poll()

        await asyncio.gather(*map(read, clients))
        outcomes = [await one for one in writing]
        newest = await opened[0][0].changes.newest()
    acknowledged = [sop for sops, _ in outcomes for sop in sops]
    assert acknowledged
    assert newest is not None
    for client in clients:
        assert [change.number for change in client.seen] == list(range(1, newest.number + 1))
        assert client.seen == clients[0].seen
        instances = [change.event.sop_instance_uid for change in client.seen]
        assert len(set(instances)) == len(instances)
        assert set(acknowledged) <= set(instances)
        assert len(instances) <= len(acknowledged) + sum(failed for _, failed in outcomes)
        times = [change.time for change in client.seen]
        assert times == sorted(set(times))
        places = {sop: place for place, sop in enumerate(instances)}
        for sops, _ in outcomes:
            assert [places[sop] for sop in sops] == sorted(places[sop] for sop in sops)
