"""Adding tags while the service works: nothing slips between a store and the walk, and what is cut off goes on."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import timedelta

import pytest

from shared.api import jobs
from shared.storage import tagwalk
from tests.querytags.made import Service, another_worker, file, service, tag
from tests.storage.made import DiesAfter, WorkerDied
from tests.support.jobs import received
from tests.support.storage import Pause

pytestmark = pytest.mark.azurite

TAGS = (tag("PatientSex", "Study"), tag("SeriesNumber", "Series"), tag("InstanceNumber", "Instance"))


def study(number: int, instances: int = 3, **extra: object) -> list[bytes]:
    said = {"PatientSex": "F", "SeriesNumber": number, **extra}
    return [
        file(f"1.2.{number}", f"1.3.{number}", f"1.4.{number}.{one}", InstanceNumber=one, **said)
        for one in range(1, instances + 1)
    ]


async def expect_all_found(one: Service, studies: int, instances: int = 3) -> None:
    assert sorted(await one.found("studies", PatientSex="F")) == sorted(f"1.2.{n}" for n in range(studies))
    for number in range(studies):
        assert await one.found("series", SeriesNumber=str(number)) == [f"1.3.{number}"]
    for place in range(1, instances + 1):
        expected = sorted(f"1.4.{number}.{place}" for number in range(studies))
        assert sorted(await one.found("instances", InstanceNumber=str(place))) == expected


async def test_a_walk_in_many_slices_indexes_everything_and_says_how_far_it_is(azurite, monkeypatch):
    monkeypatch.setattr(tagwalk.TagWalk.part, "__defaults__", (4,))
    async with service(azurite.connection_string) as one:
        for number in range(4):
            await one.store(*study(number))
        operation = await one.begin(*TAGS)
        shares = [0]
        while texts := await received(one.settings.storage_connection):
            for text in texts:
                await jobs.run(text, one.stores, budget_seconds=0)
            answer = await one.ask("GET", f"/operations/{operation}")
            shares.append(answer.json()["percentComplete"])
        assert len(shares) > 8
        assert shares == sorted(shares)
        assert shares[-1] == 100
        assert answer.json()["resources"][0] == "https://dicom.example.org/v2/extendedquerytags/00100040"
        await expect_all_found(one, 4)


async def test_a_slice_that_is_done_again_by_two_workers_at_once_changes_nothing(azurite, monkeypatch):
    monkeypatch.setattr(tagwalk.TagWalk.part, "__defaults__", (5,))
    async with service(azurite.connection_string) as one, another_worker(one) as other:
        for number in range(3):
            await one.store(*study(number))
        operation = await one.begin(*TAGS)
        for slices in range(100):
            taken = await one.stores.operations.take(operation, f"worker {slices}")
            if taken is None:
                break  # it has ended
            step = jobs.STEPS[taken.kind]
            progress, again = await asyncio.gather(step(taken, one.stores), step(taken, other.stores))
            third = await step(taken, other.stores)
            assert progress.done == again.done == third.done
            await one.stores.operations.save(taken, progress, release=True)
        await expect_all_found(one, 3)


async def test_stores_and_deletes_beside_the_walk_are_found_as_they_are_in_the_end(azurite, monkeypatch):
    monkeypatch.setattr(tagwalk.TagWalk.part, "__defaults__", (3,))
    async with service(azurite.connection_string) as one, another_worker(one) as other:
        for number in range(6):
            await one.store(*study(number))
        await other.found("studies", PatientName="warm")

        async def busy() -> None:
            for number in (6, 7):
                await other.store(*study(number, 2))
                await other.store(study(number)[2])
            await other.ask("DELETE", "/studies/1.2.8")
            await other.ask("DELETE", "/studies/1.2.0/series/1.3.0")
            await other.ask("DELETE", "/studies/1.2.1/series/1.3.1/instances/1.4.1.1")
            await other.store(*study(0), study(1)[0])

        await one.begin(*TAGS)
        await asyncio.gather(one.work(), busy())
        await expect_all_found(one, 8)


@pytest.mark.parametrize(
    ("into", "every"),
    [("a new study", 6), *(pytest.param(f"a {word} study", 1, marks=pytest.mark.slow) for word in ("new", "known"))],
)
async def test_a_store_held_up_at_any_call_while_a_tag_comes_is_indexed_by_it(azurite, into, every):
    async def one_case(calls: int) -> bool:
        async with service(azurite.connection_string) as one, another_worker(one) as slow:
            if into == "a known study":
                await one.store(file("1.2.9", "1.3.9", "1.4.0", PatientSex="M", SeriesNumber=8, InstanceNumber=8))
            await slow.store(file("1.2.8", "1.3.8", "1.4.8"))
            pause = Pause(slow.transport, calls)
            storing = asyncio.create_task(
                slow.store(file("1.2.9", "1.3.9", "1.4.9", PatientSex="F", SeriesNumber=9, InstanceNumber=9))
            )
            reached = asyncio.create_task(pause.reached.wait())
            await asyncio.wait({storing, reached}, return_when=asyncio.FIRST_COMPLETED)
            through = storing.done()
            await one.add(*TAGS)
            pause.go()
            await storing
            reached.cancel()
            assert await one.found("studies", PatientSex="F") == ["1.2.9"], calls
            assert await one.found("series", SeriesNumber="9") == ["1.3.9"], calls
            assert await one.found("instances", InstanceNumber="9") == ["1.4.9"], calls
            return through

    gate = asyncio.Semaphore(4)

    async def gated(calls: int) -> bool:
        async with gate:
            return await one_case(calls)

    outcomes = await asyncio.gather(*(gated(calls) for calls in range(0, 16, every)))
    assert not all(outcomes)
    assert any(outcomes)


AT_ONCE = timedelta(0)


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
async def test_slices_cut_off_at_any_call_are_done_again_by_another_worker(azurite, every):
    async def one_case(cut: int) -> bool:
        """Every slice is begun by a worker that dies after so many calls; whether one did."""
        async with service(azurite.connection_string, study(0, 2)) as one, another_worker(one) as dying:
            await dying.stores.tags.load()
            operation = await one.stores.operations.take(await one.begin(*TAGS), "worker")
            assert operation is not None
            step = jobs.STEPS[operation.kind]
            died = False
            while not operation.finished:
                fault = dying.transport.fault = DiesAfter(cut)
                with suppress(WorkerDied):
                    await step(operation, dying.stores)
                died |= fault.died
                operation = await one.stores.operations.save(operation, await step(operation, one.stores))
            dying.transport.fault = lambda _: None
            await expect_all_found(one, 1, 2)
            return died

    outcomes = []
    for cut in range(0, 200, every):
        outcomes.append(await one_case(cut))
        if not outcomes[-1]:
            break
    assert len(outcomes) > 4
    assert not outcomes[-1]


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
async def test_a_store_that_dies_when_a_tag_has_come_is_indexed_by_the_sweep(azurite, every):
    async def one_case(cut: int) -> tuple[bool, int]:
        """A store has read the set of tags; then they come; then it dies after so many calls."""
        async with service(azurite.connection_string) as one, another_worker(one) as dying:
            await dying.store(file("1.2.8", "1.3.8", "1.4.8", InstanceNumber=8))
            pause = Pause(dying.transport, 4)
            storing = asyncio.create_task(dying.store(*study(0, 1)))
            await pause.reached.wait()
            await one.add(*TAGS)
            fault = dying.transport.fault = DiesAfter(cut)
            pause.go()
            with suppress(WorkerDied):
                await storing
            dying.transport.fault = DiesAfter(0)
            found = await one.stores.sweep.run(AT_ONCE, AT_ONCE)
            assert (await one.stores.sweep.run(AT_ONCE, AT_ONCE)).covers_added == 0
            stored = await one.found("instances", SOPInstanceUID="1.4.0.1")
            assert await one.found("instances", InstanceNumber="1") == stored, cut
            assert await one.found("series", SeriesNumber="0") == (["1.3.0"] if stored else []), cut
            dying.transport.fault = lambda _: None
            return fault.died, found.studies_tagged

    gate = asyncio.Semaphore(4)

    async def gated(cut: int) -> tuple[bool, int]:
        async with gate:
            return await one_case(cut)

    outcomes = await asyncio.gather(*(gated(cut) for cut in range(0, 29, every)))
    assert any(tagged for _, tagged in outcomes)
    assert {died for died, _ in outcomes} == {True, False}


async def test_random_orders_of_values_end_with_that_of_the_newest_instance(azurite):
    dice = random.Random(7)
    async with service(azurite.connection_string) as one:
        for number in range(3):
            for place in range(3):
                said = {"PatientSex": dice.choice("FMO"), "SeriesNumber": place}
                await one.store(file(f"1.2.{number}", f"1.3.{number}", f"1.4.{number}.{place}", **said))
        newest = {}
        for number in range(3):
            answer = await one.front.ask(
                "GET", f"/v2/studies/1.2.{number}/series/1.3.{number}/instances/1.4.{number}.2/metadata"
            )
            newest[f"1.2.{number}"] = answer.json()[0]["00100040"]["Value"][0]
        await one.add(*TAGS[:2])
        for sex in "FMO":
            assert sorted(await one.found("studies", PatientSex=sex)) == sorted(
                uid for uid, s in newest.items() if s == sex
            )
        assert len(await one.found("series", SeriesNumber="2")) == 3
