"""Instances become visible whole, once, and together with what search and feed need."""

from __future__ import annotations

import asyncio

import pytest

from shared.storage.keys import main_table
from shared.storage.rows import covering_row_key
from tests.storage.made import DEFAULT, blob_names, covering_rows, rows, store
from tests.support.storage import describe, watched_stores

pytestmark = pytest.mark.azurite


async def test_a_stored_instance_has_row_covering_rows_and_event(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        assert await store(stores, "1.2.9", ["1.2.9.1"]) == [True]
        found = await stores.instances.find(DEFAULT, "1.2.9", "1.2.3", "1.2.9.1")
        (study,) = await covering_rows(stores, "log")
        (series,) = await covering_rows(stores, "ser")
        (event,) = await rows(stores, "feed")
    assert found.length_bytes == 10
    assert (study["study"], study["q_PatientName"], study["modalities"]) == ("1.2.9", "a", "CT")
    assert (series["study"], series["series"], series["q_Modality"]) == ("1.2.9", "1.2.3", "ct")
    assert (event["RowKey"], event["action"], event["instance"]) == ("0000000000000000001", "Create", "1.2.9.1")


async def test_the_second_store_of_an_instance_is_told_apart_and_leaves_nothing(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.9", ["1.2.9.1"])
        assert await store(stores, "1.2.9", ["1.2.9.1", "1.2.9.2"]) == [False, True]
        assert len(await rows(stores, "feed")) == 2
        assert len(await blob_names(stores)) == 2


async def test_many_duplicates_in_one_commit_are_found_together(azurite):
    sops = [f"1.2.9.{number}" for number in range(60)]
    async with watched_stores(azurite.connection_string) as (stores, _):
        assert all(await store(stores, "1.2.9", sops))
        assert await store(stores, "1.2.9", [*sops, "1.2.9.99"]) == [False] * 60 + [True]


async def test_of_sixteen_concurrent_stores_of_an_instance_exactly_one_wins(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        outcomes = await asyncio.gather(*(store(stores, "1.2.9", ["1.2.9.1"]) for _ in range(16)))
        assert sum(won for (won,) in outcomes) == 1
        assert len(await blob_names(stores)) == 1
        assert len(await rows(stores, "feed")) == 1
        assert len(await covering_rows(stores, "log")) == 1


async def test_concurrent_stores_into_a_new_study_all_arrive(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        outcomes = await asyncio.gather(
            *(store(stores, "1.2.9", [f"1.2.9.{n}"], series=f"1.2.3.{n % 3}", modality="CT") for n in range(24))
        )
        assert outcomes == [[True]] * 24
        pages = [page async for page in stores.instances.pages(DEFAULT, "1.2.9")]
        assert sum(map(len, pages)) == 24
        assert len(await covering_rows(stores, "log")) == 1
        assert len(await covering_rows(stores, "ser")) == 3
        numbers = [int(str(row["RowKey"])) for row in await rows(stores, "feed")]
        assert numbers == list(range(1, 25))


async def test_a_changed_study_attribute_replaces_the_covering_row(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.9", ["1.2.9.1"], name="Before")
        await store(stores, "1.2.9", ["1.2.9.2"], name="After")
        (covering,) = await covering_rows(stores, "log")
        study = next(row for row in await rows(stores, main_table("1.2.9")) if row["RowKey"] == "!")
    assert covering["q_PatientName"] == "after"
    assert covering["RowKey"] == covering_row_key(str(study["order"]), "1.2.9")


async def test_a_new_modality_is_added_to_the_study(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.9", ["1.2.9.1"], series="1.2.3.1", modality="CT")
        await store(stores, "1.2.9", ["1.2.9.2"], series="1.2.3.2", modality="SR")
        (covering,) = await covering_rows(stores, "log")
    assert covering["modalities"] == "CT\\SR"


async def test_the_version_of_study_and_series_changes_with_every_store(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        versions = []
        for number in range(3):
            await store(stores, "1.2.9", [f"1.2.9.{number}"])
            versions.append(await stores.instances.series_version(DEFAULT, "1.2.9", "1.2.3"))
            assert await stores.instances.study_version(DEFAULT, "1.2.9") == versions[-1]
    assert versions == sorted(set(versions))
    assert versions[-1] < 2**63


@pytest.mark.parametrize("lost", ["before", "after"])
@pytest.mark.parametrize("target", ["transaction main", "transaction feed", "transaction log", "transaction ser"])
async def test_a_lost_answer_neither_doubles_nor_loses_anything(azurite, target, lost):
    """Each kind of write is cut off once, before it is sent or before its answer arrives."""
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await store(stores, "1.2.8", ["1.2.8.1"])
        cuts = [lost]
        transport.fault = lambda request: cuts.pop() if cuts and describe(request).startswith(target) else None
        assert await store(stores, "1.2.9", ["1.2.9.1", "1.2.9.2"]) == [True, True]
        assert not cuts
        assert len(await rows(stores, "feed")) == 3
        assert len(await covering_rows(stores, "log")) == 2
        assert len(await covering_rows(stores, "ser")) == 2
        assert len(await blob_names(stores)) == 3


async def test_data_partitions_do_not_see_each_other(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        one, two = await stores.partition_or_new("one"), await stores.partition_or_new("two")
        assert (one.number, two.number) == (1, 2)
        assert await store(stores, "1.2.9", ["1.2.9.1"], partition=one) == [True]
        assert await store(stores, "1.2.9", ["1.2.9.1"], partition=two) == [True]
        assert [page async for page in stores.instances.pages(DEFAULT, "1.2.9")] == []
        assert len([page async for page in stores.instances.pages(one, "1.2.9")]) == 1
        names = {str(row["partition"]) for row in await rows(stores, "feed")}
    assert names == {"one", "two"}


async def test_metadata_comes_back_as_it_was_stored(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.9", ["1.2.9.1", "1.2.9.2"], series="1.2.3.1")
        await store(stores, "1.2.9", ["1.2.9.3"], series="1.2.3.2")
        every = [text async for page in stores.instances.metadata_pages(DEFAULT, "1.2.9") for text in page]
        one = await stores.instances.metadata(DEFAULT, "1.2.9", "1.2.3.2", "1.2.9.3")
    assert len(every) == 3
    assert one.json in every


async def test_writers_that_keep_changing_the_same_study_all_get_through(azurite):
    """Each store says another name, so each has to replace the covering row of the one before."""
    async with watched_stores(azurite.connection_string) as (stores, _):
        outcomes = await asyncio.gather(
            *(store(stores, "1.2.9", [f"1.2.9.{n}"], name=f"Name{n}", modality="CT") for n in range(16))
        )
        assert outcomes == [[True]] * 16
        (covering,) = await covering_rows(stores, "log")
        study = next(row for row in await rows(stores, main_table("1.2.9")) if row["RowKey"] == "!")
    assert covering["q_PatientName"] == study["q_PatientName"]
    assert covering["RowKey"] == covering_row_key(str(study["order"]), "1.2.9")
