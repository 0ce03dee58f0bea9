"""Frames on their way out, without HTTP: what is read for them, how far ahead, and what is left when a client goes."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator

import pytest

from shared.errors import NotAcceptable, NotFound
from shared.storage.stores import Stores
from shared.stow.handlers import store_instances
from shared.wado import pictures
from shared.wado.conversion import UNCOUNTED_BYTES
from shared.wado.handlers import retrieve_frames, retrieve_instance, retrieve_rendered_frame
from shared.wado.pixelwork import WORK
from shared.wire.call import Reply
from shared.wire.media import Choice
from tests.support.calls import bytes_of, call, multipart
from tests.support.clients import Made, made, naive_parts, uids_of
from tests.support.images import decompressed, frames_of, shipped
from tests.support.storage import WatchedTransport, watched_stores

pytestmark = pytest.mark.azurite

OCTETS = "application/octet-stream"
PARTS_AS_STORED = Choice(OCTETS, multipart=True, transfer_syntax="*")
PART_AS_STORED = Choice(OCTETS, multipart=False, transfer_syntax="*")
NATIVE_PARTS = Choice(OCTETS, multipart=True, transfer_syntax="1.2.840.10008.1.2.1")
NATIVE_PART = Choice(OCTETS, multipart=False, transfer_syntax="1.2.840.10008.1.2.1")
PNG = Choice("image/png")


@pytest.fixture(autouse=True)
def nothing_is_held() -> Iterator[None]:
    """Whatever a test does, the whole budget is free before it and after it."""
    assert WORK._free_bytes == WORK._budget_bytes
    yield
    assert WORK._free_bytes == WORK._budget_bytes
    assert not WORK._waiting


async def kept(stores: Stores, instance: Made) -> Made:
    body, headers = multipart([instance.content])
    assert (await store_instances(call(body, headers=headers), stores)).status in (200, 202)
    return instance


async def ask(stores: Stores, instance: Made, choice: Choice, *frames: int) -> Reply:
    return await retrieve_frames(call(choice=choice, frames=frames, **uids_of(instance)), stores)


async def contents(reply: Reply) -> list[bytes]:
    return [part.content for part in naive_parts(await bytes_of(reply))]


async def freed() -> None:
    async with asyncio.timeout(5):
        while WORK._free_bytes != WORK._budget_bytes:  # noqa: ASYNC110  the budget tells nobody that it is whole again
            await asyncio.sleep(0.005)


async def unused(transport: WatchedTransport) -> None:
    """Wait until no connection to storage is in use."""
    assert transport._session is not None
    connector = transport._session.connector
    assert connector is not None
    async with asyncio.timeout(5):
        while connector._acquired:  # noqa: ASYNC110  connectors tell nobody either
            await asyncio.sleep(0.01)


async def test_a_stored_frame_is_its_row_and_its_range(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        instance = await kept(stores, shipped("emri_small_jpeg_2k_lossless.dcm"))
        await ask(stores, instance, PART_AS_STORED, 1)
        transport.forget()
        reply = await ask(stores, instance, PART_AS_STORED, 7)
        assert await bytes_of(reply) == frames_of(instance.content)[6]
        assert [name.split()[:2] for name in transport.calls] == [["GET", "row"], ["GET", "blob"]]


async def test_what_frames_are_is_read_once(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        instance = await kept(stores, shipped("emri_small_jpeg_2k_lossless.dcm"))
        frames = decompressed(instance.content)
        assert await bytes_of(await ask(stores, instance, NATIVE_PART, 1)) == frames[0]
        transport.forget()
        assert await bytes_of(await ask(stores, instance, NATIVE_PART, 2)) == frames[1]
        assert [name.split()[:2] for name in transport.calls] == [["GET", "row"], ["GET", "blob"]]


async def test_descriptions_of_the_oldest_instances_are_forgotten(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        known = pictures.Pictures(limit=2)
        partition = await stores.partition("Microsoft.Default")
        for _ in range(4):
            instance = await kept(stores, shipped("MR_small_RLE.dcm"))
            stored = await stores.frames.find(partition, *uids_of(instance).values())
            assert (await known.open(stores.frames, stored)).header
            assert not (await known.open(stores.frames, stored)).header
            assert len(known._known) <= 2


async def test_only_a_few_frames_are_fetched_before_the_client_takes_them(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        instance = await kept(stores, made(frames=40, columns=16))
        await ask(stores, instance, PART_AS_STORED, 1)
        transport.forget()
        reply = await ask(stores, instance, PARTS_AS_STORED, *range(1, 41))
        assert not isinstance(reply.body, bytes)
        got = b"".join([await anext(reply.body) for _ in range(5)])
        await asyncio.sleep(0.2)
        begun = got.count(b"Content-Type")
        assert begun == 5
        assert sum(name.startswith("GET blob") for name in transport.calls) <= begun + 8
        rest = await bytes_of(reply)
        assert [part.content for part in naive_parts(got + rest)] == frames_of(instance.content)


async def test_large_frames_are_not_fetched_ahead(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        instance = await kept(stores, made(frames=3, columns=800))
        assert len(frames_of(instance.content)[0]) > 1024 * 1024
        transport.forget()
        reply = await ask(stores, instance, PARTS_AS_STORED, 2, 1, 3, 1)
        assert not isinstance(reply.body, bytes)
        first = await anext(reply.body)
        await asyncio.sleep(0.2)
        assert sum(name.startswith("GET blob") for name in transport.calls) == 1
        frames = frames_of(instance.content)
        parts = naive_parts(first + await bytes_of(reply))
        assert [part.content for part in parts] == [frames[1], frames[0], frames[2], frames[0]]


async def test_a_large_native_frame_alone_says_its_length(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        instance = await kept(stores, made(frames=2, columns=800))
        for choice in (PART_AS_STORED, NATIVE_PART):
            reply = await ask(stores, instance, choice, 2)
            content = await bytes_of(reply)
            assert content == frames_of(instance.content)[1]
            assert dict(reply.headers) == {"Content-Length": str(len(content))}


async def test_a_large_converted_frame_keeps_its_share_until_it_is_sent(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        instance = await kept(stores, made(columns=1000, transfer_syntax="1.2.840.10008.1.2.2"))
        reply = await ask(stores, instance, NATIVE_PART, 1)
        assert not isinstance(reply.body, bytes)
        assert WORK._budget_bytes - WORK._free_bytes == 1000 * 1000 * 2 > UNCOUNTED_BYTES
        content = await bytes_of(reply)
        assert len(content) == 2_000_000
        assert dict(reply.headers) == {"Content-Length": "2000000"}
        await freed()


@pytest.mark.parametrize("choice", [PARTS_AS_STORED, NATIVE_PARTS], ids=["as stored", "native"])
@pytest.mark.parametrize("columns", [16, 800])
async def test_a_client_that_goes_leaves_no_task_no_connection_and_no_share(azurite, choice, columns):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        instance = await kept(stores, made(frames=12, columns=columns, transfer_syntax="1.2.840.10008.1.2.2"))
        await bytes_of(await ask(stores, instance, choice, 1))
        gc.collect()  # what earlier tests left is closed by tasks of the collector's
        before = asyncio.all_tasks()
        for taken in (1, 2, 3, 7):
            reply = await ask(stores, instance, choice, *range(1, 13))
            assert not isinstance(reply.body, bytes)
            for _ in range(taken):
                await anext(reply.body)
            await reply.body.aclose()  # type: ignore[attr-defined]  # what handlers stream can be closed
        await freed()
        await unused(transport)
        for _ in range(100):
            if asyncio.all_tasks() <= before:
                break
            await asyncio.sleep(0.01)
        assert asyncio.all_tasks() <= before


async def test_a_request_that_is_cancelled_leaves_nothing_behind(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        instance = await kept(stores, shipped("emri_small_jpeg_2k_lossless.dcm"))
        before = asyncio.all_tasks()
        for milliseconds in range(0, 40, 2):

            async def request() -> None:
                await bytes_of(await ask(stores, instance, NATIVE_PARTS, *range(1, 11)))

            task = asyncio.create_task(request())
            await asyncio.sleep(milliseconds / 1000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await freed()
        await unused(transport)
        for _ in range(100):
            if asyncio.all_tasks() <= before:
                break
            await asyncio.sleep(0.01)
        assert asyncio.all_tasks() <= before


async def test_the_first_frame_that_cannot_be_decoded_shows_before_anything_is_sent(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        own = frames_of(shipped("emri_small_jpeg_2k_lossless.dcm").content)
        instance = await kept(stores, shipped("emri_small_jpeg_2k_lossless.dcm", [own[0], b"\0" * 100, own[1]]))
        reply = await ask(stores, instance, NATIVE_PARTS, 2, 1)
        with pytest.raises(NotAcceptable):
            await bytes_of(reply)
        reply = await ask(stores, instance, NATIVE_PARTS, 1, 3)
        assert len(await contents(reply)) == 2
        reply = await ask(stores, instance, PARTS_AS_STORED, 1, 2, 3)
        assert await contents(reply) == [own[0], b"\0" * 100, own[1]]
        await freed()


async def test_a_codec_that_is_not_installed_is_not_acceptable(azurite, monkeypatch):
    async with watched_stores(azurite.connection_string) as (stores, _):
        instance = await kept(stores, shipped("MR_small_jpeg_ls_lossless.dcm"))
        for name in [name for name in sys.modules if name.partition(".")[0] == "imagecodecs"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "imagecodecs", None)
        with pytest.raises(NotAcceptable, match=r"transfer-syntax=\*"):
            await ask(stores, instance, NATIVE_PART, 1)
        with pytest.raises(NotAcceptable):
            await retrieve_rendered_frame(call(choice=PNG, frame=1, quality=100, **uids_of(instance)), stores)
        whole = Choice("application/dicom", multipart=False, transfer_syntax="1.2.840.10008.1.2.1")
        with pytest.raises(NotAcceptable):
            await bytes_of(await retrieve_instance(call(choice=whole, **uids_of(instance)), stores))
        assert await bytes_of(await ask(stores, instance, PART_AS_STORED, 1)) == frames_of(instance.content)[0]


async def test_a_file_that_is_too_long_is_given_as_it_is_only(azurite):
    """Contract C1.10: 100 MB are the most that is converted."""
    size = pictures.MAX_CONVERTED_BYTES + 1
    async with watched_stores(azurite.connection_string) as (stores, _):
        instance = await kept(stores, made(transfer_syntax="1.2.840.10008.1.2.2", pixel_bytes=size, frames=50))
        for choice in (NATIVE_PART, NATIVE_PARTS, Choice("image/jp2", False, "1.2.840.10008.1.2.4.90")):
            with pytest.raises(NotAcceptable, match=f"longer than the {pictures.MAX_CONVERTED_BYTES} bytes"):
                await ask(stores, instance, choice, 1)
        with pytest.raises(NotAcceptable, match="longer than"):
            await retrieve_rendered_frame(call(choice=PNG, frame=1, quality=100, **uids_of(instance)), stores)
        assert await bytes_of(await ask(stores, instance, PART_AS_STORED, 50)) == frames_of(instance.content)[49]


async def test_of_a_file_that_is_too_long_frames_are_given_that_need_no_work(azurite):
    size = pictures.MAX_CONVERTED_BYTES + 1
    async with watched_stores(azurite.connection_string) as (stores, _):
        instance = await kept(stores, made(transfer_syntax="1.2.840.10008.1.2", pixel_bytes=size, frames=50))
        last = frames_of(instance.content)[49]
        assert await bytes_of(await ask(stores, instance, NATIVE_PART, 50)) == last
        second = Choice(OCTETS, multipart=True, transfer_syntax="*")
        first = Choice("image/jp2", True, "1.2.840.10008.1.2.4.90", others=(second,))
        assert await contents(await ask(stores, instance, first, 50)) == [last]


async def test_frames_of_a_deleted_instance_are_not_found(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        instance = await kept(stores, shipped("MR_small_RLE.dcm"))
        partition = await stores.partition("Microsoft.Default")
        stored = await stores.frames.find(partition, *uids_of(instance).values())
        await stores.deletion.instance(partition, *uids_of(instance).values())
        await stores.deletion.settled()
        with pytest.raises(NotFound):
            await pictures.stored_bytes(stores.frames, stored, 1)
        with pytest.raises(NotFound):
            await ask(stores, instance, NATIVE_PART, 1)
