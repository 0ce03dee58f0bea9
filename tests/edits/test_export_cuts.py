"""A slice of an export that is done twice, by two at once, or cut off; and destinations that are in trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.edits import export, export_request
from shared.edits.export_copy import Copier, Outcome
from shared.edits.export_source import Found
from shared.errors import StoreUnavailable
from shared.storage import destinations
from shared.storage.destinations import Destinations
from shared.storage.operations import Operation, OperationKind, Progress
from shared.storage.stores import open_stores
from tests.edits.exporting import Destination, destination, wanted
from tests.edits.made import Desk, desk, name_is
from tests.edits.test_bulk_update import file_of
from tests.edits.test_export import identifier, store
from tests.edits.test_update_cuts import results
from tests.storage.made import DEFAULT, DiesAfter, WorkerDied
from tests.storage.test_sweep import dead
from tests.support.files import synthetic_instance
from tests.support.storage import WatchedTransport

pytestmark = pytest.mark.azurite


async def operation_of(at: Desk, out: Destination, *values: str) -> Operation:
    """An operation that nobody is told of: the test does its slices."""
    request = export_request.parse(orjson.dumps(wanted(out.settings, *values)), at.stores.destinations.rules)
    begun = await at.stores.operations.begin(OperationKind.EXPORT, export.beginning(DEFAULT, request))
    async with at.stores.destinations.open(request.target) as container:
        await container.create_log(export.log_name(begun.id))
    return behind(begun, Progress(begun.state))


def behind(operation: Operation, progress: Progress) -> Operation:
    return replace(operation, state=orjson.loads(orjson.dumps(dict(progress.state))), results=progress.results)


def counts(progress: Progress) -> Mapping[str, Any]:
    """What clients are told then."""
    assert progress.results is not None
    return progress.results


async def end(at: Desk, operation: Operation) -> None:
    await at.stores.operations.fail(operation, "the test is over")


@pytest.mark.slow
async def test_every_slice_done_three_times_two_of_them_at_once_has_the_effect_of_one(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        files = {**await store(at, "1.2.1", 70), **await store(at, "1.2.2", 60)}
        absent = [f"1.2.9.{number}" for number in range(120)]
        operation = first = await operation_of(at, out, *absent[:60], "1.2.1", "1.2.2", *absent[60:])
        slices = 0
        while True:
            await export.step(operation, at.stores)
            one, other = await asyncio.gather(export.step(operation, at.stores), export.step(operation, at.stores))
            assert one.results == other.results
            slices += 1
            operation = behind(operation, other)
            if other.done:
                break
        assert slices > 3
        assert (results(operation)["exported"], results(operation)["skipped"]) == (130, 120)
        assert await out.results(first.id) == files
        assert [line["identifier"] for line in await out.log(first.id)] == absent
        await end(at, first)


@pytest.mark.parametrize("pace", [pytest.param(1, marks=pytest.mark.slow), 3])
async def test_an_export_cut_off_at_any_call_is_gone_on_with(azurite, pace):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        files = await store(at, "1.2.1", 3)
        absent = ["1.2.8", "1.2.9"]
        for cut in range(0, 60, pace):
            transport = WatchedTransport()
            dying = open_stores(at.settings, transport)
            outside = Destinations(at.settings, dying._client.account, transport=transport)
            dying = replace(dying, destinations=outside)
            operation = first = await operation_of(at, out, absent[0], "1.2.1", absent[1])
            fault = transport.fault = DiesAfter(cut)
            done = False
            with suppress(WorkerDied):
                while not done:
                    progress = await export.step(operation, dying)
                    operation, done = behind(operation, progress), progress.done
            transport.fault = dead
            while not done:
                progress = await export.step(operation, at.stores)
                operation, done = behind(operation, progress), progress.done
            await transport.close()
            assert (results(operation)["exported"], results(operation)["skipped"]) == (3, 2)
            assert await out.results(first.id) == files
            assert [line["identifier"] for line in await out.log(first.id)] == absent
            await end(at, first)
            if not fault.died:
                break
        else:
            pytest.fail("an export takes more calls than were tried")
        assert cut > 8


async def test_a_destination_that_is_away_is_waited_for_and_then_given_up(azurite, monkeypatch):
    monkeypatch.setattr(export, "MISS_SECONDS", 0.0)
    transport = WatchedTransport()
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        files = await store(at, "1.2.1", 2)
        first = operation = await operation_of(at, out, "1.2.1")
        account = at.stores._client.account
        stores = replace(at.stores, destinations=Destinations(at.settings, account, transport=transport))
        transport.fault = lambda _: "before"
        progress = await export.step(operation, stores)
        assert (progress.failed, progress.done, progress.state["misses"]) == ("", False, 1)
        assert counts(progress)["exported"] == 0
        given_up = await export.step(behind(operation, Progress({**progress.state, "misses": 20})), stores)
        assert (given_up.failed, given_up.state) == ("The destination cannot be reached.", {})
        transport.fault = lambda _: None
        back = await export.step(behind(operation, progress), stores)
        assert (back.done, counts(back)["exported"]) == (True, 2)
        assert await out.results(first.id) == files
        await end(at, first)
    await transport.close()


async def test_the_services_own_storage_being_away_is_no_miss_of_the_destination(azurite):
    transport = WatchedTransport()
    async with (
        desk(azurite.connection_string, transport=transport) as at,
        destination(azurite.connection_string) as out,
    ):
        await store(at, "1.2.1", 2)
        first = await operation_of(at, out, "1.2.1")
        transport.fault = lambda _: "before"
        with pytest.raises(StoreUnavailable):
            await export.step(first, at.stores)
        transport.fault = lambda _: None
        await end(at, first)


async def test_an_instance_that_is_deleted_or_updated_while_the_slice_runs(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        await store(at, "1.2.1", 2)
        instances = at.stores.instances
        found = [await instances.find(DEFAULT, *identifier("1.2.1", number).split("/")) for number in range(2)]
        await at.update(["1.2.1"], name_is("Eins"))
        middle = await instances.find(DEFAULT, *identifier("1.2.1", 1).split("/"))
        await at.update(["1.2.1"], name_is("Zwei"))
        deleted = "1.2.1/series/1.2.1.0/instances/1.2.1.0.0"
        assert (await at.front.ask("DELETE", f"/v2/studies/{deleted}")).status == 204
        await at.stores.deletion.settled()
        operation = await operation_of(at, out, "1.2.1")
        target = export_request.parse(orjson.dumps(wanted(out.settings)), at.stores.destinations.rules).target
        async with at.stores.destinations.open(target) as container:
            copier = Copier(instances, DEFAULT, container, f"{operation.id}/results")
            assert await copier.copy(Found("1.2.1", found[0])) is Outcome.GONE
            # Its begin of between the updates is gone.
            assert await copier.copy(Found("1.2.1", middle)) is Outcome.EXPORTED
        now = await at.file("1.2.1/series/1.2.1.0/instances/1.2.1.0.1")
        assert await out.results(operation.id) == {identifier("1.2.1", 1): now}
        await end(at, operation)


async def test_a_file_that_the_destination_does_not_take_is_skipped_and_the_others_are_not(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        files = await store(at, "1.2.1", 3)
        operation = first = await operation_of(at, out, "1.2.1")
        blob = out.client.get_blob_client(f"{first.id}/results/{identifier('1.2.1', 1)}.dcm")
        await blob.upload_blob(b"kept")
        lease = await blob.acquire_lease(60)
        done = False
        while not done:
            progress = await export.step(operation, at.stores)
            operation, done = behind(operation, progress), progress.done
        await lease.release()
        assert (results(operation)["exported"], results(operation)["skipped"]) == (2, 1)
        (line,) = await out.log(first.id)
        assert line["identifier"] == identifier("1.2.1", 1)
        assert line["error"] == "The destination refused the file: LeaseIdMissing."
        assert await out.results(first.id) == {**files, identifier("1.2.1", 1): b"kept"}
        await end(at, first)


async def test_two_workers_with_two_versions_of_a_long_instance_never_leave_a_mixture(azurite, monkeypatch):
    monkeypatch.setattr("shared.edits.export_copy.BLOCK_BYTES", 64 * 1024)
    began, committed = asyncio.Event(), asyncio.Event()
    original = destinations.Container.stage

    async def stage(self, name, block, content):
        await original(self, name, block, content)
        if not began.is_set():
            began.set()
            await committed.wait()

    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        options = {"study_uid": "1.2.1", "series_uid": "1.2.1.0", "sop_instance_uid": "1.2.1.0.0"}
        await at.store(synthetic_instance(pixel_bytes=300_000, **options))
        path, uids = "1.2.1/series/1.2.1.0/instances/1.2.1.0.0", identifier("1.2.1", 0).split("/")
        before, old = await at.stores.instances.find(DEFAULT, *uids), await at.file(path)
        await at.update(["1.2.1"], name_is("Neu"))
        after, new = await at.stores.instances.find(DEFAULT, *uids), await at.file(path)
        assert old != new
        operation = await operation_of(at, out, "1.2.1")
        target = export_request.parse(orjson.dumps(wanted(out.settings)), at.stores.destinations.rules).target
        async with at.stores.destinations.open(target) as container:
            copier = Copier(at.stores.instances, DEFAULT, container, f"{operation.id}/results")
            monkeypatch.setattr(destinations.Container, "stage", stage)
            ahead = asyncio.create_task(copier.copy(Found("1.2.1", after)))
            await began.wait()
            # The new version has blocks there, and waits; the old one is written as a whole.
            assert await copier.copy(Found("1.2.1", before)) is Outcome.EXPORTED
            assert list((await out.results(operation.id)).values()) == [old]
            committed.set()
            # Its blocks have gone with that commit; it begins anew.
            assert await ahead is Outcome.EXPORTED
            assert list((await out.results(operation.id)).values()) == [new]
        await end(at, operation)


async def test_a_slice_of_long_instances_holds_few_blocks_at_once(azurite, monkeypatch):
    """What is on its way at any moment: four blocks, and none of another long instance."""
    held = most = 0
    original = destinations.Container.stage

    async def counted(self, name, block, content):
        nonlocal held, most
        held += 1
        most = max(most, held)
        try:
            await original(self, name, block, content)
        finally:
            held -= 1

    monkeypatch.setattr(destinations.Container, "stage", counted)
    monkeypatch.setattr("shared.edits.export_copy.BLOCK_BYTES", 8 * 1024)
    monkeypatch.setattr(export, "BLOCK_BYTES", 8 * 1024)
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        files = {identifier("1.2.1", number): file_of("1.2.1", number, columns=160) for number in range(4)}
        await at.store(*files.values())
        first = await operation_of(at, out, "1.2.1")
        assert (await export.step(first, at.stores)).done
        assert await out.results(first.id) == files
        assert 2 <= most <= 4
        await end(at, first)
