"""Long work through the local host: its real queue, poison queue and timer, and workers that are killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from shared.settings import Settings
from shared.storage.operations import OperationKind
from shared.storage.operationstore import POISON_QUEUE, QUEUE
from shared.storage.stores import Stores, open_stores
from tests.support import numbers
from tests.support.jobs import KilledWorkers, wait_for, wake
from tests.support.served import served
from tests.support.storage import WatchedTransport, fresh_account

pytestmark = [pytest.mark.served, pytest.mark.azurite]

ROWS = 60


async def killed(azurite, times: int) -> None:
    account = fresh_account(azurite.connection_string)
    workers = KilledWorkers(account, app=numbers.APP, seconds=(0.05, 0.9))

    async def begin(_client) -> str:
        state = numbers.work(ROWS, pause_seconds=0.02)
        return (await workers.stores.operations.begin(OperationKind.EXPORT, state, alone="numbers")).id

    ended = await workers.run(times, begin, workers=2)
    stores = open_stores(Settings(storage_connection=account))
    try:
        for body in ended:
            assert body["status"] == "succeeded", body
            numbers.expect_once(body, await numbers.rows(stores, body["operationId"]), ROWS)
    finally:
        await stores.close()
    assert workers.kills_at_work >= times // 2, "too few kills met an operation that was under way"


async def test_two_workers_killed_10_times_do_every_slice_once(azurite):
    await killed(azurite, 10)


@pytest.mark.slow
async def test_two_workers_killed_100_times_do_every_slice_once(azurite):
    await killed(azurite, 100)


@pytest.fixture(scope="module")
async def account(azurite) -> str:
    """A storage account of this module."""
    return fresh_account(azurite.connection_string)


@pytest.fixture(scope="module")
async def client(account) -> AsyncIterator[httpx.AsyncClient]:
    """The service with work that can be counted, on that account."""
    settings = {"DICOM_STORAGE": account, "DICOM_LEASE_SECONDS": "1"}
    async with (
        served(settings, numbers.APP) as service,
        httpx.AsyncClient(base_url=service.url, timeout=30, trust_env=False) as opened,
    ):
        yield opened


@pytest.fixture
async def stores(account) -> AsyncIterator[Stores]:
    """The same account from outside, where messages get lost."""
    transport = WatchedTransport()
    opened = open_stores(Settings(storage_connection=account, lease_seconds=1), transport)
    yield opened
    assert (await opened.fsck()).broken == []
    await opened.close()
    await transport.close()


async def test_an_operation_goes_from_its_message_to_its_end(client, stores):
    begun = await stores.operations.begin(OperationKind.EXPORT, numbers.work(20))
    ended = await wait_for(client, begun.id)
    assert ended["status"] == "succeeded"
    numbers.expect_once(ended, await numbers.rows(stores, begun.id), 20)
    assert (await client.get(f"/v1/operations/{begun.id}")).json()["status"] == "completed"


async def test_an_operation_whose_message_was_lost_is_found_by_the_timer(client, stores):
    stores._client._transport.fault = lambda request: "before" if "/messages" in request.url else None
    begun = await stores.operations.begin(OperationKind.EXPORT, numbers.work(20))
    stores._client._transport.fault = lambda _: None
    await asyncio.sleep(1.1)
    assert (await client.get(f"/v2/operations/{begun.id}")).json()["status"] == "notStarted"
    await wake(client)
    numbers.expect_once(await wait_for(client, begun.id), await numbers.rows(stores, begun.id), 20)


async def test_work_that_fails_again_and_again_ends_in_the_poison_queue_and_fails_its_operation(client, stores):
    begun = await stores.operations.begin(OperationKind.EXPORT, {"fault": "Doe^John"}, alone="faulty")
    ended = await wait_for(client, begun.id)
    assert ended["status"] == "failed"
    assert ended["reason"].startswith("Given up after 5 tries")
    assert "RuntimeError" in ended["reason"]
    assert "Doe" not in ended["reason"]
    await stores.operations.begin(OperationKind.EXPORT, numbers.work(1), alone="faulty")


async def test_a_message_that_is_none_of_ours_does_no_harm(client, stores):
    await stores.queues.send(QUEUE, "no JSON")
    await stores.queues.send(POISON_QUEUE, "no JSON either")
    begun = await stores.operations.begin(OperationKind.EXPORT, numbers.work(5))
    numbers.expect_once(await wait_for(client, begun.id), await numbers.rows(stores, begun.id), 5)
