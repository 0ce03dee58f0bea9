"""Whatever a worker leaves when it dies, a sweep by another one makes whole or undoes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from shared.storage.stores import open_stores
from tests.storage.made import DEFAULT, WorkerDied, blob_names, rows, store
from tests.support.storage import WatchedTransport, fresh_settings

pytestmark = pytest.mark.azurite

AT_ONCE = timedelta(0)


@asynccontextmanager
async def two_workers(connection_string):
    """One that is going to die, with its transport, and one that lives; on the same store."""
    settings = fresh_settings(connection_string)
    transports = WatchedTransport(), WatchedTransport()
    dying, living = (open_stores(settings, transport) for transport in transports)
    try:
        yield dying, transports[0], living
    finally:
        transports[0].fault = dead
        if dying.writer._beating is not None:
            dying.writer._beating.cancel()
            await asyncio.gather(dying.writer._beating, return_exceptions=True)
        await living.close()
        for transport in transports:
            await transport.close()


def dead(_request) -> None:
    raise WorkerDied


class DiesAfter:
    """A fault that lets so many calls through and none after them."""

    def __init__(self, calls: int) -> None:
        self._left = calls
        self.died = False

    def __call__(self, _request) -> None:
        self._left -= 1
        if self._left < 0:
            self.died = True
            raise WorkerDied


async def whole(stores) -> None:
    report = await stores.fsck()
    assert report.broken == []


async def instances(stores, study: str) -> set[str]:
    pages = [page async for page in stores.instances.pages(DEFAULT, study)]
    return {one.sop_instance_uid for page in pages for one in page}


@pytest.mark.parametrize("before", ["empty store", "known study", "changed study"])
async def test_a_store_cut_off_at_any_call_is_made_whole_or_undone(azurite, before):
    sops = {"1.2.9.1", "1.2.9.2"}
    outcomes = set()
    for cut in range(40):
        async with two_workers(azurite.connection_string) as (dying, transport, living):
            if before != "empty store":
                await store(dying, "1.2.9", ["1.2.9.0"], name="A" if before == "known study" else "Other")
            transport.fault = DiesAfter(cut)
            acknowledged = False
            try:
                await store(dying, "1.2.9", sorted(sops), modality="MR" if before == "changed study" else "CT")
                acknowledged = True
            except WorkerDied:
                pass
            transport.fault = dead
            first = await living.sweep.run(AT_ONCE, AT_ONCE)
            second = await living.sweep.run(AT_ONCE, AT_ONCE)
            await whole(living)
            assert (second.blobs_deleted, second.events_added, second.covers_added) == (0, 0, 0), (cut, first, second)
            found = await instances(living, "1.2.9") & sops
            assert found in (set(), sops)
            outcomes.add(bool(found))
            if acknowledged:
                assert found == sops
                assert outcomes == {True, False}
                return
    pytest.fail("a store takes more calls than were tried")


@pytest.mark.parametrize("scope", ["study", "series", "instance"])
async def test_a_delete_cut_off_at_any_call_is_finished_or_undone(azurite, scope):
    for cut in range(60):
        async with two_workers(azurite.connection_string) as (dying, transport, living):
            await store(dying, "1.2.9", ["1.2.9.1", "1.2.9.2"], series="1.2.3.1", modality="CT")
            await store(dying, "1.2.9", ["1.2.9.3"], series="1.2.3.2", modality="MR", name="Newest")
            uids = {"study": (), "series": ("1.2.3.2",), "instance": ("1.2.3.2", "1.2.9.3")}[scope]
            fault = transport.fault = DiesAfter(cut)
            acknowledged = False
            try:
                await getattr(dying.deletion, scope)(DEFAULT, "1.2.9", *uids)
                acknowledged = True
                await dying.deletion.settled()
            except WorkerDied:
                pass
            transport.fault = dead
            await living.sweep.run(AT_ONCE, AT_ONCE)
            await living.sweep.run(AT_ONCE, AT_ONCE)
            await whole(living)
            left = await instances(living, "1.2.9")
            victims = {"1.2.9.1", "1.2.9.2", "1.2.9.3"} if scope == "study" else {"1.2.9.3"}
            assert left & victims in (set(), victims)
            assert await jobs(living) == []
            if acknowledged:
                assert not left & victims
            if not fault.died:
                return
    pytest.fail("a delete takes more calls than were tried")


async def jobs(stores) -> list[object]:
    return [row for row in await rows(stores, "work") if row["PartitionKey"] == "delete"]


async def test_a_blob_without_a_row_is_left_until_it_is_old(azurite):
    async with two_workers(azurite.connection_string) as (dying, _, living):
        await store(dying, "1.2.8", ["1.2.8.1"])
        async with dying.uploads.request(0) as request:
            upload = request.begin()
            await upload.write(b"content")
            await (await request.finish(upload, "1.2.9", "1.2.3", "1.2.9.1"))
            request.keep(upload.name)
            found = await living.sweep.run(AT_ONCE)
            assert (found.blobs_deleted, found.blobs_too_young) == (0, 1)
            assert len(await blob_names(living)) == 2
            found = await living.sweep.run(AT_ONCE, AT_ONCE)
            assert (found.blobs_deleted, found.blobs_too_young) == (1, 0)
        await whole(living)


async def test_a_sweep_beside_live_writers_finds_nothing_to_do(azurite):
    async with two_workers(azurite.connection_string) as (busy, _, living):
        storing = asyncio.gather(
            *(store(busy, f"1.2.{study}", [f"1.2.{study}.{n}" for n in range(3)]) for study in range(12))
        )
        found = [await living.sweep.run() for _ in range(3)]
        await storing
        assert all(one.blobs_deleted == one.events_added == one.covers_added == 0 for one in found)
        await whole(living)


async def test_a_check_sees_what_is_broken(azurite):
    async with two_workers(azurite.connection_string) as (dying, _, living):
        await store(dying, "1.2.9", ["1.2.9.1", "1.2.9.2"])
        await whole(living)
        (first, second) = sorted(await blob_names(living))
        await living._blobs.delete(first)
        await living._blobs.put("0/writer/1/stray", b"x")
        await living._tables.delete("feed", "f~0", "0000000000000000001")
        report = await living.fsck()
    assert f"blob {first} is missing" in report.broken
    assert "blob 0/writer/1/stray has no row" in report.broken
    assert any("feed" in line for line in report.broken)
    assert second
