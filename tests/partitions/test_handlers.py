"""The list of data partitions, and what happens when partitions are left out of use."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from shared.errors import InvalidRequest, PartitionsLeft
from shared.partitions.handlers import list_partitions
from shared.storage.partitions import DEFAULT_NAME
from shared.storage.stores import open_stores
from tests.support.calls import bytes_of, call
from tests.support.storage import fresh_settings, watched_stores

pytestmark = pytest.mark.azurite


async def listed(stores):
    reply = await list_partitions(call(), stores)
    assert (reply.status, reply.media_type) == (200, "application/json; charset=utf-8")
    return orjson.loads(await bytes_of(reply))


async def test_an_empty_store_has_the_default_partition_and_its_date_stays(azurite):
    before = datetime.now(UTC)
    async with watched_stores(azurite.connection_string, data_partitions=True) as (stores, _):
        # Two workers ask for the first list at once.
        first, other = await asyncio.gather(listed(stores), listed(stores))
        assert first == other == await listed(stores)
        assert [(one["partitionKey"], one["partitionName"]) for one in first] == [(1, DEFAULT_NAME)]
        assert first[0]["createdDate"].endswith("+00:00")
        assert before <= datetime.fromisoformat(first[0]["createdDate"]) <= datetime.now(UTC)


async def test_partitions_are_listed_as_they_came_and_none_twice(azurite):
    names = [f"clinic.{number}_A-b" for number in range(6)]
    async with watched_stores(azurite.connection_string, data_partitions=True) as (stores, _):
        made = await asyncio.gather(*(stores.partition_or_new(name) for name in names * 4))
        numbers = {one.name: one.number for one in made}
        assert sorted(numbers.values()) == list(range(1, 7))
        assert all(one.number == numbers[one.name] for one in made)
        found = await listed(stores)
        assert [one["partitionKey"] for one in found] == list(range(1, 8))
        assert {one["partitionName"]: one["partitionKey"] - 1 for one in found} == {DEFAULT_NAME: 0, **numbers}


async def test_without_data_partitions_there_is_no_list(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        with pytest.raises(InvalidRequest, match="not in use"):
            await list_partitions(call(), stores)
        assert transport.calls == []


async def test_a_service_that_left_its_partitions_says_so_and_shows_nothing(azurite):
    settings = fresh_settings(azurite.connection_string)
    before, after = (open_stores(settings) for _ in range(2))
    using = open_stores(replace(settings, data_partitions=True))
    try:
        # Nothing but the default partition: it can be left, and taken up again.
        await before.partition(DEFAULT_NAME)
        await using.partition_or_new("clinic")
        for ask in (after.partition, after.partition_or_new):
            with pytest.raises(PartitionsLeft, match="DICOM_DATA_PARTITIONS"):
                await ask(DEFAULT_NAME)
        with pytest.raises(PartitionsLeft):
            await after.check()
        await using.check()
    finally:
        for stores in (before, after, using):
            await stores.close()


async def test_the_look_for_partitions_is_made_once_by_a_worker(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await stores.partition(DEFAULT_NAME)
        first = len(transport.calls)
        await stores.partition(DEFAULT_NAME)
        await stores.partition_or_new(DEFAULT_NAME)
        assert len(transport.calls) == first == 1
