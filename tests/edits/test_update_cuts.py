"""An update that is cut off, done by two at once, or meets stores and deletes: what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.edits import bulk_update
from shared.edits.change_set import parse
from shared.errors import StoreUnavailable
from shared.storage.operations import Operation, OperationKind
from shared.storage.stores import Stores, open_stores
from tests.edits.made import Desk, desk, name_is, named
from tests.edits.test_bulk_update import file_of, path_of
from tests.storage.made import DEFAULT, DiesAfter, WorkerDied
from tests.storage.test_sweep import AT_ONCE, dead
from tests.support.storage import WatchedTransport, fresh_settings

pytestmark = pytest.mark.azurite


async def operation_of(stores: Stores, studies: list[str], name: str) -> Operation:
    """An operation that nobody is told of: the test does its slices."""
    body = orjson.dumps({"studyInstanceUids": studies, "changeDataset": name_is(name)})
    state = bulk_update.beginning(DEFAULT, parse(body), await stores.feed.last_number())
    return replace(await stores.operations.begin(OperationKind.UPDATE, state), state=_as_json(state))


def _as_json(state: Any) -> Any:
    return orjson.loads(orjson.dumps(state))


async def slices(operation: Operation, stores: Stores, most: int = 100) -> Operation:
    """Do slices to the end, or so many; gives the operation as it is then."""
    for _ in range(most):
        if operation.finished:
            break
        progress = await bulk_update.step(operation, stores)
        operation = replace(operation, state=_as_json(progress.state), results=progress.results)
        if progress.done:
            await stores.operations.fail(operation, "the test is over")
            return replace(operation, reason=progress.failed, percent=progress.percent)
    return operation


def results(operation: Operation) -> Mapping[str, Any]:
    """What clients are told of it."""
    assert operation.results is not None
    return operation.results


class Saved:
    """Slices of a worker that may die: what it saved last."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.done = False

    async def go_on(self, stores: Stores) -> None:
        while not self.done:
            progress = await bulk_update.step(self.operation, stores)
            self.operation = replace(self.operation, state=_as_json(progress.state), results=progress.results)
            self.done = progress.done


async def cut_off(living: Desk, study: str, cut: int, *, before: str) -> bool:
    """One update that dies after so many calls, and another worker that goes on; whether it died at all."""
    transport = WatchedTransport()
    dying = open_stores(living.settings, transport)
    try:
        await living.store(*(file_of(study, number, number) for number in range(2)))
        if before == "updated":
            await slices(await operation_of(living.stores, [study], "Eins"), living.stores)
        saved = Saved(await operation_of(living.stores, [study, "1.3.8"], "Neu"))
        fault = transport.fault = DiesAfter(cut)
        with suppress(WorkerDied):
            await saved.go_on(dying)
        transport.fault = dead
        if dying.writer._beating is not None:
            dying.writer._beating.cancel()
            await asyncio.gather(dying.writer._beating, return_exceptions=True)
        await saved.go_on(living.stores)
        await living.stores.operations.fail(saved.operation, "the test is over")
        counts = {"studyProcessed": 2, "studyUpdated": 1, "studyFailed": 0, "instanceUpdated": 2}
        assert saved.operation.results == counts, cut
    finally:
        await transport.close()
    return fault.died


async def expect_updated(at: Desk, study: str, instances: list[str], updates: int) -> None:
    names = {one["00080018"]["Value"][0]: named(one) for one in await at.metadata(study)}
    assert names == dict.fromkeys(instances, "Neu")
    feed = [(one["action"], one["sopInstanceUid"]) for one in await at.changes() if one["studyInstanceUid"] == study]
    expected = [("Create", one) for one in instances] + [("Update", one) for one in instances] * updates
    assert sorted(feed) == sorted(expected)


@pytest.mark.parametrize(
    ("before", "step"),
    [
        pytest.param("stored", 1, marks=pytest.mark.slow),
        pytest.param("updated", 1, marks=pytest.mark.slow),
        ("updated", 4),
    ],
)
async def test_an_update_cut_off_at_any_call_is_done_once_by_whoever_goes_on(azurite, before, step):
    async with desk(azurite.connection_string) as living:
        cuts = range(0, 80, step)
        for cut in cuts:
            if not await cut_off(living, f"1.2.{cut}", cut, before=before):
                break
        else:
            pytest.fail("an update takes more calls than were tried")
        assert cut > 20
        await living.stores.sweep.run(AT_ONCE, AT_ONCE)
        again = await living.stores.sweep.run(AT_ONCE, AT_ONCE)
        assert (again.blobs_deleted, again.events_added, again.covers_added) == (0, 0, 0)
        report = await living.stores.fsck()
        studies = [f"1.2.{one}" for one in cuts if one <= cut]
        assert (report.broken, report.counts["blobs"]) == ([], 4 * len(studies))
        for study in studies:
            await expect_updated(living, study, [f"{study}.0.0", f"{study}.1.1"], updates=1 + (before == "updated"))
        found = {one["0020000D"]["Value"][0] for one in await living.search("studies?PatientName=Neu")}
        assert found == set(studies)
        assert await living.search("studies?PatientName=Alt^Eva") == []


@pytest.mark.parametrize("offset", [0, 1, 3])
async def test_two_workers_at_once_do_an_update_once(azurite, offset):
    async with desk(azurite.connection_string) as one, desk(azurite.connection_string, one.settings) as two:
        await one.store(*(file_of("1.2.1", number) for number in range(60)))
        operation = await operation_of(one.stores, ["1.2.1"], "Neu")
        ahead = replace(operation)
        for _ in range(offset):
            progress = await bulk_update.step(ahead, one.stores)
            ahead = replace(ahead, state=_as_json(progress.state))
        saved = [Saved(operation), Saved(ahead)]
        await asyncio.gather(saved[0].go_on(one.stores), saved[1].go_on(two.stores))
        for ended in saved:
            assert results(ended.operation)["instanceUpdated"] == 60
            assert results(ended.operation)["studyUpdated"] == 1
        await one.stores.operations.fail(operation, "the test is over")
        feed = await one.changes()
        assert [event["action"] for event in feed] == ["Create"] * 60 + ["Update"] * 60
        assert len({event["sopInstanceUid"] for event in feed[60:]}) == 60
        assert {named(found) for found in await one.metadata("1.2.1")} == {"Neu"}
        assert (await one.stores.fsck()).broken == []


class Interrupted:
    """Updating, with something that happens right before its transactions, once for each."""

    def __init__(self, stores: Stores, *happens: Any) -> None:
        self._inner = stores.updating
        self._happens = list(happens)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def commit(self, batch: Any) -> bool:
        if self._happens:
            await self._happens.pop(0)()
        return await self._inner.commit(batch)


def interrupted(stores: Stores, *happens: Any) -> Stores:
    """Stores in whose updates something happens."""
    updating: Any = Interrupted(stores, *happens)
    return replace(stores, updating=updating)


async def test_an_instance_stored_before_the_end_of_its_study_is_updated_too_and_one_stored_later_is_not(azurite):
    async with desk(azurite.connection_string) as at:
        await at.store(*(file_of("1.2.1", number) for number in range(100, 160)))
        operation = await operation_of(at.stores, ["1.2.1"], "Neu")
        operation = await slices(operation, at.stores, 1)
        await at.store(file_of("1.2.1", 0), file_of("1.2.1", 9))  # before and behind what is through

        async def another() -> None:
            await at.store(file_of("1.2.1", 500, 1))

        stores = interrupted(at.stores, another)
        operation = await slices(operation, stores)
        assert results(operation)["instanceUpdated"] == 63
        await at.store(file_of("1.2.1", 501, 1))
        names = {one["00080018"]["Value"][0]: named(one) for one in await at.metadata("1.2.1")}
        assert names.pop("1.2.1.1.501") == "Alt^Eva"
        assert set(names.values()) == {"Neu"}
        assert len(names) == 63


@pytest.mark.parametrize("scope", ["study", "series", "instance"])
async def test_a_delete_during_an_update_wins_and_leaves_nothing_behind(azurite, scope):
    async with desk(azurite.connection_string) as at:
        await at.store(*(file_of("1.2.1", number, number) for number in range(3)))
        await at.update(["1.2.1"], name_is("Eins"))
        operation = await operation_of(at.stores, ["1.2.1"], "Neu")
        path = {"study": "1.2.1", "series": "1.2.1/series/1.2.1.1", "instance": path_of("1.2.1", 1, 1)}[scope]

        async def deleted() -> None:
            assert (await at.front.ask("DELETE", f"/v2/studies/{path}")).status == 204

        stores = interrupted(at.stores, deleted)
        operation = await slices(operation, stores)
        await at.stores.deletion.settled()
        left = 0 if scope == "study" else 2
        assert results(operation)["instanceUpdated"] == left
        assert results(operation)["studyProcessed"] == 1
        assert operation.reason == ""
        report = await at.stores.fsck()
        assert report.broken == []
        assert report.counts["blobs"] == 2 * left
        if left:
            assert {named(one) for one in await at.metadata("1.2.1")} == {"Neu"}


async def test_an_instance_updated_while_it_is_deleted_leaves_no_blob(azurite):
    """The delete has written down what it will take away before the update comes in between."""
    async with desk(azurite.connection_string) as at:
        await at.store(*(file_of("1.2.1", number) for number in range(2)))
        write_batch = at.stores.deletion.jobs.write_batch
        done: list[Operation] = []

        async def and_updated(job: Any, number: int, rows: Any) -> Any:
            batch = await write_batch(job, number, rows)
            if not done:
                done.append(await slices(await operation_of(at.stores, ["1.2.1"], "Neu"), at.stores))
            return batch

        at.stores.deletion.jobs.write_batch = and_updated  # type: ignore[method-assign]  # the moment cannot be met otherwise
        assert (await at.front.ask("DELETE", f"/v2/studies/{path_of('1.2.1', 0)}")).status == 204
        await at.stores.deletion.settled()
        assert results(done[0])["instanceUpdated"] == 2
        report = await at.stores.fsck()
        assert (report.broken, report.counts["blobs"], report.counts["instances"]) == ([], 2, 1)


class LosesAnswers:
    """A fault that lets so many calls through; later ones are carried out, and their answers get lost."""

    def __init__(self, calls: int) -> None:
        self._left = calls

    def __call__(self, _request: object) -> str | None:
        self._left -= 1
        return "after" if self._left < 0 else None


async def test_what_storage_fails_is_made_up_for_by_the_next_slice(azurite):
    transport = WatchedTransport()
    settings = fresh_settings(azurite.connection_string)
    failing = open_stores(settings, transport)
    async with desk(azurite.connection_string, settings) as at:
        await at.store(*(file_of("1.2.1", number) for number in range(3)))
        saved = Saved(await operation_of(at.stores, ["1.2.1"], "Neu"))
        for cut in range(3, 40, 6):
            transport.fault = LosesAnswers(cut)
            with suppress(StoreUnavailable):
                await saved.go_on(failing)
            transport.fault = lambda _: None
        await saved.go_on(failing)
        await at.stores.operations.fail(saved.operation, "the test is over")
        await failing.writer._beat()
        await at.stores.sweep.run(AT_ONCE, AT_ONCE)
        await failing.close()
        await transport.close()
        await expect_updated(at, "1.2.1", [f"1.2.1.0.{number}" for number in range(3)], updates=1)
        report = await at.stores.fsck()
        assert (report.broken, report.counts["blobs"]) == ([], 6)
