"""Health of the service (contract C17), for people and for load balancers."""

from __future__ import annotations

import orjson

from shared.errors import StoreUnavailable
from shared.storage.stores import Stores
from shared.wire.call import Call, Reply

_JSON = "application/json; charset=utf-8"


async def get_liveness(call: Call, stores: Stores) -> Reply:
    """The process answers; no storage is touched."""
    return Reply(200, orjson.dumps({"status": "Healthy"}), _JSON)


async def get_readiness(call: Call, stores: Stores) -> Reply:
    """Requests can be served: storage answers."""
    healthy = await _storage_answers(stores)
    return Reply(200 if healthy else 503, orjson.dumps({"status": "Healthy" if healthy else "Unhealthy"}), _JSON)


async def check_health(call: Call, stores: Stores) -> Reply:
    """The same in the form that clients of the original know."""
    healthy = await _storage_answers(stores)
    word = "Healthy" if healthy else "Unhealthy"
    description = "Blob and Table Storage answer." if healthy else "Blob or Table Storage does not answer."
    report = {"overallStatus": word, "details": [{"name": "Storage", "status": word, "description": description}]}
    return Reply(200 if healthy else 503, orjson.dumps(report), _JSON)


async def _storage_answers(stores: Stores) -> bool:
    try:
        await stores.check()
    except StoreUnavailable:
        return False
    return True
