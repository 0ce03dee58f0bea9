"""The data partitions there are (contract C13)."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from shared.errors import InvalidRequest
from shared.storage.stores import Stores
from shared.wire.call import Call, Reply

_JSON = "application/json; charset=utf-8"
_FIRST_KEY = 1
"""Clients know the default partition by this key (contract C13); storage counts from 0."""


async def list_partitions(call: Call, stores: Stores) -> Reply:
    """All of them, the default one first, then as they came to be.

    Raises:
        InvalidRequest: data partitions are not in use.
    """
    if not stores.partitions.in_use:
        raise InvalidRequest("Data partitions are not in use here.")
    listed = [
        {
            "partitionKey": one.partition.number + _FIRST_KEY,
            "partitionName": one.partition.name,
            "createdDate": _date(one.created),
        }
        for one in await stores.partitions.listed()
    ]
    return Reply(200, orjson.dumps(listed), _JSON)


def _date(moment: datetime) -> str:
    """As times of the change feed: in UTC with its offset, zeros at the end of the fraction dropped (contract C1.5)."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if '.' in text else text}+00:00"
