"""The writer's row says which of its epochs are not through, and nobody commits without a heartbeat."""

from __future__ import annotations

import asyncio
import time

import pytest

from shared.errors import StoreUnavailable
from shared.storage import writer as writer_module
from tests.storage.made import DEFAULT, rows, store
from tests.support.storage import describe, watched_stores

pytestmark = pytest.mark.azurite


async def row_of(stores):
    (row,) = [row for row in await rows(stores, "work") if row["PartitionKey"] == "writer"]
    return row


async def test_the_row_is_there_before_the_first_commit(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await store(stores, "1.2.9", ["1.2.9.1"])
        row = await row_of(stores)
    calls = transport.calls
    assert calls.index("PUT row work") < next(n for n, call in enumerate(calls) if call.startswith("transaction main"))
    assert (row["RowKey"], row["openEpoch"]) == (stores.writer.writer_id, 1)


async def test_an_epoch_stays_open_while_one_of_its_requests_is_under_way(azurite, monkeypatch):
    monkeypatch.setattr(writer_module, "EPOCH_REQUESTS", 1)
    async with watched_stores(azurite.connection_string) as (stores, _):
        async with stores.writer.request() as first:
            async with stores.writer.request() as second:
                assert second == first + 1
            async with stores.writer.request() as third:
                assert third == second + 1
                await stores.writer._beat()
                assert (await row_of(stores))["openEpoch"] == first
        await stores.writer._beat()
        row = await row_of(stores)
        assert row["openEpoch"] == row["newestEpoch"] > third


async def test_the_feed_number_is_from_before_the_open_epoch_s_first_event(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.8", ["1.2.8.1", "1.2.8.2"])
        await stores.writer._beat()
        async with stores.writer.request():
            await store(stores, "1.2.9", ["1.2.9.1"])
            await stores.writer._beat()
            assert (await row_of(stores))["feedNumber"] == 2
            assert await stores.feed.last_number() == 3


async def test_without_a_heartbeat_nothing_is_committed(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await store(stores, "1.2.8", ["1.2.8.1"])
        stores.writer._beat_at = time.monotonic() - writer_module.STALE_SECONDS * 2
        transport.fault = lambda request: "before" if describe(request) == "PUT row work" else None
        with pytest.raises(StoreUnavailable):
            await store(stores, "1.2.9", ["1.2.9.1"])
        assert [page async for page in stores.instances.pages(DEFAULT, "1.2.9")] == []
        transport.fault = lambda _: None


async def test_closing_says_that_everything_is_through(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.9", ["1.2.9.1"])
        await stores.writer.close()
        row = await row_of(stores)
        assert row["openEpoch"] == row["newestEpoch"] == 2
        await asyncio.sleep(0)
