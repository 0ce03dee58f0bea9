"""Instances on their way out, without HTTP: order, bounded fetching ahead, and nothing left when the client goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from azure.storage.blob.aio import ContainerClient

from shared.errors import NotAcceptable, NotFound
from shared.storage.client import BLOB_VERSION
from shared.storage.frames import StoredFrames
from shared.storage.instances import StoredInstance
from shared.storage.stores import Stores, open_stores
from shared.stow.handlers import store_instances
from shared.wado.handlers import retrieve_instance, retrieve_study
from shared.wado.instances import as_parts, as_single
from shared.wado.pictures import MAX_CONVERTED_BYTES
from shared.wire.media import Choice
from tests.support.calls import AS_STORED, bytes_of, call, multipart
from tests.support.clients import Made, made, naive_parts, new_uid, uids_of
from tests.support.storage import fresh_settings, watched_stores

pytestmark = pytest.mark.azurite

EXPLICIT = "1.2.840.10008.1.2.1"
SINGLE = Choice("application/dicom", multipart=False, transfer_syntax="*")


async def study_of(stores: Stores, sizes: list[int]) -> list[Made]:
    """A study of instances with so many bytes of pixels; their UIDs ascend."""
    study, series = new_uid(), new_uid()
    instances = [
        made(study_uid=study, series_uid=series, sop_instance_uid=f"{series}.{1000 + number}", pixel_bytes=size)
        for number, size in enumerate(sizes)
    ]
    body, headers = multipart([one.content for one in instances])
    assert (await store_instances(call(body, headers=headers), stores)).status == 200
    return instances


async def listed(stores: Stores, study_uid: str) -> list[StoredInstance]:
    pages = stores.instances.pages(await stores.partition("Microsoft.Default"), study_uid)
    found = [instance async for page in pages for instance in page]
    assert found
    return found


class Counted:
    """Instances that are handed out one by one and counted."""

    def __init__(self, instances: list[StoredInstance]) -> None:
        self._instances = iter(instances)
        self.taken = 0

    def __aiter__(self) -> AsyncIterator[StoredInstance]:
        return self

    async def __anext__(self) -> StoredInstance:
        self.taken += 1
        try:
            return next(self._instances)
        except StopIteration:
            raise StopAsyncIteration from None


async def test_parts_keep_their_order_whatever_their_size(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        instances = await study_of(stores, [500, 2_000_000, 400, 300, 3_000_000, *[100] * 20, 1_500_000])
        found = await listed(stores, instances[0].study_uid)
        body = b"".join([chunk async for chunk in as_parts(stores.instances, Counted(found), "b")])
        by_name = {one.sop_instance_uid: one.content for one in instances}
        assert [part.content for part in naive_parts(body)] == [by_name[one.sop_instance_uid] for one in found]


async def test_only_a_few_are_fetched_before_the_client_takes_them(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        instances = await study_of(stores, [500] * 40)
        found = Counted(await listed(stores, instances[0].study_uid))
        transport.forget()
        parts = as_parts(stores.instances, found, "b")
        got = b"".join([await anext(parts) for _ in range(4)])
        await asyncio.sleep(0.2)
        begun = got.count(b"--b\r\n")
        assert 0 < begun <= found.taken <= begun + 8
        assert len(transport.calls) <= begun + 8
        await parts.aclose()


async def test_a_large_instance_is_not_fetched_ahead(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        instances = await study_of(stores, [500, 2_000_000, 2_000_000, 2_000_000])
        found = await listed(stores, instances[0].study_uid)
        transport.forget()
        parts = as_parts(stores.instances, Counted(found), "b")
        await anext(parts)
        await asyncio.sleep(0.2)
        assert len(transport.calls) <= 1
        await parts.aclose()


async def test_a_client_that_goes_leaves_no_task_and_no_connection(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        instances = await study_of(stores, [2_000_000, *[500] * 30, 2_000_000])
        study = instances[0].study_uid
        await bytes_of(await retrieve_study(call(choice=AS_STORED, study_uid=study), stores))
        before = asyncio.all_tasks()
        for taken in (0, 1, 2, 3, 12):
            reply = await retrieve_study(call(choice=AS_STORED, study_uid=study), stores)
            assert not isinstance(reply.body, bytes)
            for _ in range(taken):
                await anext(reply.body)
            await reply.body.aclose()  # type: ignore[attr-defined]  # what handlers stream can be closed
        assert transport._session is not None
        connector = transport._session.connector
        assert connector is not None
        for _ in range(100):
            if not connector._acquired:
                break
            await asyncio.sleep(0.02)
        assert not connector._acquired
        assert asyncio.all_tasks() <= before


async def test_an_instance_whose_bytes_are_gone_is_not_found(azurite):
    settings = fresh_settings(azurite.connection_string)
    stores = open_stores(settings)
    container = ContainerClient.from_connection_string(
        settings.storage_connection, settings.container, api_version=BLOB_VERSION
    )
    async with container:
        (instance,) = await study_of(stores, [500])
        async for blob in container.list_blobs():
            await container.delete_blob(blob.name)
        for choice in (SINGLE, AS_STORED):
            reply = await retrieve_instance(call(choice=choice, **uids_of(instance)), stores)
            with pytest.raises(NotFound):
                await bytes_of(reply)
    await stores.close()


def instance_of(syntax: str, length_bytes: int) -> StoredInstance:
    return StoredInstance("1.2", "1.3", "0/w/1/x", 0, length_bytes, syntax, 1)


async def not_asked(_: StoredInstance) -> StoredFrames:
    raise AssertionError("frames were asked for")


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50"]
)
async def test_an_instance_that_is_too_long_is_given_as_it_is_only(azurite, syntax):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        long = instance_of(syntax, MAX_CONVERTED_BYTES + 1)
        with pytest.raises(NotAcceptable, match=r"transfer-syntax=\*"):
            as_single(stores, long, EXPLICIT, not_asked)
        assert as_single(stores, long, "*", not_asked).length_bytes == MAX_CONVERTED_BYTES + 1
        assert as_single(stores, instance_of(syntax, MAX_CONVERTED_BYTES), EXPLICIT, not_asked).length_bytes is None
        assert transport.calls == []


async def test_what_is_stored_as_asked_is_not_looked_into(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        (instance,) = await study_of(stores, [500])
        (found,) = await listed(stores, instance.study_uid)
        transport.forget()
        single = as_single(stores, found, EXPLICIT, not_asked)
        assert b"".join([chunk async for chunk in single.chunks]) == instance.content
        assert transport.calls == ["GET blob"]
