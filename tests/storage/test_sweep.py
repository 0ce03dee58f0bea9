"""Whatever a worker leaves when it dies, a sweep by another one makes whole or undoes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest

from shared.errors import StoreUnavailable
from shared.storage.conditions import one_of
from shared.storage.filters import SegmentFilters
from shared.storage.hits import Criteria
from shared.storage.keys import SEGMENT_HEADER, segment_partition, segment_table
from shared.storage.stores import open_stores
from tests.storage.made import DEFAULT, DiesAfter, WorkerDied, blob_names, rows, store
from tests.support.storage import WatchedTransport, fresh_settings

pytestmark = pytest.mark.azurite

AT_ONCE = timedelta(0)
SLOW = pytest.mark.slow


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


async def whole(stores) -> None:
    report = await stores.fsck()
    assert report.broken == []


async def instances(stores, study: str) -> set[str]:
    pages = [page async for page in stores.instances.pages(DEFAULT, study)]
    return {one.sop_instance_uid for page in pages for one in page}


@pytest.mark.parametrize(
    "before", [pytest.param("empty store", marks=pytest.mark.slow), "known study", "changed study"]
)
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


class FailsAfter:
    """A fault that lets so many calls through and breaks every connection after them."""

    def __init__(self, calls: int) -> None:
        self._left = calls

    def __call__(self, _request) -> str | None:
        self._left -= 1
        return "before" if self._left < 0 else None


@SLOW
async def test_a_store_that_storage_fails_at_any_call_is_made_whole_or_undone_while_its_worker_lives(azurite):
    sops = {"1.2.9.1", "1.2.9.2"}

    async def failing(cut: int) -> tuple[bool, bool]:
        async with two_workers(azurite.connection_string) as (failed, transport, living):
            await store(failed, "1.2.9", ["1.2.9.0"], name="Other")
            transport.fault = FailsAfter(cut)
            acknowledged = False
            with suppress(StoreUnavailable):
                await store(failed, "1.2.9", sorted(sops), modality="MR")
                acknowledged = True
            transport.fault = lambda _: None
            # It goes on as if nothing had been, and says with its next heartbeat what it has left.
            await store(failed, "1.2.9", ["1.2.9.9"])
            await failed.writer._beat()
            await living.sweep.run(AT_ONCE, AT_ONCE)
            await whole(living)
            again = await living.sweep.run(AT_ONCE, AT_ONCE)
            assert (again.epochs_left, again.events_added, again.covers_added) == (0, 0, 0), (cut, again)
            found = await instances(living, "1.2.9") & sops
            assert found in (set(), sops), cut
            assert found == sops or not acknowledged, cut
            return acknowledged, bool(found)

    gate = asyncio.Semaphore(6)

    async def one(cut: int) -> tuple[bool, bool]:
        async with gate:
            return await failing(cut)

    outcomes = await asyncio.gather(*(one(cut) for cut in range(24)))
    # Undone, kept though the client was told of a failure, and stored.
    assert set(outcomes) == {(False, False), (False, True), (True, True)}


@SLOW
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


async def test_blobs_are_left_alone_as_long_as_their_tables_are_not_there(azurite):
    """As after half of a restore: the rows that blobs belong to are still to come."""
    async with two_workers(azurite.connection_string) as (other, _, living):
        path = "0/stranger/0/abc"
        await living._blobs.put(path, b"content")
        found = await living.sweep.run(AT_ONCE, AT_ONCE)
        assert (found.blobs_deleted, await blob_names(living)) == (0, [path])
        # The first change shows that this is a store with its tables.
        await store(other, "1.2.8", ["1.2.8.1"])
        assert (await living.sweep.run(AT_ONCE, AT_ONCE)).blobs_deleted == 1
        assert path not in await blob_names(living)


async def test_a_sweep_beside_live_writers_finds_nothing_to_do(azurite):
    async with two_workers(azurite.connection_string) as (busy, _, living):
        storing = asyncio.gather(
            *(store(busy, f"1.2.{study}", [f"1.2.{study}.{n}" for n in range(3)]) for study in range(12))
        )
        found = [await living.sweep.run() for _ in range(3)]
        await storing
        assert all(one.blobs_deleted == one.events_added == one.covers_added == 0 for one in found)
        await whole(living)


FULL = 3


def full_after(stores, rows: int) -> None:
    """Let the worker's segments of studies be full after so many rows."""
    stores.index.covering.log("log", DEFAULT)._rows = rows


async def found_by_name(stores, name: str) -> set[str]:
    hits = await stores.search.studies(DEFAULT, Criteria(study=(one_of("PatientName", [name]),)))
    return {hit.study_uid for hit in hits}


async def sealed_and_filtered(stores) -> tuple[bool, bool]:
    """Whether the first segment of studies is sealed, and whether it has its filter."""
    table, where = segment_table("log", 0), segment_partition(0, 0)
    sealed = await stores._tables.get(table, where, SEGMENT_HEADER) is None
    return sealed, await SegmentFilters(stores._tables).stored("log", 0, 0) is not None


@SLOW
async def test_a_seal_cut_off_at_any_call_is_finished_and_its_filter_written(azurite):
    seen = set()
    for cut in range(40):
        async with two_workers(azurite.connection_string) as (dying, transport, living):
            full_after(dying, FULL)
            for study in range(FULL - 1):
                await store(dying, f"1.2.{study}", [f"1.2.{study}.1"], name=f"N{study}")
            fault = transport.fault = DiesAfter(cut)
            with suppress(WorkerDied):
                await store(dying, "1.2.9", ["1.2.9.1"], name="Last")
            left = await sealed_and_filtered(living)
            transport.fault = dead
            found = await living.sweep.run(AT_ONCE, AT_ONCE)
            again = await living.sweep.run(AT_ONCE, AT_ONCE)
            await whole(living)
            assert again.seals_finished == 0, cut
            after = await sealed_and_filtered(living)
            assert after[0] == after[1] == (found.seals_finished > 0 or left == (True, True)), cut
            seen.add((left, found.seals_finished))
            if all(after):
                passing = SegmentFilters(living._tables).passing
                assert await passing("log", 0, [0], [one_of("PatientName", ["n1"])]) == [0]
                assert await passing("log", 0, [0], [one_of("PatientName", ["nobody"])]) == []
                await store(living, "1.2.10", ["1.2.10.1"], name="N1")
                assert await found_by_name(living, "n1") == {"1.2.1", "1.2.10"}
            if not fault.died:
                # Died before the seal, in it before and after the header went, before its end; and lived.
                not_begun, closed, filtered = (False, False), (True, False), (True, True)
                assert {(not_begun, 0), (not_begun, 1), (closed, 1), (filtered, 1), (filtered, 0)} <= seen
                return
    pytest.fail("a store that seals takes more calls than were tried")


async def test_a_seal_that_cannot_write_its_filter_is_left_to_the_sweep(azurite):
    async with two_workers(azurite.connection_string) as (alive, transport, living):
        full_after(alive, 1)
        transport.fault = lambda request: "before" if "/filters" in request.url else None
        await store(alive, "1.2.1", ["1.2.1.1"])
        transport.fault = lambda _: None
        report = await living.fsck()
        assert (report.broken, report.counts["seals to finish"]) == ([], 1)
        assert (await living.sweep.run()).seals_finished == 0  # its sealer may be at it
        assert (await living.sweep.run(AT_ONCE)).seals_finished == 1
        assert await sealed_and_filtered(living) == (True, True)
        report = await living.fsck()
        assert (report.broken, report.counts["seals to finish"], report.counts["filters"]) == ([], 0, 1)


async def test_a_sweep_with_nothing_to_do_takes_as_many_calls_in_a_larger_store(azurite):
    calls = []
    for segments in (1, 6):
        async with two_workers(azurite.connection_string) as (busy, transport, _):
            full_after(busy, 2)
            for study in range(2 * segments):
                await store(busy, f"1.2.{study}", [f"1.2.{study}.1"])
            await busy.writer.close()
            await busy.sweep.run(AT_ONCE, AT_ONCE)
            transport.forget()
            assert (await busy.sweep.run(AT_ONCE, AT_ONCE)).seals_finished == 0
            calls.append(list(transport.calls))
            await whole(busy)
    assert calls[0] == calls[1]


@pytest.mark.parametrize("harm", ["lost", "hides a row"])
async def test_a_check_sees_a_sealed_segment_without_a_true_filter(azurite, harm):
    async with two_workers(azurite.connection_string) as (writing, _, living):
        full_after(writing, 1)
        await store(writing, "1.2.1", ["1.2.1.1"], name="Anna")
        await whole(living)
        if harm == "lost":
            await living._tables.delete("filters", "log~0~0", "s0000000000")
        else:
            await living._tables.merge("filters", "log~0~0", "s0000000000", {"bits": bytes(8)})
        (line,) = (await living.fsck()).broken
    assert "segment 0" in line
    assert ("no filter" if harm == "lost" else "hides") in line
    assert "anna" not in line.lower()


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
