"""What is deleted is gone from rows, search rows, feed and blobs; what remains is as if it had been alone."""

from __future__ import annotations

import asyncio
import functools
from urllib.parse import unquote

import pytest

from shared.errors import NotFound
from shared.storage.deletejobs import DeleteJob
from shared.storage.keys import main_table
from tests.storage.made import DEFAULT, WorkerDied, blob_names, covering_rows, rows, store
from tests.support.storage import Pause, describe, watched_stores, workers

pytestmark = pytest.mark.azurite
SLOW = pytest.mark.slow


async def everything(stores) -> dict[str, int]:
    """How much of each kind there is."""
    main = [row for shard in range(16) for row in await rows(stores, f"main{shard:02d}")]
    return {
        "instances": sum("blob" in row for row in main),
        "other rows": sum("blob" not in row for row in main),
        "studies": len(await covering_rows(stores, "log")),
        "series": len(await covering_rows(stores, "ser")),
        "blobs": len([name for name in await blob_names(stores) if not name.startswith("packs/")]),
        "jobs": len([row for row in await rows(stores, "work") if row["PartitionKey"] == "delete"]),
    }


NOTHING = {"instances": 0, "other rows": 0, "studies": 0, "series": 0, "blobs": 0, "jobs": 0}


async def deletes(stores) -> list[str]:
    found = [row for row in await rows(stores, "feed") if row["action"] == "Delete"]
    return sorted(str(row["instance"]) for row in found)


async def test_a_deleted_study_leaves_nothing_but_its_events(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        sops = [f"1.2.9.{number}" for number in range(120)]
        await store(stores, "1.2.9", sops[:60], series="1.2.3.1")
        await store(stores, "1.2.9", sops[60:], series="1.2.3.2")
        await stores.deletion.study(DEFAULT, "1.2.9")
        assert [page async for page in stores.instances.pages(DEFAULT, "1.2.9")] == []
        await stores.deletion.settled()
        assert await everything(stores) == NOTHING
        assert await deletes(stores) == sorted(sops)
        with pytest.raises(NotFound):
            await stores.deletion.study(DEFAULT, "1.2.9")


async def test_a_deleted_series_leaves_the_others(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.9", ["1.2.9.1"], series="1.2.3.1", modality="CT", name="Old")
        await store(stores, "1.2.9", ["1.2.9.2", "1.2.9.3"], series="1.2.3.2", modality="MR", name="New")
        await stores.deletion.series(DEFAULT, "1.2.9", "1.2.3.2")
        await stores.deletion.settled()
        assert await everything(stores) == {
            "instances": 1, "other rows": 4, "studies": 1, "series": 1, "blobs": 1, "jobs": 0,
        }  # fmt: skip
        (covering,) = await covering_rows(stores, "log")
        assert covering["modalities"] == "CT"
        assert [len(page) async for page in stores.instances.pages(DEFAULT, "1.2.9")] == [1]


async def test_the_last_series_takes_its_study_along(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.9", ["1.2.9.1", "1.2.9.2"])
        await stores.deletion.series(DEFAULT, "1.2.9", "1.2.3")
        await stores.deletion.settled()
        assert await everything(stores) == NOTHING


async def test_a_deleted_instance_leaves_its_series_with_the_newest_of_the_rest(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        for number in range(3):
            await store(stores, "1.2.9", [f"1.2.9.{number}"])
        await stores.deletion.instance(DEFAULT, "1.2.9", "1.2.3", "1.2.9.2")
        await stores.deletion.settled()
        by_row = {str(row["RowKey"]): row for row in await rows(stores, main_table("1.2.9"))}
        assert by_row["1.2.3!"]["newest"] == by_row["!"]["newest"] == "1.2.3!1.2.9.1"
        assert await deletes(stores) == ["1.2.9.2"]
        assert len(await blob_names(stores)) == 2
        with pytest.raises(NotFound):
            await stores.deletion.instance(DEFAULT, "1.2.9", "1.2.3", "1.2.9.2")


async def test_the_last_instance_takes_series_and_study_along(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.9", ["1.2.9.1"])
        await stores.deletion.instance(DEFAULT, "1.2.9", "1.2.3", "1.2.9.1")
        await stores.deletion.settled()
        assert await everything(stores) == NOTHING


async def test_a_deleted_instance_can_be_stored_again_at_once(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        for _ in range(3):
            assert await store(stores, "1.2.9", ["1.2.9.1"]) == [True]
            await stores.deletion.study(DEFAULT, "1.2.9")
        assert await store(stores, "1.2.9", ["1.2.9.1"]) == [True]
        await stores.deletion.settled()
        assert (await everything(stores))["blobs"] == 1


async def outcome(work) -> bool:
    try:
        await work
    except NotFound:
        return False
    return True


async def test_of_concurrent_deletes_one_is_told_that_it_did_it(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.9", ["1.2.9.1", "1.2.9.2"])
        one = await asyncio.gather(
            *(outcome(stores.deletion.instance(DEFAULT, "1.2.9", "1.2.3", "1.2.9.1")) for _ in range(6))
        )
        assert sum(one) == 1
        whole = await asyncio.gather(*(outcome(stores.deletion.study(DEFAULT, "1.2.9")) for _ in range(6)))
        assert sum(whole) == 1
        await stores.deletion.settled()
        assert await everything(stores) == NOTHING
        assert await deletes(stores) == ["1.2.9.1", "1.2.9.2"]


async def test_stores_racing_deletes_end_in_one_of_the_two_orders(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.9", [f"1.2.9.{n}" for n in range(5)])

        async def writer(number: int) -> None:
            for turn in range(4):
                await store(stores, "1.2.9", [f"1.2.9.{number}.{turn}"], series=f"1.2.3.{turn % 2}")

        async def deleter(number: int) -> None:
            for turn in range(3):
                if number % 2:
                    await outcome(stores.deletion.study(DEFAULT, "1.2.9"))
                else:
                    await outcome(stores.deletion.series(DEFAULT, "1.2.9", f"1.2.3.{turn % 2}"))

        await asyncio.gather(*(writer(n) for n in range(4)), *(deleter(n) for n in range(4)))
        await stores.deletion.settled()
        found = await everything(stores)
        events = await rows(stores, "feed")
        created = sum(row["action"] == "Create" for row in events)
        assert found["instances"] == found["blobs"] == created - len(await deletes(stores))
        pages = [page async for page in stores.instances.pages(DEFAULT, "1.2.9")]
        assert sum(map(len, pages)) == found["instances"]
        assert (
            sum([len(page) async for page in stores.instances.metadata_pages(DEFAULT, "1.2.9")]) == found["instances"]
        )
        assert found["studies"] == (1 if found["instances"] else 0)
        assert found["series"] * 2 + found["studies"] * 2 == found["other rows"]
        assert found["jobs"] == 0


CALLS = 40


@pytest.mark.parametrize(
    "scope", [*(pytest.param(one, marks=SLOW) for one in ("study", "series", "instance")), "last instance"]
)
async def test_a_delete_cut_off_at_any_call_is_finished_or_never_happened(azurite, scope):
    """The worker dies before its first, second, third … call; another one resumes whatever was written down."""
    for cut in range(CALLS):
        async with watched_stores(azurite.connection_string) as (stores, transport):
            partition = await stores.partition_or_new("other")
            many = scope != "last instance"
            sops = ["1.2.9.1", "1.2.9.2"] if many else ["1.2.9.1"]
            await store(stores, "1.2.9", sops, partition=partition, series="1.2.3.1", modality="CT")
            if many:
                await store(stores, "1.2.9", ["1.2.9.3"], partition=partition, series="1.2.3.2", modality="MR")
            name, uids = {
                "study": ("study", ()),
                "series": ("series", ("1.2.3.2",)),
                "instance": ("instance", ("1.2.3.1", "1.2.9.2")),
                "last instance": ("instance", ("1.2.3.1", "1.2.9.1")),
            }[scope]
            work = functools.partial(getattr(stores.deletion, name), partition, "1.2.9", *uids)
            died = await cut_off(stores, transport, work, cut)
            for job in [job async for job in stores.deletion.jobs.all()]:
                await stores.deletion.resume(job)
                await stores.deletion.resume(job)
            left = await everything(stores)
            events = await deletes(stores)
            total = 3 if many else 1
            assert left["instances"] == left["blobs"] == total - len(events), (cut, left, events)
            assert len(set(events)) == len(events)
            assert left["jobs"] == 0
            pages = [page async for page in stores.instances.pages(partition, "1.2.9")]
            assert sum(map(len, pages)) == left["instances"]
            series = {one.series_uid for page in pages for one in page}
            assert (left["series"], left["studies"]) == (len(series), int(bool(series))), (cut, left)
            assert left["other rows"] == 2 * len(series) + 2 * int(bool(series))
            if not died:
                return
    pytest.fail("a delete takes more calls than were tried")


async def cut_off(stores, transport, work, after: int) -> bool:
    """Do some work, and let the worker die before its call number `after`; True when it came to that."""
    calls = 0

    def fault(request) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise WorkerDied(describe(request))

    transport.fault = fault
    died = False
    try:
        await work()
        await stores.deletion.settled()
    except WorkerDied:
        died = True
    transport.fault = lambda _: None
    return died


async def test_a_job_that_never_began_is_forgotten(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await store(stores, "1.2.9", ["1.2.9.1"])
        job = await stores.deletion.jobs.begin(DEFAULT, "1.2.9")
        assert isinstance(job, DeleteJob)
        await stores.deletion.resume(job)
        assert (await everything(stores))["instances"] == 1
        assert (await everything(stores))["jobs"] == 0


async def test_deletes_of_a_study_and_of_its_series_tell_of_each_instance_once(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        for turn in range(6):
            study = f"1.2.9.{turn}"
            for series in range(3):
                await store(stores, study, [f"{study}.{series}.{n}" for n in range(4)], series=f"1.2.3.{series}")
            await asyncio.gather(
                outcome(stores.deletion.study(DEFAULT, study)),
                *(outcome(stores.deletion.series(DEFAULT, study, f"1.2.3.{series}")) for series in range(3)),
            )
        await stores.deletion.settled()
        assert await everything(stores) == NOTHING
        told = await deletes(stores)
        assert len(told) == len(set(told)) == 6 * 12
        assert (await stores.fsck()).broken == []


def asks_for_instances_of_first_series(request) -> bool:
    return "RowKey ge '1.2.3.1!'" in unquote(request.url) and "blob ge" in unquote(request.url)


async def test_a_delete_that_finds_the_other_series_empty_goes_on(azurite):
    """Its list of series is older than its list of instances, because another delete came in between."""
    async with workers(azurite.connection_string, 2) as ((held, transport), (other, _)):
        await store(held, "1.2.9", ["1.2.9.1"], series="1.2.3.1")
        await store(held, "1.2.9", ["1.2.9.2"], series="1.2.3.2")
        pause = Pause(transport, 0, asks_for_instances_of_first_series)
        deleting = asyncio.create_task(held.deletion.instance(DEFAULT, "1.2.9", "1.2.3.2", "1.2.9.2"))
        await pause.reached.wait()
        await other.deletion.instance(DEFAULT, "1.2.9", "1.2.3.1", "1.2.9.1")
        await other.deletion.settled()
        pause.go()
        await deleting
        await held.deletion.settled()
        assert await everything(held) == NOTHING
        assert await deletes(held) == ["1.2.9.1", "1.2.9.2"]


async def test_deletes_of_all_instances_at_once_leave_nothing(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        places = [(f"1.2.3.{number % 3}", f"1.2.9.{number}") for number in range(9)]
        for series, sop in places:
            await store(stores, "1.2.9", [sop], series=series, name=sop)
        done = await asyncio.gather(
            *(outcome(stores.deletion.instance(DEFAULT, "1.2.9", series, sop)) for series, sop in places)
        )
        await stores.deletion.settled()
        assert all(done)
        assert await everything(stores) == NOTHING
        assert (await stores.fsck()).broken == []
