"""Operations on the emulator: begun once, worked on by one worker at a time, ended with everything beside them."""

from __future__ import annotations

import asyncio
import base64
import random
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import OperationRunning, StoreUnavailable, Superseded
from shared.storage import oldoperations
from shared.storage.longjson import LONGEST_BYTES
from shared.storage.operations import OperationKind, OperationStatus, Progress, new_operation_id
from shared.storage.operationstore import message
from shared.storage.stores import open_stores
from tests.storage.made import rows
from tests.support.jobs import messages
from tests.support.storage import WatchedTransport, fresh_settings

pytestmark = pytest.mark.azurite

EXPORT = OperationKind.EXPORT
LEASE = timedelta(seconds=120)


@asynccontextmanager
async def store(connection_string, **settings):
    chosen = fresh_settings(connection_string, **settings)
    transport = WatchedTransport()
    stores = open_stores(chosen, transport)
    try:
        yield stores, transport, chosen.storage_connection
    finally:
        transport.fault = lambda _: None
        await stores.close()
        await transport.close()


async def keys(stores) -> list[str]:
    return [str(row["RowKey"]) for row in await rows(stores, "ops")]


async def test_an_operation_is_begun_with_one_transaction_and_one_message(azurite):
    async with store(azurite.connection_string) as (stores, transport, account):
        first = await stores.operations.begin(EXPORT, {}, alone="warm")
        async with transport.holding():
            begun = await stores.operations.begin(EXPORT, {"at": 1}, resources=["studies/1.2"], alone="export")
        assert transport.calls == ["transaction ops", "POST blob"]
        assert transport.rounds == 2
        assert await messages(account) == [message(first.id), message(begun.id)]
        found = await stores.operations.find(begun.id)
    assert found is not None
    assert (found.kind, found.status, found.state) == (EXPORT, OperationStatus.NOT_STARTED, {"at": 1})
    assert (found.resources, found.percent, found.results, found.alone) == (("studies/1.2",), None, None, "export")
    assert found.created.tzinfo is UTC
    assert len(found.id) == 32


async def test_what_is_not_there_is_not_found(azurite):
    async with store(azurite.connection_string) as (stores, _, _account):
        assert await stores.operations.find(new_operation_id()) is None
        assert await stores.operations.take(new_operation_id(), "w") is None
        assert await stores.operations.stale(datetime.now(UTC)) == []


async def test_only_one_operation_holds_a_lock_until_it_ends(azurite):
    async with store(azurite.connection_string) as (stores, _, _account):
        first = await stores.operations.begin(EXPORT, {}, alone="export")
        with pytest.raises(OperationRunning) as refused:
            await stores.operations.begin(EXPORT, {}, alone="export")
        assert refused.value.operation_id == first.id
        await stores.operations.begin(EXPORT, {}, alone="another")
        taken = await stores.operations.take(first.id, "w")
        ended = await stores.operations.save(taken, Progress(done=True))
        assert ended.finished
        again = await stores.operations.begin(EXPORT, {}, alone="export")
        assert again.id != first.id


async def test_of_many_at_once_one_gets_the_lock_and_the_others_hear_its_id(azurite):
    async with store(azurite.connection_string) as (stores, _, _account):
        endings = await asyncio.gather(
            *(stores.operations.begin(EXPORT, {}, alone="x") for _ in range(12)), return_exceptions=True
        )
        begun = [one for one in endings if not isinstance(one, BaseException)]
        assert len(begun) == 1
        assert {one.operation_id for one in endings if isinstance(one, OperationRunning)} == {begun[0].id}


async def test_an_operation_with_an_id_of_its_own_begins_once(azurite):
    async with store(azurite.connection_string) as (stores, _, _account):
        chosen = new_operation_id()
        first = await stores.operations.begin(EXPORT, {"n": 1}, alone="x", operation_id=chosen)
        second = await stores.operations.begin(EXPORT, {"n": 2}, alone="x", operation_id=chosen)
        assert (first.id, second.id, second.state) == (chosen, chosen, {"n": 1})


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_an_operation_whose_first_answer_is_lost_is_begun_all_the_same(azurite, lost):
    async with store(azurite.connection_string) as (stores, transport, _):
        await stores.operations.begin(EXPORT, {}, alone="warm")
        left = [lost]
        transport.fault = lambda request: left.pop() if left and request.url.endswith("$batch") else None
        begun = await stores.operations.begin(EXPORT, {"n": 1}, alone="x")
        assert not left
        assert (await stores.operations.find(begun.id)).state == {"n": 1}
        assert len([key for key in await keys(stores) if key.startswith("o~")]) == 2


async def test_an_operation_whose_message_is_lost_is_begun_and_soon_stale(azurite):
    async with store(azurite.connection_string) as (stores, transport, account):
        transport.fault = lambda request: "before" if "/messages" in request.url else None
        begun = await stores.operations.begin(EXPORT, {})
        transport.fault = lambda _: None
        assert await messages(account) == []
        now = datetime.now(UTC)
        assert await stores.operations.stale(now) == []
        stale = await stores.operations.stale(now + LEASE)
        assert [one.id for one in stale] == [begun.id]
        await stores.operations.post_again(stale[0])
        assert await messages(account) == [message(begun.id)]
        assert await stores.operations.stale(now + LEASE) == []


async def test_a_worker_has_an_operation_alone_until_its_lease_ends(azurite):
    async with store(azurite.connection_string, lease_seconds=1) as (stores, _, _account):
        begun = await stores.operations.begin(EXPORT, {})
        first = await stores.operations.take(begun.id, "first")
        assert (first.status, first.tries, first.holder) == (OperationStatus.RUNNING, 1, "first")
        assert await stores.operations.take(begun.id, "second") is None
        await asyncio.sleep(1.1)
        second = await stores.operations.take(begun.id, "second")
        assert (second.holder, second.tries) == ("second", 2)
        for late in (
            stores.operations.save(first, Progress({"lost": True})),
            stores.operations.save(first, Progress(done=True)),
            stores.operations.renew(first),
            stores.operations.release(first),
            stores.operations.fail(first, "late"),
        ):
            with pytest.raises(Superseded):
                await late
        assert await stores.operations.find(begun.id) == second


async def test_of_many_workers_one_gets_the_operation(azurite):
    async with store(azurite.connection_string) as (stores, _, _account):
        begun = await stores.operations.begin(EXPORT, {})
        taken = await asyncio.gather(*(stores.operations.take(begun.id, f"w{n}") for n in range(12)))
        assert len([one for one in taken if one is not None]) == 1


async def test_a_dead_worker_that_lives_again_is_not_robbed_of_what_it_renewed(azurite):
    """The second has read the row with the lease that is over; the first renews before the second writes."""
    async with store(azurite.connection_string, lease_seconds=1) as (stores, _, _account):
        begun = await stores.operations.begin(EXPORT, {})
        first = await stores.operations.take(begun.id, "first")
        await asyncio.sleep(1.1)
        reading = asyncio.Event()
        renewed = asyncio.Event()
        find = stores.operations.find

        async def slowly(operation_id):
            found = await find(operation_id)
            reading.set()
            await renewed.wait()
            return found

        stores.operations.find = slowly
        second = asyncio.create_task(stores.operations.take(begun.id, "second"))
        await reading.wait()
        first = await stores.operations.renew(first)
        renewed.set()
        assert await second is None
        assert (await find(begun.id)).holder == "first"
        assert (await stores.operations.save(first, Progress({"n": 1}))).slices == 1


async def test_saving_counts_the_slice_renews_the_lease_and_forgets_the_tries(azurite):
    async with store(azurite.connection_string) as (stores, _, _account):
        begun = await stores.operations.begin(EXPORT, {})
        taken = await stores.operations.take(begun.id, "w")
        saved = await stores.operations.save(taken, Progress({"n": 1}, 40, {"exported": 2}))
        assert await stores.operations.find(begun.id) == saved
        assert (saved.slices, saved.tries, saved.percent, saved.results) == (1, 0, 40, {"exported": 2})
        assert saved.until > taken.until
        released = await stores.operations.save(saved, Progress({"n": 2}), release=True)
        assert (released.holder, released.until, released.percent, released.results) == ("", None, None, None)
        assert (await stores.operations.take(begun.id, "other")).state == {"n": 2}


@pytest.mark.parametrize("lost", ["before", "after"])
@pytest.mark.parametrize("doing", ["renew", "save", "finish"])
async def test_a_write_whose_answer_is_lost_is_done_once(azurite, doing, lost):
    async with store(azurite.connection_string) as (stores, transport, _):
        begun = await stores.operations.begin(EXPORT, {}, alone="x")
        taken = await stores.operations.take(begun.id, "w")
        left = [lost]
        transport.fault = lambda request: left.pop() if left and request.method in ("PUT", "POST") else None
        if doing == "renew":
            held = await stores.operations.renew(taken)
        else:
            held = await stores.operations.save(taken, Progress({"n": 1}, done=doing == "finish"))
        assert not left
        assert held.slices == (doing != "renew")
        if doing == "finish":
            assert await keys(stores) == [f"o~{begun.id}"]
        else:
            assert (await stores.operations.save(held, Progress({"n": 2}))).slices == held.slices + 1


async def test_a_worker_whose_renewal_failed_half_way_still_has_its_operation(azurite):
    async with store(azurite.connection_string) as (stores, transport, _):
        begun = await stores.operations.begin(EXPORT, {})
        taken = await stores.operations.take(begun.id, "w")
        calls = iter(range(100))
        # The first try is carried out, its answer lost, and storage is away for the rest.
        transport.fault = lambda _: "after" if next(calls) == 0 else "before"
        with pytest.raises(StoreUnavailable):
            await stores.operations.renew(taken)
        transport.fault = lambda _: None
        assert (await stores.operations.find(begun.id)).etag != taken.etag
        assert (await stores.operations.save(taken, Progress({"n": 1}))).state == {"n": 1}
        with pytest.raises(Superseded):
            await stores.operations.save(taken, Progress({"n": 2}))


@pytest.mark.parametrize("progress", [Progress(done=True), Progress(failed="Nothing goes any more.")])
async def test_the_end_takes_away_the_lock_and_the_mark_of_the_unfinished(azurite, progress):
    async with store(azurite.connection_string) as (stores, _, _account):
        begun = await stores.operations.begin(EXPORT, {}, alone="x")
        assert await keys(stores) == ["lock~x", f"open~{begun.id}", f"o~{begun.id}"]
        taken = await stores.operations.take(begun.id, "w")
        ended = await stores.operations.save(taken, progress)
        assert await keys(stores) == [f"o~{begun.id}"]
        assert ended.status == (OperationStatus.FAILED if progress.failed else OperationStatus.SUCCEEDED)
        assert (ended.reason, ended.holder, ended.until) == (progress.failed, "", None)
        assert await stores.operations.take(begun.id, "w2") is None
        assert await stores.operations.stale(datetime.now(UTC) + timedelta(days=9)) == []


async def test_an_operation_that_cannot_go_on_fails_and_gives_its_lock_back(azurite):
    async with store(azurite.connection_string) as (stores, _, _account):
        begun = await stores.operations.begin(EXPORT, {"n": 1}, alone="x")
        await stores.operations.fail(await stores.operations.find(begun.id), "It never went.")
        failed = await stores.operations.find(begun.id)
        assert (failed.status, failed.reason, failed.state) == (OperationStatus.FAILED, "It never went.", {})
        await stores.operations.begin(EXPORT, {}, alone="x")


async def test_an_operation_of_a_dead_worker_is_stale_when_its_lease_is_over(azurite):
    async with store(azurite.connection_string) as (stores, _, _account):
        begun = await stores.operations.begin(EXPORT, {})
        taken = await stores.operations.take(begun.id, "w")
        assert await stores.operations.stale(taken.until - timedelta(seconds=1)) == []
        assert [one.id for one in await stores.operations.stale(taken.until)] == [begun.id]


async def test_a_released_operation_is_stale_when_its_message_stays_away(azurite):
    async with store(azurite.connection_string) as (stores, _, _account):
        begun = await stores.operations.begin(EXPORT, {})
        released = await stores.operations.save(
            await stores.operations.take(begun.id, "w"), Progress({"n": 1}), release=True
        )
        assert await stores.operations.stale(released.updated + LEASE - timedelta(seconds=1)) == []
        assert [one.id for one in await stores.operations.stale(released.updated + LEASE)] == [begun.id]


async def test_looking_for_stale_operations_does_not_read_finished_ones(azurite):
    async with store(azurite.connection_string) as (stores, transport, _):
        for _ in range(6):
            begun = await stores.operations.begin(EXPORT, {})
            await stores.operations.save(await stores.operations.take(begun.id, "w"), Progress(done=True))
        await stores.operations.begin(EXPORT, {})
        transport.forget()
        assert len(await stores.operations.stale(datetime.now(UTC) + LEASE)) == 1
        assert transport.calls == ["GET rows ops", "GET row ops"]


async def test_a_long_state_comes_back_as_it_was(azurite):
    async with store(azurite.connection_string) as (stores, _, _account):
        long = {"uids": [f"2.25.{number * 7919**5}" for number in range(12000)]}
        begun = await stores.operations.begin(EXPORT, long)
        taken = await stores.operations.take(begun.id, "w")
        assert taken.state == long
        saved = await stores.operations.save(taken, Progress({"n": 1}, results=long))
        assert (saved.state, saved.results) == ({"n": 1}, long)
        assert await stores.operations.find(begun.id) == saved


async def test_a_state_that_no_row_takes_is_refused_before_anything_is_written(azurite):
    async with store(azurite.connection_string) as (stores, _, _account):
        noise = base64.b64encode(random.Random(1).randbytes(LONGEST_BYTES + 1000)).decode()
        with pytest.raises(ValueError, match="state"):
            await stores.operations.begin(EXPORT, {"noise": noise})
        assert await keys(stores) == []


async def test_operations_that_ended_long_ago_are_forgotten_and_others_are_not(azurite):
    async with store(azurite.connection_string) as (stores, _, _account):
        ended = []
        for _ in range(3):
            begun = await stores.operations.begin(EXPORT, {})
            taken = await stores.operations.take(begun.id, "w")
            ended.append(await stores.operations.save(taken, Progress(done=True)))
        failed = await stores.operations.begin(EXPORT, {}, alone="export")
        await stores.operations.fail(await stores.operations.find(failed.id), "for a reason")
        begun = await stores.operations.begin(EXPORT, {})
        running = await stores.operations.take((await stores.operations.begin(EXPORT, {})).id, "w")
        between = ended[1].updated + (ended[2].updated - ended[1].updated) / 2
        assert await oldoperations.forget(stores._tables, between, most=1) == 1
        assert await oldoperations.forget(stores._tables, between) == 1
        assert await oldoperations.forget(stores._tables, between) == 0
        assert [await stores.operations.find(one.id) is None for one in ended] == [True, True, False]
        assert await oldoperations.forget(stores._tables, datetime.now(UTC)) == 2
        left = {key for key in await keys(stores) if key.startswith("o~")}
        assert left == {f"o~{begun.id}", f"o~{running.id}"}
        assert (await stores.fsck()).broken == []


async def test_the_sweep_forgets_operations_after_90_days(azurite, monkeypatch):
    async with store(azurite.connection_string) as (stores, _, _account):
        begun = await stores.operations.begin(EXPORT, {})
        await stores.operations.save(await stores.operations.take(begun.id, "w"), Progress(done=True))
        assert timedelta(days=90) == oldoperations.KEPT
        assert (await stores.sweep.run()).operations_forgotten == 0
        monkeypatch.setattr(oldoperations, "KEPT", timedelta(0))
        assert (await stores.sweep.run()).operations_forgotten == 1
        assert await stores.operations.find(begun.id) is None


async def test_two_sweeps_at_once_forget_each_operation_once(azurite):
    async with store(azurite.connection_string) as (stores, _, _account):
        for _ in range(4):
            begun = await stores.operations.begin(EXPORT, {})
            await stores.operations.save(await stores.operations.take(begun.id, "w"), Progress(done=True))
        now = datetime.now(UTC)
        done = await asyncio.gather(*(oldoperations.forget(stores._tables, now) for _ in range(2)))
        assert sorted(done) == [0, 4]
        assert await keys(stores) == []
