"""Health: live touches nothing, ready and check ask both storage services."""

from __future__ import annotations

import json

import pytest

from shared.health.handlers import check_health, get_liveness, get_readiness
from tests.support.calls import bytes_of, call
from tests.support.storage import watched_stores

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
        assert (reply.status, json.loads(await bytes_of(reply))) == (200, {"status": "Healthy"})
        assert len(transport.calls) == 2


@pytest.mark.parametrize("service", ["blob", "table"])
async def test_one_service_that_does_not_answer_is_unhealthy(azurite, service):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        is_blob = "restype=container"
        transport.fault = lambda request: "before" if (is_blob in request.url) == (service == "blob") else None
        ready, check = await get_readiness(call(), stores), await check_health(call(), stores)
        assert (ready.status, check.status) == (503, 503)
        assert json.loads(await bytes_of(ready)) == {"status": "Unhealthy"}
        report = json.loads(await bytes_of(check))
        assert (report["overallStatus"], report["details"][0]["status"]) == ("Unhealthy", "Unhealthy")


async def test_check_has_the_form_that_clients_of_the_original_know(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        reply = await check_health(call(), stores)
        report = json.loads(await bytes_of(reply))
        assert (reply.status, report["overallStatus"]) == (200, "Healthy")
        assert all(detail.keys() == {"name", "status", "description"} for detail in report["details"])
        assert reply.media_type == "application/json; charset=utf-8"
