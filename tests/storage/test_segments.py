"""Segments take rows until they are sealed, and never again."""

from __future__ import annotations

import asyncio

import pytest

from shared.storage.keys import segment_partition, segment_table
from shared.storage.segments import CoveringRow, SegmentLog
from tests.storage.made import rows
from tests.support.storage import watched_stores

pytestmark = pytest.mark.azurite


def covering(number: int) -> CoveringRow:
    return CoveringRow(f"row{number:05d}", {"number": number})


async def members(stores, segment: int) -> list[str]:
    where = segment_partition(0, segment)
    found = await rows(stores, segment_table("log", segment))
    return [str(row["RowKey"]) for row in found if row["PartitionKey"] == where and "number" in row]


async def test_a_full_segment_is_sealed_and_the_next_one_begun(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        log = SegmentLog(stores._tables, "log", 0, rows=10)
        segments = [(await log.append([covering(number)]))[0] for number in range(25)]
        assert segments == [0] * 10 + [1] * 10 + [2] * 5
        assert await SegmentLog(stores._tables, "log", 0).current() == 2


async def test_a_sealed_segment_never_gains_a_row(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        logs = [SegmentLog(stores._tables, "log", 0, rows=10_000) for _ in range(4)]
        await logs[0].append([covering(0)])

        async def write(log: SegmentLog, first: int) -> list[int]:
            return [(await log.append([covering(number)]))[0] for number in range(first, first + 12)]

        async def seal() -> list[str]:
            await asyncio.sleep(0.02)
            await logs[0].seal(0)
            return await members(stores, 0)

        *written, at_seal = await asyncio.gather(*(write(log, 1 + 12 * n) for n, log in enumerate(logs)), seal())
        assert await members(stores, 0) == at_seal
        total = len(await members(stores, 0)) + len(await members(stores, 1))
    assert total == 1 + sum(len(part) for part in written if isinstance(part, list))


async def test_appending_a_row_again_leaves_it_as_it_is(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        log = SegmentLog(stores._tables, "log", 0)
        await log.append([covering(1), covering(2)])
        assert await log.append([covering(2), covering(3), covering(1)]) == [0, 0, 0]
        assert len(await members(stores, 0)) == 3


async def test_a_row_that_is_removed_before_it_comes_does_not_appear(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        log = SegmentLog(stores._tables, "log", 0)
        await log.append([covering(1)])
        await log.remove(0, covering(2).row)
        await log.append([covering(2)])
        assert await members(stores, 0) == [covering(1).row]


async def test_a_segment_whose_sealer_died_is_followed_all_the_same(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        log = SegmentLog(stores._tables, "log", 0)
        await log.append([covering(1)])
        await stores._tables.delete(segment_table("log", 0), segment_partition(0, 0), "~H")
        assert await SegmentLog(stores._tables, "log", 0).append([covering(2)]) == [1]
