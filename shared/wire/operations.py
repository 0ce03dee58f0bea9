"""What every room answers with when it begins an operation: its id and its URL (contract C9.1, C11, C12)."""

from __future__ import annotations

import orjson

from shared.wire.call import Call, Reply

JSON = "application/json; charset=utf-8"


def operation_url(call: Call, operation_id: str) -> str:
    """Where the caller finds an operation: in its own version, and in no data partition."""
    return f"{unpartitioned(call)}/operations/{operation_id}"


def unpartitioned(call: Call) -> str:
    """The service root without the data partition, for what all partitions share (contract C13)."""
    return call.service_root.partition("/partitions/")[0]


def reference(call: Call, operation_id: str) -> dict[str, str]:
    """An operation as bodies name it."""
    return {"id": operation_id, "href": operation_url(call, operation_id)}


def accepted(call: Call, operation_id: str, about: tuple[str, ...] = ()) -> Reply:
    """202: the operation has begun. For `about` see `Reply`."""
    where = reference(call, operation_id)
    return Reply(202, orjson.dumps(where), JSON, (("Location", where["href"]),), about)
