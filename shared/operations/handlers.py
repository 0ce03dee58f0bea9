"""The state of an operation (contract C10), for whoever waits for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from shared.behaviours import FinishedOperationWord
from shared.storage.operations import Operation, OperationStatus
from shared.storage.stores import Stores
from shared.wire.call import Call, Reply
from shared.wire.operations import JSON, operation_url, unpartitioned

_PAUSE_SECONDS = 2

# The forms of a GUID: bare digits, with hyphens, and that in braces or brackets.
_DIGITS = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_GUID = re.compile(rf"[0-9a-f]{{32}}|{_DIGITS}|\{{{_DIGITS}\}}|\({_DIGITS}\)", re.IGNORECASE)
_SEPARATORS = str.maketrans("", "", "-{}()")

FINISHED_WORDS: Mapping[FinishedOperationWord, str] = {
    FinishedOperationWord.COMPLETED: "completed",
    FinishedOperationWord.SUCCEEDED: "succeeded",
}


async def get_operation(call: Call, stores: Stores) -> Reply:
    """202 until it has finished, however it did; then 200. Unknown, or no id at all: 404, empty."""
    operation_id = _id_of(call.parameters["operation_id"])
    operation = await stores.operations.find(operation_id) if operation_id else None
    if operation is None:
        return Reply(404)
    body = orjson.dumps(_described(operation, call))
    if operation.finished:
        return Reply(200, body, JSON)
    waiting = (("Location", operation_url(call, operation.id)), ("Retry-After", str(_PAUSE_SECONDS)))
    return Reply(202, body, JSON, waiting)


def _id_of(text: str) -> str:
    """The 32 lower-case digits of a GUID in any of its forms; empty when it is none."""
    trimmed = text.strip()
    return trimmed.translate(_SEPARATORS).lower() if _GUID.fullmatch(trimmed) else ""


def _described(operation: Operation, call: Call) -> dict[str, Any]:
    root = unpartitioned(call)
    members: dict[str, Any] = {
        "operationId": operation.id,
        "type": operation.kind.value,
        "createdTime": _time(operation.created),
        "lastUpdatedTime": _time(operation.updated),
        "status": _status(operation, call.behaviours.finished_operation_word),
        "percentComplete": operation.percent,
        "resources": [f"{root}/{path}" for path in operation.resources] or None,
        "results": operation.results,
        "reason": operation.reason or None,
    }
    return {name: value for name, value in members.items() if value is not None}


def _status(operation: Operation, word: FinishedOperationWord) -> str:
    return FINISHED_WORDS[word] if operation.status is OperationStatus.SUCCEEDED else operation.status.value


def _time(moment: datetime) -> str:
    """As the contract's C1.5 has it: fractions without trailing zeros, and Z."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"
