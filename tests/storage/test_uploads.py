"""Uploads keep memory bounded and leave nothing behind that has no row."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import MalformedBody
from shared.storage import uploads as uploads_module
from shared.storage.uploads import BLOCK_BYTES
from tests.storage.made import blob_names, store
from tests.support.storage import describe, watched_stores

pytestmark = pytest.mark.azurite

BIG = bytes(range(256)) * (40 * 1024)  # 10 MiB


async def test_a_large_instance_goes_in_blocks_and_comes_back_whole(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await store(stores, "1.2.8", ["1.2.8.1"])
        async with stores.uploads.request(0) as request:
            upload = request.begin()
            for start in range(0, len(BIG), 100_000):
                await upload.write(BIG[start : start + 100_000])
            await (await request.finish(upload, "1.2.9", "1.2.3", "1.2.9.1"))
            request.keep(upload.name)
        assert transport.calls.count("PUT blob block") == -(-len(BIG) // BLOCK_BYTES)
        async with stores._blobs.open(upload.name) as opened:
            assert b"".join([chunk async for chunk in opened.chunks]) == BIG


async def test_a_large_instance_that_is_discarded_never_becomes_a_blob(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        async with stores.uploads.request(0) as request:
            upload = request.begin()
            await upload.write(BIG)
            await upload.discard()
        assert await blob_names(stores) == []


async def test_blobs_of_a_request_that_fails_are_deleted(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):

        async def cut_off() -> None:
            async with stores.uploads.request(0) as request:
                upload = request.begin()
                await upload.write(b"content")
                await (await request.finish(upload, "1.2.9", "1.2.3", "1.2.9.1"))
                assert await blob_names(stores) == [upload.name]
                raise MalformedBody("cut")

        with pytest.raises(MalformedBody):
            await cut_off()
        assert await blob_names(stores) == []


async def test_no_more_than_the_budget_is_on_its_way(azurite, monkeypatch):
    monkeypatch.setattr(uploads_module, "PENDING_CALLS", 3)
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await store(stores, "1.2.8", ["1.2.8.1"])
        flying = most = 0
        send = transport.send

        async def counted(request, **options):
            nonlocal flying, most
            is_put = describe(request) == "PUT blob"
            flying += is_put
            most = max(most, flying)
            try:
                return await send(request, **options)
            finally:
                flying -= is_put

        monkeypatch.setattr(transport, "send", counted)
        async with stores.uploads.request(0) as request:
            tasks = []
            for _ in range(12):
                upload = request.begin()
                await upload.write(b"content")
                tasks.append(await request.finish(upload, "1.2.9", "1.2.3", "1.2.9.1"))
            await asyncio.gather(*tasks)
        assert most == 3
