"""Health of the service (contract C17), for people and for load balancers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import asdict, dataclass

import orjson

from shared.errors import StoreUnavailable
from shared.storage.stores import Stores
from shared.wire.call import Call, Reply

_JSON = "application/json; charset=utf-8"
_HEALTHY, _DEGRADED, _UNHEALTHY = "Healthy", "Degraded", "Unhealthy"
_STATUS: Mapping[str, int] = {_HEALTHY: 200, _DEGRADED: 200, _UNHEALTHY: 503}


@dataclass(frozen=True, slots=True)
class Detail:
    """The health of something that the service is made of."""

    name: str
    status: str
    description: str


async def get_liveness(call: Call, stores: Stores) -> Reply:
    """The process answers; no storage is touched."""
    return Reply(200, orjson.dumps({"status": _HEALTHY}), _JSON)


async def get_readiness(call: Call, stores: Stores) -> Reply:
    """Requests can be served: storage answers."""
    details = await _details(stores)
    return _reply({"status": _worst(details)}, details)


async def check_health(call: Call, stores: Stores) -> Reply:
    """The same in the form that clients of the original know."""
    details = await _details(stores)
    return _reply({"overallStatus": _worst(details)}, details)


def _reply(summary: dict[str, str], details: list[Detail]) -> Reply:
    (word,) = summary.values()
    return Reply(_STATUS[word], orjson.dumps({**summary, "details": [asdict(one) for one in details]}), _JSON)


def _worst(details: list[Detail]) -> str:
    found = {one.status for one in details}
    return next((word for word in (_UNHEALTHY, _DEGRADED) if word in found), _HEALTHY)


async def _details(stores: Stores) -> list[Detail]:
    storage, queues = await asyncio.gather(_answers(stores.check()), _answers(stores.queues.check()))
    return [
        Detail("Storage", _HEALTHY, "Blob and Table Storage answer.")
        if storage
        else Detail("Storage", _UNHEALTHY, "Blob or Table Storage does not answer."),
        # Everything else is served, and long work is written down and goes on later: no reason to turn requests away.
        Detail("Queues", _HEALTHY, "Queue Storage answers.")
        if queues
        else Detail("Queues", _DEGRADED, "Queue Storage does not answer: operations wait until it does."),
    ]


async def _answers(asked: Awaitable[None]) -> bool:
    try:
        await asked
    except StoreUnavailable:
        return False
    return True
