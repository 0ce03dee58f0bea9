"""The walk over segments: order, pages, what it reads, and how it meets segments that come, go and change."""

from __future__ import annotations

import asyncio

import pytest

from shared.storage.conditions import any_modality, in_range, one_of
from shared.storage.filters import SegmentFilters
from shared.storage.hits import Criteria
from shared.storage.keys import inverted, modality_column
from shared.storage.segments import CoveringRow, SegmentLog
from shared.storage.walk import SegmentWalk
from tests.storage.made import DEFAULT, store
from tests.support.storage import watched_stores

pytestmark = pytest.mark.azurite

ROWS = 5


def order_of(number: int) -> str:
    return f"01{number:024d}"


def row_of(number: int, study: str | None = None) -> CoveringRow:
    uid = study or f"1.{number}"
    entity = {
        "order": order_of(number),
        "study": uid,
        "answer": b"",
        "index": "{}",
        "modalities": "CT",
        modality_column("CT"): True,
        "q_PatientID": f"p{number % 7}",
        "q_AccessionNumber": f"a{number}",
        "q_StudyDate": f"2024{1 + number // 28:02d}{1 + number % 28:02d}",
    }
    return CoveringRow(f"{inverted(order_of(number))}~{uid}", entity)


async def filled(stores, count: int) -> SegmentLog:
    """A log of studies 1.0, 1.1, … in segments of five."""
    log = SegmentLog(stores._tables, "log", 0, rows=ROWS)
    for number in range(count):
        await log.append([row_of(number)])
    return log


def walk_of(stores) -> SegmentWalk:
    return SegmentWalk(stores._tables, SegmentFilters(stores._tables), "log", 0)


async def page(walk: SegmentWalk, *conditions, offset: int = 0, limit: int = 1000) -> list[int]:
    return [int(row["study"].split(".")[1]) for row in await walk.page(conditions, offset, limit)]


async def test_rows_of_all_segments_come_newest_first(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await filled(stores, 43)
        assert await page(walk_of(stores)) == list(range(42, -1, -1))


async def test_an_empty_log_has_no_rows(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        assert await page(walk_of(stores)) == []
        assert await page(walk_of(stores), offset=500) == []


async def test_pages_put_together_are_the_whole(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await filled(stores, 33)
        walk = walk_of(stores)
        found: list[int] = []
        while part := await page(walk, offset=len(found), limit=4):
            found += part
        assert found == list(range(32, -1, -1))


async def test_far_pages_are_reached_by_keys_and_are_the_same(azurite, monkeypatch):
    monkeypatch.setattr("shared.storage.paging._SKIPPED_BY_KEYS", 3)
    async with watched_stores(azurite.connection_string) as (stores, _):
        await filled(stores, 43)
        walk = walk_of(stores)
        whole = list(range(42, -1, -1))
        for offset in (3, 4, 5, 12, 42, 43, 99):
            assert await page(walk, offset=offset, limit=6) == whole[offset : offset + 6]
        sevens = [number for number in whole if number % 7 == 2]
        assert await page(walk, one_of("PatientID", ["p2"]), offset=4, limit=9) == sevens[4:]


@pytest.mark.parametrize(
    ("conditions", "matches"),
    [
        ([one_of("PatientID", ["p3"])], lambda number: number % 7 == 3),
        ([one_of("PatientID", ["p3", "p4"])], lambda number: number % 7 in (3, 4)),
        ([in_range("StudyDate", "20240110", "20240203")], lambda number: 9 <= number <= 30),
        ([in_range("StudyDate", "", "20240105"), one_of("PatientID", ["p0"])], lambda number: number == 0),
        ([any_modality(["ct"])], lambda _: True),
        ([any_modality(["mr"])], lambda _: False),
        ([one_of("AccessionNumber", [f"a{number}" for number in range(0, 40, 2)])], lambda number: number % 2 == 0),
    ],
)
async def test_all_conditions_are_kept(azurite, conditions, matches):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await filled(stores, 40)
        expected = [number for number in range(39, -1, -1) if matches(number)]
        walk = walk_of(stores)
        assert await page(walk, *conditions) == expected
        assert await page(walk, *conditions, offset=1, limit=3) == expected[1:4]


async def test_a_warm_page_without_conditions_is_one_round_trip(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await filled(stores, 43)
        walk = walk_of(stores)
        await page(walk, limit=5)
        async with transport.holding():
            assert await page(walk, limit=5) == [42, 41, 40, 39, 38]
        assert transport.rounds == 1
        assert len(transport.calls) == 3  # two segments, and whether there is a newer one


async def test_a_cold_worker_reads_what_it_needs_and_not_the_store(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await filled(stores, 103)
        async with transport.holding():
            assert await page(walk_of(stores), one_of("AccessionNumber", ["a1"])) == [1]
        segments = [call for call in transport.calls if call.startswith("GET rows log")]
        assert transport.rounds <= 4
        # The open segment and the one with the match; a filter may be wrong once.
        assert len(segments) <= 3, transport.calls
        assert transport.calls.count("GET rows filters") == 1


async def test_a_value_that_is_nowhere_costs_the_same_in_a_longer_log(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        costs = []
        log = await filled(stores, 52)
        for upto in (52, 152):
            for number in range(52, upto):
                await log.append([row_of(number)])
            walk = walk_of(stores)
            await page(walk, limit=1)
            transport.forget()
            assert await page(walk, one_of("AccessionNumber", ["none"])) == []
            costs.append(len(transport.calls))
        assert costs[1] <= costs[0] + 1, costs


async def test_rows_of_segments_that_were_begun_since_are_found(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        log = await filled(stores, 3)
        walk = walk_of(stores)
        assert await page(walk) == [2, 1, 0]
        for number in range(3, 38):
            await log.append([row_of(number)])
        assert await page(walk) == list(range(37, -1, -1))
        async with transport.holding():
            assert await page(walk, limit=2) == [37, 36]
        assert transport.rounds == 1


async def test_a_lost_hint_costs_a_search_for_the_end_and_nothing_else(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await filled(stores, 38)
        await stores._tables.delete("work", "hint", "log~0")
        assert await page(walk_of(stores), limit=3) == [37, 36, 35]


async def test_of_two_rows_of_a_study_the_newer_one_counts(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        log = await filled(stores, 8)
        await log.append([row_of(8, study="1.2")])
        assert await page(walk_of(stores)) == [2, 7, 6, 5, 4, 3, 1, 0]


async def test_a_row_that_was_superseded_before_it_came_is_not_found(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        log = await filled(stores, 3)
        await log.remove(0, row_of(3).row)
        assert await page(walk_of(stores)) == [2, 1, 0]


async def test_a_removed_row_is_not_found_in_a_sealed_segment_either(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        log = await filled(stores, 12)
        await log.remove(0, row_of(3).row)
        assert await page(walk_of(stores)) == [11, 10, 9, 8, 7, 6, 5, 4, 2, 1, 0]
        assert await page(walk_of(stores), one_of("AccessionNumber", ["a3"])) == []


async def test_a_named_study_is_a_point_read(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await store(stores, "1.2.3", ["1.2.3.4"])
        transport.forget()
        hits = await stores.search.studies(DEFAULT, Criteria(study_uids=frozenset({"1.2.3"})))
        assert [hit.study_uid for hit in hits] == ["1.2.3"]
        assert [call.split("main")[0] for call in transport.calls] == ["GET row "]


async def test_named_studies_come_newest_first_and_unknown_ones_are_left_out(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        for uid in ("1.5", "1.3", "1.4"):
            await store(stores, uid, [f"{uid}.9"], name=uid)
        wanted = frozenset({"1.3", "1.4", "1.5", "1.6"})
        hits = await stores.search.studies(DEFAULT, Criteria(study_uids=wanted))
        assert [hit.study_uid for hit in hits] == ["1.4", "1.3", "1.5"]
        hits = await stores.search.studies(DEFAULT, Criteria(study_uids=wanted, offset=1, limit=1))
        assert [hit.study_uid for hit in hits] == ["1.3"]
        named = (one_of("PatientName", ["1.5"]),)
        hits = await stores.search.studies(DEFAULT, Criteria(study_uids=wanted, study=named))
        assert [hit.study_uid for hit in hits] == ["1.5"]


async def test_data_partitions_do_not_see_each_other(azurite):
    from shared.storage.partitions import DataPartition

    async with watched_stores(azurite.connection_string) as (stores, _):
        other = DataPartition(1, "other")
        await store(stores, "1.2", ["1.2.9"], partition=other)
        await store(stores, "1.3", ["1.3.9"])
        assert [hit.study_uid for hit in await stores.search.studies(DEFAULT, Criteria())] == ["1.3"]
        assert [hit.study_uid for hit in await stores.search.studies(other, Criteria())] == ["1.2"]
        uids = frozenset({"1.2.9"})
        found = [
            await stores.search.instances(
                partition, Criteria(sop_instance_uids=uids), with_study=False, with_metadata=False
            )
            for partition in (DEFAULT, other)
        ]
        assert [len(hits) for hits in found] == [0, 1]


async def test_instances_are_counted_without_the_rows_that_guard_them(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2", ["1.2.1", "1.2.2"], series="1.2.3")
        await store(stores, "1.2", ["1.2.5"], series="1.2.4")
        counts = await stores.search.count_instances(DEFAULT, [("1.2", ""), ("1.2", "1.2.3"), ("1.2", "1.2.4")])
        assert list(counts.values()) == [3, 2, 1]


async def test_a_study_that_is_rewritten_all_the_time_is_found_all_the_time(azurite):
    """Its new covering row is there before the old one goes."""
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.9", ["1.2.9.0"])

        async def rewrite() -> None:
            for number in range(1, 25):
                await store(stores, "1.2.9", [f"1.2.9.{number}"], name=f"Name{number}")

        rewriting = asyncio.create_task(rewrite())
        found: list[int] = []
        while not rewriting.done():
            found.append(len(await stores.search.studies(DEFAULT, Criteria())))
        await rewriting
    assert len(found) > 20
    assert set(found) == {1}
