"""The change feed (contract C8): its events by number, by time, and the newest one."""

from __future__ import annotations

from shared.changefeed import entries
from shared.errors import InvalidParameter
from shared.storage.stores import Stores
from shared.wire.call import Call, Reply

_JSON = "application/json; charset=utf-8"
# 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.9999999Z in hundreds of nanoseconds since 1970 (contract C8.1).
_FIRST_TICKS = -62_135_596_800 * 10_000_000
_LAST_TICKS = 253_402_300_800 * 10_000_000 - 1


async def get_change_feed_by_sequence(call: Call, stores: Stores) -> Reply:
    """Events with offset < sequence <= offset + limit."""
    changes = await stores.changes.after(call.parameters["offset"], call.parameters["limit"])
    body = entries.array(stores, changes, with_metadata=call.parameters["include_metadata"])
    return Reply(200, body, _JSON)


async def get_change_feed_by_time(call: Call, stores: Stores) -> Reply:
    """Events of a span of time, `offset` of them left out, `limit` of them at most."""
    start, end = call.parameters["start_ticks"], call.parameters["end_ticks"]
    start, end = _FIRST_TICKS if start is None else start, _LAST_TICKS if end is None else end
    if end <= start:
        raise InvalidParameter("EndTime", "must be later than StartTime")
    changes = await stores.changes.between(start, end, call.parameters["offset"], call.parameters["limit"])
    body = entries.array(stores, changes, with_metadata=call.parameters["include_metadata"])
    return Reply(200, body, _JSON)


async def get_latest_change(call: Call, stores: Stores) -> Reply:
    """The newest event: the highest sequence is also the latest time."""
    newest = await stores.changes.newest()
    if newest is None:
        return Reply(204)
    (body,) = await entries.objects(stores, [newest], with_metadata=call.parameters["include_metadata"])
    return Reply(200, body, _JSON)
