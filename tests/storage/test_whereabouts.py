"""Instances by their UIDs alone: found in a feed of any length, by reading the blocks that may hold them alone."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from shared.storage import filters
from shared.storage.feed import BLOCK, Action, Event
from shared.storage.filters import SegmentFilters
from shared.storage.whereabouts import Whereabouts, filter_of
from tests.storage.made import DEFAULT
from tests.support.storage import watched_stores

pytestmark = pytest.mark.azurite

BLOCKS = 3


def uid(number: int) -> str:
    return f"1.2.840.99.{number}"


async def append(stores, numbers: Iterable[int], partition: str = DEFAULT.name) -> None:
    await stores.feed.append(
        [Event(f"e{partition}{n}", Action.CREATE, partition, f"1.1.{n}", "1.3", uid(n), n) for n in numbers]
    )


def place(number: int) -> tuple[str, str, str]:
    return f"1.1.{number}", "1.3", uid(number)


async def filtered(stores) -> list[int]:
    known = SegmentFilters(stores._tables)
    return [block for block in range(BLOCKS + 1) if await known.stored("feed", 0, block) is not None]


async def test_every_instance_is_found_and_full_blocks_get_their_filters(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await append(stores, range(BLOCKS * BLOCK + 5))
        for asked in (0, BLOCK - 1, BLOCK, BLOCKS * BLOCK - 1, BLOCKS * BLOCK + 4):
            assert await Whereabouts(stores._tables).places(DEFAULT.name, [uid(asked)]) == {place(asked)}
        assert await filtered(stores) == list(range(BLOCKS))
        cold = Whereabouts(stores._tables)
        transport.forget()
        assert await cold.places(DEFAULT.name, [uid(7)]) == {place(7)}
        # The hint, the newest block, whether there is a newer one, the filters, and the one block that has it.
        assert sorted(transport.calls) == [
            "GET row feed", "GET row work", "GET rows feed", "GET rows feed", "GET rows filters",
        ]  # fmt: skip
        transport.forget()
        assert await cold.places(DEFAULT.name, [uid(-1)]) == set()
        assert sorted(transport.calls) == ["GET row feed", "GET rows feed"]
        report = await stores.fsck()
    assert [line for line in report.broken if "filter" in line] == []
    assert report.counts["filters"] == BLOCKS


async def test_a_worker_that_has_searched_before_finds_what_is_stored_since(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        asking = Whereabouts(stores._tables)
        assert await asking.places(DEFAULT.name, [uid(0)]) == set()
        for first in range(0, 2 * BLOCK + 700, 900):
            await append(stores, range(first, first + 900))
            numbers = [0, first, first + 450, first + 899]
            assert await asking.places(DEFAULT.name, map(uid, numbers)) == set(map(place, numbers))
        assert await filtered(stores) == [0, 1]


async def test_more_uids_than_one_query_takes_are_all_found_in_their_own_data_partition(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await append(stores, range(30))
        await append(stores, range(20, 40), "other")
        asking = Whereabouts(stores._tables)
        assert await asking.places(DEFAULT.name, map(uid, range(40))) == set(map(place, range(30)))
        assert await asking.places("other", map(uid, range(40))) == set(map(place, range(20, 40)))


async def test_a_filter_that_cannot_be_written_hides_nothing_and_is_written_later(azurite, monkeypatch):
    monkeypatch.setattr(filters, "_FRESH_SECONDS", 0.0)
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await append(stores, range(BLOCK + 1))
        asking = Whereabouts(stores._tables)
        transport.fault = lambda request: "before" if request.method == "PUT" and "/filters" in request.url else None
        assert await asking.places(DEFAULT.name, [uid(3)]) == {place(3)}
        assert await filtered(stores) == []
        transport.fault = lambda _: None
        assert await asking.places(DEFAULT.name, [uid(4)]) == {place(4)}
        assert await filtered(stores) == [0]


async def test_a_check_sees_a_filter_that_hides_an_event_and_one_that_is_too_early(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await append(stores, range(3))
        await SegmentFilters(stores._tables).write(
            "feed", 0, 0, filter_of([{"instance": uid(0)}, {"instance": uid(1)}])
        )
        lines = [line for line in (await stores.fsck()).broken if "filter" in line]
    assert len(lines) == 2
    assert "hides event 0000000000000000003" in lines[0]
    assert "not full" in lines[1]


def test_nearly_no_full_block_is_read_for_nothing():
    known = filter_of([{"instance": uid(number)} for number in range(BLOCK)])
    chance = random.Random(5)
    wrong = sum(not known.hides({"q_SOPInstanceUID": f"2.25.{chance.getrandbits(90)}"}) for _ in range(5000))
    assert wrong < 25
    assert len(known.bits) == 2 * BLOCK
