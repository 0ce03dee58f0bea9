"""A store request on real storage, without HTTP: what is refused or broken off leaves neither blobs nor tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from struct import pack

import pytest
from azure.storage.blob.aio import ContainerClient
from pydicom.uid import DeflatedExplicitVRLittleEndian

from shared.errors import ClientGone, InvalidRequest, MalformedBody, NotFound, StoreUnavailable, UnsupportedMediaType
from shared.storage.client import BLOB_VERSION
from shared.storage.stores import Stores, open_stores
from shared.stow import store as store_module
from shared.stow.digest import digest
from shared.stow.handlers import store_instances, store_instances_in_study
from shared.wado.handlers import retrieve_instance
from shared.wire.dicomjson import loads
from tests.support.calls import AS_STORED, bytes_of, call, multipart
from tests.support.clients import Made, failure_reasons, made, new_uid, stored_uids, uids_of
from tests.support.storage import fresh_settings, watched_stores

pytestmark = pytest.mark.azurite

ALONE = (("Content-Type", "application/dicom"),)
BIG_BYTES = 9_000_000  # staged in blocks


@asynccontextmanager
async def opened(azurite) -> AsyncIterator[tuple[Stores, ContainerClient]]:
    """Stores over an empty account, and the vendor's client to look into its container."""
    settings = fresh_settings(azurite.connection_string)
    stores = open_stores(settings)
    container = ContainerClient.from_connection_string(
        settings.storage_connection, settings.container, api_version=BLOB_VERSION
    )
    try:
        async with container:
            yield stores, container
    finally:
        await stores.close()


async def blobs(container: ContainerClient) -> list[str]:
    if not await container.exists():
        return []
    return [blob.name async for blob in container.list_blobs()]


def others() -> set[asyncio.Task[object]]:
    """Running tasks but for this one and the writer's heartbeat, which outlives requests on purpose."""
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current and task.get_name() != "writer heartbeat"}


async def stored(stores: Stores, contents: list[bytes], label: str = "v2") -> dict[str, object]:
    body, headers = multipart(contents)
    return dict(loads(await bytes_of(await store_instances(call(body, headers=headers, label=label), stores))))


async def is_there(stores: Stores, instance: Made) -> bool:
    try:
        return instance.content in await bytes_of(
            await retrieve_instance(call(choice=AS_STORED, **uids_of(instance)), stores)
        )
    except NotFound:
        return False


async def test_entries_that_are_refused_leave_no_blob(azurite):
    async with opened(azurite) as (stores, container):
        big = made(pixel_bytes=BIG_BYTES)
        contents = [b"garbage", made(patient_id="").content, big.content[:-5], b"x" * BIG_BYTES]
        assert failure_reasons(await stored(stores, contents, "v1")) == [43264] * 4
        assert await blobs(container) == []


async def test_copies_leave_one_blob(azurite):
    async with opened(azurite) as (stores, container):
        instance = made()
        assert stored_uids(await stored(stores, [instance.content] * 3)) == [instance.sop_instance_uid]
        assert failure_reasons(await stored(stores, [instance.content] * 2)) == [45070, 45070]
        assert len(await blobs(container)) == 1
        assert await is_there(stores, instance)


async def test_copies_that_race_leave_one_blob_and_one_row(azurite):
    async with opened(azurite) as (stores, container):
        instance = made(pixel_bytes=BIG_BYTES)
        reports = await asyncio.gather(*(stored(stores, [instance.content]) for _ in range(6)))
        assert sum(len(stored_uids(report)) for report in reports) == 1
        assert len(await blobs(container)) == 1
        assert await is_there(stores, instance)


async def arriving(content: bytes, size: int = 16_384) -> AsyncIterator[bytes]:
    """Chunks between which other work gets its turn, as it does while a client sends."""
    for start in range(0, len(content), size):
        yield content[start : start + size]
        await asyncio.sleep(0)


async def gone(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    raise ClientGone("The connection was closed.")


BREAKS = {
    "client gone": (ClientGone, lambda body: gone(body[:-300])),
    "client gone behind the last part": (ClientGone, gone),
    "no closing boundary": (MalformedBody, lambda body: body[:-4]),
    "a part that is no DICOM type": (
        UnsupportedMediaType,
        lambda body: body.replace(b"\r\n--the-boundary--", b"\r\n--the-boundary\r\nContent-Type: a/b\r\n\r\n"),
    ),
}


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("pixel_bytes", [500, BIG_BYTES], ids=["small", "staged"])
async def test_a_request_that_breaks_off_leaves_no_blob_no_row_and_no_task(azurite, broken, pixel_bytes):
    error, spoilt = BREAKS[broken]
    async with opened(azurite) as (stores, container):
        instances = [made(pixel_bytes=pixel_bytes), made()]
        body, headers = multipart([one.content for one in instances])
        await stored(stores, [made().content])
        before = others()
        with pytest.raises(error):
            await store_instances(call(spoilt(body), headers=headers), stores)
        assert others() == before
        assert len(await blobs(container)) == 1
        assert not any([await is_there(stores, one) for one in instances])


async def test_a_request_that_is_cancelled_leaves_no_blob_and_no_task(azurite):
    async with opened(azurite) as (stores, container):
        instances = [made(pixel_bytes=BIG_BYTES), made()]
        body, headers = multipart([one.content for one in instances])
        waits = asyncio.Event()

        async def stalled() -> AsyncIterator[bytes]:
            yield body[:-300]
            waits.set()
            await asyncio.Event().wait()

        await stored(stores, [made().content])
        before = others()
        storing = asyncio.create_task(store_instances(call(stalled(), headers=headers), stores))
        await waits.wait()
        storing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await storing
        assert others() == before
        assert len(await blobs(container)) == 1


async def test_storage_that_fails_before_the_rows_fails_the_request_and_leaves_nothing_visible(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await stored(stores, [made().content])
        instance = made()
        transport.fault = lambda request: "before" if request.method == "PUT" and "/dicom/" in request.url else None
        with pytest.raises(StoreUnavailable):
            await stored(stores, [instance.content])
        transport.fault = lambda _: None
        assert not await is_there(stores, instance)
        assert stored_uids(await stored(stores, [instance.content])) == [instance.sop_instance_uid]


async def test_a_deflated_file_is_stored_in_chunks_of_any_size(azurite):
    async with opened(azurite) as (stores, _):
        for size in (1, 700, 5000, 1 << 20):
            instance = made(transfer_syntax=DeflatedExplicitVRLittleEndian)

            body = arriving(instance.content, size)
            assert (await store_instances(call(body, headers=ALONE), stores)).status == 200
            assert await is_there(stores, instance)


async def test_many_empty_attributes_are_judged_in_a_thread_and_few_are_not(azurite, monkeypatch):
    """A file of 160 KB can hold 20,000 elements; reading them must not keep other requests waiting."""
    threads: list[bool] = []

    def noted(*arguments):
        threads.append(threading.current_thread() is not threading.main_thread())
        return digest(*arguments)

    monkeypatch.setattr(store_module, "digest", noted)
    instance = made()
    pixels = instance.content.index(b"\xe0\x7f\x10\x00OW")
    empty = b"".join(pack("<HH2sH", 0x0041, number, b"LO", 0) for number in range(15_000))
    async with opened(azurite) as (stores, _):
        await stored(stores, [instance.content])
        await store_instances(call(arriving(instance.content[:pixels] + empty), headers=ALONE), stores)
    assert threads == [False, True]


async def test_outcomes_keep_the_order_of_arrival(azurite):
    async with opened(azurite) as (stores, _):
        study = new_uid()
        instances = [made(study_uid=study if number % 2 else None, columns=2) for number in range(12)]
        contents = [content for one in instances for content in (one.content, b"garbage")]
        report = await stored(stores, contents)
        assert stored_uids(report) == [one.sop_instance_uid for one in instances]
        assert failure_reasons(report) == [43264] * 12


@pytest.mark.parametrize("study_uid", ["1.2.3", "1.2.3  "])
async def test_the_study_in_the_url_is_compared_without_padding(azurite, study_uid):
    async with opened(azurite) as (stores, _):
        instance = made(study_uid="1.2.3")
        reply = await store_instances_in_study(call(instance.content, headers=ALONE, study_uid=study_uid), stores)
        assert reply.status == 200


@pytest.mark.parametrize(
    ("content_type", "error"),
    [
        (None, UnsupportedMediaType),
        ("multipart/form-data; boundary=b", UnsupportedMediaType),
        ("multipart/related", UnsupportedMediaType),
        ("multipart/related; boundary=b; start=x", InvalidRequest),
    ],
)
async def test_a_type_that_is_not_read_is_refused_before_storage_is_touched(azurite, content_type, error):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        headers = () if content_type is None else (("Content-Type", content_type),)
        with pytest.raises(error):
            await store_instances(call(b"x", headers=headers), stores)
        assert transport.calls == []
