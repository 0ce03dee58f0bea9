"""The engine of background work: slices, leases, errors, and messages that nobody can work off."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from shared.api import jobs
from shared.errors import StoreUnavailable
from shared.storage.keys import SCHEMA
from shared.storage.operations import OperationKind, OperationStatus, Progress
from shared.storage.operationstore import message
from shared.storage.stores import open_stores
from tests.storage.made import WorkerDied
from tests.support import numbers
from tests.support.jobs import messages, received, worked_off
from tests.support.numbers import expect_once, rows
from tests.support.numbers_app.counted import step
from tests.support.storage import WatchedTransport, fresh_settings

pytestmark = pytest.mark.azurite

EXPORT = OperationKind.EXPORT
NUMBERS = {EXPORT: step}
SECRET = "Doe^John"


@asynccontextmanager
async def workers(connection_string, count=1, lease_seconds=120):
    """Stores of so many workers on one empty account, and its connection string."""
    settings = fresh_settings(connection_string, lease_seconds=lease_seconds)
    opened = [open_stores(settings) for _ in range(count)]
    try:
        yield opened, settings.storage_connection
    finally:
        for stores in opened:
            await stores.close()


async def whole(stores) -> None:
    assert (await stores.fsck()).broken == []


async def ended(stores, operation_id) -> dict[str, object]:
    operation = await stores.operations.find(operation_id)
    assert operation.status is OperationStatus.SUCCEEDED
    return {"results": operation.results}


async def test_a_message_is_worked_on_until_the_operation_ends(azurite, caplog):
    caplog.set_level(logging.INFO, "shared.api.jobs")
    async with workers(azurite.connection_string) as ([stores], account):
        begun = await stores.operations.begin(EXPORT, numbers.work(23), alone="x")
        assert await worked_off(stores, account, NUMBERS, budget_seconds=60) == 1
        expect_once(await ended(stores, begun.id), await rows(stores, begun.id), 23)
        await whole(stores)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("slice ")]
    assert len(lines) == 5
    assert lines[0].startswith(f"slice kind=export id={begun.id} slice=1 ms=")
    assert lines[0].endswith("percent=21 status=running")
    assert lines[4].endswith("percent=100 status=succeeded")


async def test_when_time_is_up_the_next_message_goes_on(azurite):
    async with workers(azurite.connection_string, 2) as ([one, other], account):
        begun = await one.operations.begin(EXPORT, numbers.work(23))
        for place in range(5):
            assert await received(account) == [message(begun.id)]
            await jobs.run(message(begun.id), (one, other)[place % 2], NUMBERS, budget_seconds=0)
        assert await messages(account) == []
        expect_once(await ended(one, begun.id), await rows(one, begun.id), 23)


async def test_copies_of_a_message_do_no_slice_twice(azurite):
    async with workers(azurite.connection_string, 4) as (opened, account):
        begun = await opened[0].operations.begin(EXPORT, numbers.work(60))
        for _ in range(12):
            await opened[0].operations.post(begun.id)
        await asyncio.gather(*(worked_off(stores, account, NUMBERS) for stores in opened))
        expect_once(await ended(opened[0], begun.id), await rows(opened[0], begun.id), 60)


async def test_a_finished_or_unknown_operation_needs_nobody(azurite):
    async def never(operation, stores):
        raise AssertionError("nothing is to be done")

    async with workers(azurite.connection_string) as ([stores], account):
        begun = await stores.operations.begin(EXPORT, numbers.work(1))
        await jobs.run(message(begun.id), stores, NUMBERS)
        await jobs.run(message(begun.id), stores, {EXPORT: never})
        await jobs.run(message("0" * 32), stores, {EXPORT: never})
        await received(account)
        assert await messages(account) == []


@pytest.mark.parametrize("text", ["", "{}", "[]", "7", '{"schema": 99, "operation": "x"}', '{"schema": 1}', "\udcff"])
async def test_a_message_that_cannot_be_understood_is_refused_and_then_dropped(azurite, text):
    async with workers(azurite.connection_string) as ([stores], account):
        with pytest.raises(jobs.BadMessage):
            await jobs.run(text, stores, NUMBERS)
        await jobs.poison(text, stores)
        assert await messages(account) == []


async def test_a_message_of_the_release_before_is_worked_on(azurite):
    async with workers(azurite.connection_string) as ([stores], _):
        begun = await stores.operations.begin(EXPORT, numbers.work(3))
        earlier = message(begun.id).replace(f'"schema":{SCHEMA}', f'"schema":{SCHEMA - 1}')
        assert earlier != message(begun.id)
        await jobs.run(earlier, stores, NUMBERS)
        expect_once(await ended(stores, begun.id), await rows(stores, begun.id), 3)


async def test_work_that_nobody_here_does_is_left_for_another_deployment(azurite):
    async with workers(azurite.connection_string) as ([stores], account):
        begun = await stores.operations.begin(OperationKind.UPDATE, {})
        for _ in range(7):
            with pytest.raises(jobs.BadMessage):
                await jobs.run(message(begun.id), stores, NUMBERS)
        await received(account)
        await jobs.poison(message(begun.id), stores)
        left = await stores.operations.find(begun.id)
        assert (left.finished, left.holder, left.tries) == (False, "", 0)


async def test_a_step_that_says_it_failed_ends_the_operation(azurite):
    async def refuse(operation, stores):
        return Progress(operation.state, results={"exported": 0}, failed="The container is gone.")

    async with workers(azurite.connection_string) as ([stores], _):
        begun = await stores.operations.begin(EXPORT, {}, alone="x")
        await jobs.run(message(begun.id), stores, {EXPORT: refuse})
        failed = await stores.operations.find(begun.id)
        assert (failed.status, failed.reason) == (OperationStatus.FAILED, "The container is gone.")
        assert failed.results == {"exported": 0}
        await stores.operations.begin(EXPORT, {}, alone="x")
        await whole(stores)


async def test_an_error_of_the_work_is_tried_five_times_and_then_fails_the_operation(azurite, caplog):
    async def stumble(operation, stores):
        raise KeyError(SECRET)

    async with workers(azurite.connection_string) as ([stores], _):
        begun = await stores.operations.begin(EXPORT, {"n": 1}, alone="x")
        for tries in range(1, 6):
            with pytest.raises(jobs.StepFailed) as failed:
                await jobs.run(message(begun.id), stores, {EXPORT: stumble})
            assert SECRET not in str(failed.value)
            assert failed.value.__cause__ is failed.value.__context__ is None
            found = await stores.operations.find(begun.id)
            assert (found.holder, found.tries, found.fault) == ("", tries, "KeyError")
        await jobs.poison(message(begun.id), stores)
        found = await stores.operations.find(begun.id)
        assert found.status is OperationStatus.FAILED
        assert "5 tries" in found.reason
        assert "KeyError" in found.reason
        await stores.operations.begin(EXPORT, {}, alone="x")
        await whole(stores)
    assert SECRET not in caplog.text
    assert "test_jobs.py" in caplog.text


async def test_storage_that_is_away_fails_no_operation(azurite):
    async def unlucky(operation, stores):
        raise StoreUnavailable

    async with workers(azurite.connection_string) as ([stores], account):
        begun = await stores.operations.begin(EXPORT, numbers.work(3))
        for _ in range(jobs.MOST_TRIES + 5):
            with pytest.raises(StoreUnavailable):
                await jobs.run(message(begun.id), stores, {EXPORT: unlucky})
        await received(account)
        await jobs.poison(message(begun.id), stores)
        found = await stores.operations.find(begun.id)
        assert (found.finished, found.tries, found.holder) == (False, 0, "")
        await jobs.run(message(begun.id), stores, NUMBERS)
        expect_once(await ended(stores, begun.id), await rows(stores, begun.id), 3)


async def test_a_slice_between_two_faults_starts_the_count_anew(azurite):
    fail = [True, True, True, True, False, True, True, True, True]

    async def now_and_then(operation, stores):
        if fail.pop(0):
            raise RuntimeError
        return await step(operation, stores)

    async with workers(azurite.connection_string) as ([stores], _):
        begun = await stores.operations.begin(EXPORT, numbers.work(30))
        while fail:
            try:
                await jobs.run(message(begun.id), stores, {EXPORT: now_and_then}, budget_seconds=0)
            except jobs.StepFailed:
                await jobs.poison(message(begun.id), stores)
        found = await stores.operations.find(begun.id)
        assert (found.finished, found.tries, found.slices) == (False, 4, 1)


async def test_work_that_kills_every_worker_comes_to_an_end(azurite):
    async def deadly(operation, stores):
        raise WorkerDied

    async with workers(azurite.connection_string, lease_seconds=0) as ([stores], _):
        begun = await stores.operations.begin(EXPORT, {}, alone="x")
        for _ in range(jobs.MOST_TRIES):
            with pytest.raises(WorkerDied):
                await jobs.run(message(begun.id), stores, {EXPORT: deadly})
        await jobs.run(message(begun.id), stores, {EXPORT: deadly})
        found = await stores.operations.find(begun.id)
        assert found.status is OperationStatus.FAILED
        await whole(stores)


async def test_a_long_slice_keeps_its_lease(azurite):
    async def slow(operation, stores):
        await asyncio.sleep(2.2)
        return await step(operation, stores)

    async with workers(azurite.connection_string, 2, lease_seconds=1) as ([one, other], account):
        begun = await one.operations.begin(EXPORT, numbers.work(5))
        await received(account)
        working = asyncio.create_task(jobs.run(message(begun.id), one, {EXPORT: slow}))
        until = time.monotonic() + 1.8
        while time.monotonic() < until:
            await asyncio.sleep(0.3)
            await jobs.run(message(begun.id), other, NUMBERS)
            assert await jobs.wake(other) == 0
        await working
        expect_once(await ended(one, begun.id), await rows(one, begun.id), 5)
        assert (await one.operations.find(begun.id)).slices == 1


async def test_a_worker_that_lost_its_lease_is_cut_off_and_says_nothing(azurite):
    """The first one's renewals do not come through for a while; another one takes over and finishes."""
    settings = fresh_settings(azurite.connection_string, lease_seconds=1)
    transport = WatchedTransport()
    first, second = open_stores(settings, transport), open_stores(settings)
    cut_off = []

    async def stuck(operation, stores):
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            cut_off.append(operation.id)
            raise

    try:
        begun = await second.operations.begin(EXPORT, numbers.work(5))
        working = asyncio.create_task(jobs.run(message(begun.id), first, {EXPORT: stuck}))
        await asyncio.sleep(0.3)
        transport.fault = lambda _: "before"
        await asyncio.sleep(1.3)
        await jobs.run(message(begun.id), second, NUMBERS)
        transport.fault = lambda _: None
        await asyncio.wait_for(working, 10)
        assert cut_off == [begun.id]
        expect_once(await ended(second, begun.id), await rows(second, begun.id), 5)
    finally:
        await first.close()
        await second.close()
        await transport.close()


async def test_a_worker_that_is_stopped_hands_its_operation_on(azurite):
    begun_to_work = asyncio.Event()

    async def endless(operation, stores):
        begun_to_work.set()
        await asyncio.Event().wait()

    async with workers(azurite.connection_string) as ([stores], account):
        begun = await stores.operations.begin(EXPORT, numbers.work(5))
        await received(account)
        working = asyncio.create_task(jobs.run(message(begun.id), stores, {EXPORT: endless}))
        await asyncio.wait_for(begun_to_work.wait(), 10)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert await messages(account) == [message(begun.id)]
        await jobs.run(message(begun.id), stores, NUMBERS)
        expect_once(await ended(stores, begun.id), await rows(stores, begun.id), 5)


async def test_a_progress_that_no_row_takes_is_a_fault_of_the_work(azurite):
    async def swell(operation, stores):
        return Progress({"noise": [hash((operation.id, place)) for place in range(120_000)]})

    async with workers(azurite.connection_string) as ([stores], _):
        begun = await stores.operations.begin(EXPORT, {})
        with pytest.raises(jobs.StepFailed):
            await jobs.run(message(begun.id), stores, {EXPORT: swell})
        assert (await stores.operations.find(begun.id)).fault == "ValueError"


async def test_the_timer_posts_what_was_left_lying_once(azurite):
    async with workers(azurite.connection_string, lease_seconds=1) as ([stores], account):
        dead = await stores.operations.begin(EXPORT, numbers.work(7))
        finished = await stores.operations.begin(EXPORT, numbers.work(1))
        await jobs.run(message(finished.id), stores, NUMBERS)
        await stores.operations.take(dead.id, "dies at once")
        await received(account)
        assert await jobs.wake(stores) == 0
        await asyncio.sleep(1.1)
        assert await jobs.wake(stores) == 1
        assert await jobs.wake(stores) == 0
        assert await worked_off(stores, account, NUMBERS) == 2
        expect_once(await ended(stores, dead.id), await rows(stores, dead.id), 7)


async def test_a_poisoned_message_of_an_operation_that_goes_on_changes_nothing(azurite):
    async with workers(azurite.connection_string) as ([stores], account):
        begun = await stores.operations.begin(EXPORT, numbers.work(7))
        await received(account)
        taken = await stores.operations.take(begun.id, "w")
        await jobs.poison(message(begun.id), stores)
        assert await stores.operations.find(begun.id) == taken
        await stores.operations.save(taken, Progress(done=True))
        await jobs.poison(message(begun.id), stores)
        await jobs.poison(message("0" * 32), stores)
        assert await messages(account) == []


@pytest.mark.parametrize("cut", range(9))
async def test_a_worker_that_dies_at_any_call_leaves_nothing_undone_or_done_twice(azurite, cut):
    """Cut off between any two calls to storage; another one goes on when the lease is over."""
    settings = fresh_settings(azurite.connection_string, lease_seconds=1)
    transport = WatchedTransport()
    dying, living = open_stores(settings, transport), open_stores(settings)
    calls = iter(range(1000))

    def dies(_request):
        if next(calls) >= cut:
            raise WorkerDied

    try:
        begun = await living.operations.begin(EXPORT, numbers.work(7), alone="x")
        await received(settings.storage_connection)
        transport.fault = dies
        with pytest.raises(WorkerDied):
            await jobs.run(message(begun.id), dying, NUMBERS)
        later = datetime.now(UTC) + timedelta(seconds=5)
        for stale in await living.operations.stale(later):
            held = stale.until - datetime.now(UTC) if stale.until else timedelta(0)
            await asyncio.sleep(max(0.0, held.total_seconds()))
            await living.operations.post_again(stale)
        await worked_off(living, settings.storage_connection, NUMBERS)
        expect_once(await ended(living, begun.id), await rows(living, begun.id), 7)
        await whole(living)
    finally:
        await living.close()
        await transport.close()
