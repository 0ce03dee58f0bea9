"""Deletes of what tags find: whole or not at all, also when they are cut off."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from tests.querytags.made import another_worker, file, service, tag
from tests.storage.made import DEFAULT, DiesAfter, WorkerDied, rows
from tests.support.storage import describe

pytestmark = pytest.mark.azurite

AT_ONCE = timedelta(0)
TAGS = (tag("PatientSex", "Study"), tag("InstanceNumber", "Instance"), tag("OperatorsName", "Instance"))
SCOPES = {"study": (), "series": ("1.3.2",), "instance": ("1.3.2", "1.4.3")}


def archive() -> list[bytes]:
    said = {"PatientSex": "F", "OperatorsName": "One^Two Three"}
    return [
        file("1.2.1", series, f"1.4.{number}", InstanceNumber=number, **said)
        for series, number in (("1.3.1", 1), ("1.3.1", 2), ("1.3.2", 3))
    ]


@pytest.mark.parametrize(
    ("scope", "every"),
    [("instance", 11), *(pytest.param(scope, 1, marks=pytest.mark.slow) for scope in SCOPES)],
)
async def test_a_delete_cut_off_at_any_call_leaves_no_row_of_a_tag_without_its_instance(azurite, scope, every):
    async def one_case(cut: int) -> bool:
        async with service(azurite.connection_string) as one, another_worker(one) as dying:
            await one.add(*TAGS)
            await one.store(*archive())
            fault = dying.transport.fault = DiesAfter(cut)
            with suppress(WorkerDied):
                await getattr(dying.stores.deletion, scope)(DEFAULT, "1.2.1", *SCOPES[scope])
                await dying.stores.deletion.settled()
            dying.transport.fault = DiesAfter(0)
            await one.stores.sweep.run(AT_ONCE, AT_ONCE)
            left = set(await one.found("instances"))
            by_tag = {uid for number in "123" for uid in await one.found("instances", InstanceNumber=number)}
            assert by_tag == left, cut
            assert set(await one.found("instances", OperatorsName="two", fuzzymatching="true")) == left, cut
            assert fault.died or len(left) < 3
            dying.transport.fault = lambda _: None
            return fault.died

    for cut in range(0, 80, every):
        if not await one_case(cut):
            assert cut > 10
            return
    pytest.fail("a delete takes more calls than were tried")


def hold(transport, calls: str, reached: asyncio.Event, go: asyncio.Event) -> None:
    """Hold calls of a kind until they are let go."""
    send = transport.send

    async def held(request, **options):
        if describe(request).startswith(calls):
            reached.set()
            await go.wait()
        return await send(request, **options)

    transport.send = held


async def test_a_store_that_is_late_with_the_rows_of_its_tags_finds_their_places_taken(azurite):
    """Its instance is deleted between its transaction and what follows it."""
    async with service(azurite.connection_string) as one, another_worker(one) as slow:
        await one.add(*TAGS)
        await slow.store(file("1.2.9", "1.3.9", "1.4.9", InstanceNumber=9))
        written, go = asyncio.Event(), asyncio.Event()
        hold(slow.transport, "transaction tag", written, go)
        storing = asyncio.create_task(slow.store(*archive()))
        await written.wait()
        for _ in range(100):
            if await one.found("instances", "/studies/1.2.1"):
                break
        assert (await one.ask("DELETE", "/studies/1.2.1")).status == 204
        go.set()
        await storing
        assert await one.found("instances", InstanceNumber="1") == []
        tables = [f"tag{number:02d}" for number in range(16)]
        found = [row for table in tables for row in await rows(one.stores, table) if "1.4.1" in str(row["RowKey"])]
        assert found
        assert all("superseded" in row for row in found)
