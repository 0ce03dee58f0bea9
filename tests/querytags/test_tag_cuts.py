"""Deleting tags with workers that die: a tag is there or gone, and what it left is cleaned away by whoever goes on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from shared.storage.tagrows import TABLES
from tests.querytags.made import Service, another_worker, file, service, tag
from tests.storage.made import DiesAfter, WorkerDied, rows
from tests.support.storage import Pause

pytestmark = pytest.mark.azurite

AT_ONCE = timedelta(0)
GONE, KEPT = tag("InstanceNumber", "Instance"), tag("PatientSex", "Study")


def one_file(number: int, **extra: object) -> bytes:
    said = {"InstanceNumber": number, "PatientSex": "F", **extra}
    return file(f"1.2.{number}", f"1.3.{number}", f"1.4.{number}", **said)


async def indexed(one: Service) -> int:
    """How many rows there are of tags of instances."""
    return sum([len(await rows(one.stores, table)) for table in TABLES])


async def expect_nothing_left(one: Service, studies: set[str]) -> None:
    """Of the tag that is gone; the other one still finds what is stored."""
    assert await indexed(one) == 0
    assert [row for row in await rows(one.stores, "tags") if row["PartitionKey"] != "tags"] == []
    tags = await one.stores.tags.load()
    assert (len(tags.entries), tags.gone, tags.free_slots()[0]) == (1, (), 0)
    assert set(await one.found("studies", PatientSex="F")) == studies
    assert (await one.search("instances", InstanceNumber="1")).status == 400
    await one.whole()


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
async def test_a_tag_whose_deletion_is_cut_off_is_there_or_gone(azurite, every):
    async def one_case(cut: int) -> bool:
        async with service(azurite.connection_string) as one, another_worker(one) as dying:
            await one.store(one_file(1))
            await one.add(GONE, KEPT)
            await dying.stores.tags.load()
            fault = dying.transport.fault = DiesAfter(cut)
            with suppress(WorkerDied):
                await dying.ask("DELETE", "/extendedquerytags/InstanceNumber")
            dying.transport.fault = lambda _: None
            there = (await one.ask("GET", "/extendedquerytags/InstanceNumber")).status
            found = await one.search("instances", InstanceNumber="1")
            assert (there, found.status) in ((200, 200), (404, 400)), cut
            assert (await one.ask("DELETE", "/extendedquerytags/InstanceNumber")).status == (204, 404)[there == 404]
            assert (await one.stores.sweep.run(AT_ONCE, AT_ONCE)).tags_cleaned == 1
            await expect_nothing_left(one, {"1.2.1"})
            return fault.died

    died = [await one_case(cut) for cut in range(0, 9, every)]
    assert died[0]
    assert not died[-1]


@pytest.mark.slow
@pytest.mark.parametrize("every", [1])
async def test_cleaning_behind_a_tag_that_is_cut_off_is_finished_by_the_next_sweep(azurite, every):
    # Ages that are none: the tag that indexes them has errors, which go with it.
    wrong = tag("PatientAge", "Instance")

    async def one_case(cut: int) -> bool:
        async with service(azurite.connection_string) as one, another_worker(one) as dying:
            for number in (1, 2, 3):
                await one.store(one_file(number, PatientAge="old"), version="v1")
            await one.add(wrong, GONE, KEPT)
            assert (await one.tag("PatientAge"))["errors"]["count"] == 3
            for path in ("PatientAge", "InstanceNumber"):
                assert (await one.ask("DELETE", f"/extendedquerytags/{path}")).status == 204
            assert await indexed(one) == 3
            await dying.stores.tags.load()
            fault = dying.transport.fault = DiesAfter(cut)
            with suppress(WorkerDied):
                await dying.stores.sweep._tags.clean(datetime.now(UTC))
            dying.transport.fault = lambda _: None
            assert set(await one.found("studies", PatientSex="F")) == {"1.2.1", "1.2.2", "1.2.3"}, cut
            await one.stores.sweep.run(AT_ONCE, AT_ONCE)
            await expect_nothing_left(one, {"1.2.1", "1.2.2", "1.2.3"})
            return fault.died

    cut = 3
    while await one_case(cut):
        cut += every
    assert cut > 25


@pytest.mark.slow
@pytest.mark.parametrize("every", [1])
async def test_a_store_that_dies_while_a_tag_is_deleted_leaves_nothing_of_the_tag(azurite, every):
    async def one_case(cut: int) -> tuple[bool, bool]:
        """A store has read the set of tags; then one goes; then the store dies after so many calls."""
        async with service(azurite.connection_string) as one, another_worker(one) as dying:
            await one.add(GONE, KEPT)
            await dying.store(one_file(8))
            pause = Pause(dying.transport, 4)
            storing = asyncio.create_task(dying.store(one_file(9)))
            await pause.reached.wait()
            assert (await one.ask("DELETE", "/extendedquerytags/InstanceNumber")).status == 204
            fault = dying.transport.fault = DiesAfter(cut)
            pause.go()
            with suppress(WorkerDied):
                await storing
            dying.transport.fault = DiesAfter(0)
            assert (await one.stores.sweep.run(AT_ONCE, AT_ONCE)).tags_cleaned == 1
            stored = await one.found("studies", StudyInstanceUID="1.2.9") == ["1.2.9"]
            await expect_nothing_left(one, {"1.2.8", "1.2.9"} if stored else {"1.2.8"})
            dying.transport.fault = lambda _: None
            return fault.died, stored

    outcomes = [await one_case(cut) for cut in range(0, 25, every)]
    assert {died for died, _ in outcomes} == {True, False}
    assert {stored for _, stored in outcomes} == {True, False}
