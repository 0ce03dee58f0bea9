"""Operations: work that outlives its request. What one is, and how its row is written (docs/long-work.md)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from shared.storage.keys import SCHEMA
from shared.storage.longjson import packed, unpacked
from shared.storage.tables import ETAG, Entity, whole

TABLE = "ops"
PARTITION = "ops"
OPEN, LOCK = "open~", "lock~"
"""What the row keys of unfinished operations and of locks begin with."""
_ROW = "o~"


class OperationKind(StrEnum):
    """What an operation does; the public word for it."""

    REINDEX = "reindex"
    UPDATE = "update"
    EXPORT = "export"


class OperationStatus(StrEnum):
    """How far an operation is. The word that clients see for success is chosen by their version."""

    NOT_STARTED = "notStarted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


_UNFINISHED = frozenset({OperationStatus.NOT_STARTED, OperationStatus.RUNNING})


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as its row has it.

    Attributes:
        id: 32 lower-case hex digits.
        kind: what it does.
        status: how far it is.
        created: when it was begun.
        updated: when something last changed.
        percent: how much is done, 0 to 100; None where nobody can say.
        resources: paths below the service root that it works on.
        results: what clients are told about it, JSON.
        state: where it goes on, private to the work, JSON; empty when it has ended.
        reason: why it failed, safe to show.
        alone: name of the lock it holds; empty for none.
        holder: the worker that has it; empty when nobody has.
        until: when its lease ends; None when nobody has it.
        slices: how many slices were saved.
        tries: how often a worker took it since a slice was saved.
        fault: name of the error that ended the last try; empty when it was none of the work's own.
        etag: of the row as it was read.
    """

    id: str
    kind: OperationKind
    status: OperationStatus
    created: datetime
    updated: datetime
    percent: int | None = None
    resources: tuple[str, ...] = ()
    results: Mapping[str, Any] | None = None
    state: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reason: str = ""
    alone: str = ""
    holder: str = ""
    until: datetime | None = None
    slices: int = 0
    tries: int = 0
    fault: str = ""
    etag: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.status not in _UNFINISHED

    def held(self, now: datetime) -> bool:
        """Whether a worker has it."""
        return self.until is not None and self.until > now


@dataclass(frozen=True, slots=True)
class Progress:
    """What a slice of work leaves.

    Attributes:
        state: where the next slice goes on.
        percent: how much is done, 0 to 100; None where nobody can say.
        results: what clients are told so far.
        done: nothing is left to do.
        failed: why the operation cannot succeed; ends it. Without attribute values: clients see it.
    """

    state: Mapping[str, Any] = field(default_factory=dict, repr=False)
    percent: int | None = None
    results: Mapping[str, Any] | None = None
    done: bool = False
    failed: str = ""


def new_operation_id() -> str:
    """An id for an operation that is going to begin."""
    return uuid.uuid4().hex


def operation_row(operation_id: str) -> str:
    """Row of an operation."""
    return _ROW + operation_id


def operation_of(row: Entity) -> Operation:
    """The operation that a row holds."""
    return Operation(
        id=row["RowKey"].removeprefix(_ROW),
        kind=OperationKind(row["kind"]),
        status=OperationStatus(row["status"]),
        created=datetime.fromisoformat(row["created"]),
        updated=datetime.fromisoformat(row["updated"]),
        percent=row.get("percent"),
        resources=tuple(orjson.loads(row["resources"])),
        results=unpacked(row, "results"),
        state=unpacked(row, "state") or {},
        reason=row.get("reason", ""),
        alone=row.get("alone", ""),
        holder=row.get("holder", ""),
        until=datetime.fromisoformat(row["until"]) if row.get("until") else None,
        slices=whole(row, "slices"),
        tries=whole(row, "tries"),
        fault=row.get("fault", ""),
        etag=row.get(ETAG, ""),
    )


def entity_of(operation: Operation, mark: str = "") -> dict[str, Any]:
    """The properties of an operation's row; `mark` tells a worker that a row is what it has written itself."""
    entity: dict[str, Any] = {
        "kind": operation.kind.value,
        "status": operation.status.value,
        "created": operation.created.isoformat(),
        "updated": operation.updated.isoformat(),
        "resources": orjson.dumps(operation.resources).decode(),
        "reason": operation.reason,
        "alone": operation.alone,
        "holder": operation.holder,
        "until": operation.until.isoformat() if operation.until else "",
        "slices": operation.slices,
        "tries": operation.tries,
        "fault": operation.fault,
        "mark": mark,
        "schema": SCHEMA,
        **packed("state", operation.state),
        **packed("results", operation.results),
    }
    if operation.percent is not None:
        entity["percent"] = operation.percent
    return entity
