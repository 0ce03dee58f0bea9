"""Health: live touches nothing, ready and check ask all three storage services."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from shared.dev import ports
from shared.health.handlers import check_health, get_liveness, get_readiness
from shared.storage.stores import open_stores
from tests.support.calls import bytes_of, call
from tests.support.storage import fresh_settings, watched_stores

pytestmark = pytest.mark.azurite


async def test_live_does_no_io(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        transport.fault = lambda _: "before"
        reply = await get_liveness(call(), stores)
        assert (reply.status, json.loads(await bytes_of(reply))) == (200, {"status": "Healthy"})
        assert transport.calls == []


async def test_ready_over_an_empty_account_is_healthy(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        reply = await get_readiness(call(), stores)
        said = json.loads(await bytes_of(reply))
        assert (reply.status, said["status"]) == (200, "Healthy")
        assert {one["name"]: one["status"] for one in said["details"]} == {"Storage": "Healthy", "Queues": "Healthy"}
        # One for each service, and whether there are partitions that nobody would see.
        assert len(transport.calls) == 4


@pytest.mark.parametrize("service", ["blob", "table"])
async def test_one_service_that_does_not_answer_is_unhealthy(azurite, service):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        asked = {"blob": "restype=container", "table": "/Tables"}[service]
        transport.fault = lambda request: "before" if asked in request.url else None
        ready, check = await get_readiness(call(), stores), await check_health(call(), stores)
        assert (ready.status, check.status) == (503, 503)
        assert json.loads(await bytes_of(ready))["status"] == "Unhealthy"
        report = json.loads(await bytes_of(check))
        assert (report["overallStatus"], report["details"][0]["status"]) == ("Unhealthy", "Unhealthy")


async def test_queues_that_do_not_answer_are_named_and_send_nobody_elsewhere(azurite):
    """Contract C17 has a word for it: what is asked for is served, and long work waits."""
    settings = fresh_settings(azurite.connection_string)
    (port,) = ports.free_ports(1)
    dead = re.sub(r"(QueueEndpoint=http://[^:]+:)\d+", rf"\g<1>{port}", settings.storage_connection)
    assert dead != settings.storage_connection
    stores = open_stores(replace(settings, storage_connection=dead))
    try:
        ready, check = await get_readiness(call(), stores), await check_health(call(), stores)
    finally:
        await stores.close()
    said, report = json.loads(await bytes_of(ready)), json.loads(await bytes_of(check))
    assert (ready.status, said["status"], check.status, report["overallStatus"]) == (200, "Degraded", 200, "Degraded")
    assert said["details"] == report["details"]
    assert {one["name"]: one["status"] for one in said["details"]} == {"Storage": "Healthy", "Queues": "Degraded"}


async def test_check_has_the_form_that_clients_of_the_original_know(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        reply = await check_health(call(), stores)
        report = json.loads(await bytes_of(reply))
        assert (reply.status, report["overallStatus"]) == (200, "Healthy")
        assert all(detail.keys() == {"name", "status", "description"} for detail in report["details"])
        assert reply.media_type == "application/json; charset=utf-8"
