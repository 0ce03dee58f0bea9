"""The meter counts what really goes to storage, for each piece of work its own."""

from __future__ import annotations

import asyncio

import pytest
from azure.core.exceptions import ServiceRequestError

from shared.dev.counting import CountingTransport
from shared.storage.meter import Meter, metered
from shared.storage.stores import open_stores
from shared.stow.handlers import store_instances
from shared.wado.handlers import retrieve_instance
from tests.support.calls import AS_STORED, bytes_of, call, multipart
from tests.support.files import synthetic_instance
from tests.support.storage import WatchedTransport, fresh_settings, watched_stores

pytestmark = pytest.mark.azurite


def one_file(study: str) -> bytes:
    return synthetic_instance(study_uid=study, series_uid=f"{study}.1", sop_instance_uid=f"{study}.1.1")


def counted(meter: Meter) -> tuple[int, int, int]:
    return meter.calls, meter.written_bytes, meter.read_bytes


async def stored(stores, study: str, meter: Meter | None = None) -> None:
    body, headers = multipart([one_file(study)])
    with metered(meter):
        reply = await store_instances(call(body, headers=headers), stores)
        assert reply.status == 200, await bytes_of(reply)


async def retrieved(stores, study: str, meter: Meter) -> bytes:
    asked = call(choice=AS_STORED, study_uid=study, series_uid=f"{study}.1", sop_instance_uid=f"{study}.1.1")
    with metered(meter):
        return await bytes_of(await retrieve_instance(asked, stores))


async def test_calls_and_bytes_are_those_that_the_connection_carries(azurite):
    transport = CountingTransport()
    stores = open_stores(fresh_settings(azurite.connection_string), transport)
    try:
        meter = Meter()
        await stored(stores, "1.2.1", meter)
        assert counted(meter) == (transport.calls, transport.sent_bytes, transport.received_bytes)
        assert meter.written_bytes > len(one_file("1.2.1"))
        transport.forget()
        meter = Meter()
        whole = await retrieved(stores, "1.2.1", meter)
        assert counted(meter) == (transport.calls, transport.sent_bytes, transport.received_bytes)
        assert meter.read_bytes > len(one_file("1.2.1")) <= len(whole)
        assert meter.waited_seconds > 0
    finally:
        await stores.close()
        await transport.close()


async def test_requests_at_the_same_time_count_for_themselves(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await stored(stores, "1.2.2")
        transport.forget()
        alone = Meter()
        await retrieved(stores, "1.2.2", alone)
        assert alone.calls == len(transport.calls) > 0
        meters = [Meter() for _ in range(8)]
        await asyncio.gather(*(retrieved(stores, "1.2.2", meter) for meter in meters))
        assert [counted(meter) for meter in meters] == [counted(alone)] * 8


async def test_tasks_of_a_request_count_for_it_and_wait_at_the_same_time_once(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        meter = Meter()
        before = asyncio.get_running_loop().time()
        with metered(meter):
            await asyncio.gather(*(asyncio.create_task(stores.check()) for _ in range(5)))
        took = asyncio.get_running_loop().time() - before
        assert meter.calls >= 10, "blobs and tables, five times"
        assert meter.waited_seconds <= took


async def test_each_try_of_a_call_counts(azurite):
    transport = WatchedTransport()
    faults = iter(["before"])
    transport.fault = lambda _: next(faults, None)
    stores = open_stores(fresh_settings(azurite.connection_string), transport)
    try:
        meter = Meter()
        with metered(meter):
            await stores.queues.check()
        assert meter.calls == len(transport.calls) == 2
    finally:
        await stores.close()
        await transport.close()


def test_a_call_that_fails_has_an_end():
    meter = Meter()
    with pytest.raises(ServiceRequestError), meter.call(7):
        raise ServiceRequestError("gone")
    waited = meter.waited_seconds
    with meter.call(5), meter.call(1):
        pass
    assert (meter.calls, meter.written_bytes) == (3, 13)
    assert meter.waited_seconds > waited > 0


async def test_work_without_a_meter_counts_nowhere(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        outer, inner = Meter(), Meter()
        with metered(outer):
            with metered(None):
                await stores.queues.check()
            assert outer.calls == 0
            with metered(inner):
                await stores.queues.check()
            await stores.queues.check()
        assert (outer.calls, inner.calls) == (1, 1)
