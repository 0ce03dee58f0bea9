"""The store of operations: who begins, takes and ends one, and the messages that move them.

All rows are in one partition, so that one transaction begins or ends an operation together with the rows beside it:
the one that says it is unfinished, which the timer looks at, and the lock that lets only one of its kind run. Which of
two workers may write what comes next is decided by the row's ETag (docs/long-work.md).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from shared.errors import OperationRunning, StoreUnavailable, Superseded
from shared.storage.errors import OutcomeUnknown, TransactionFailed
from shared.storage.keys import SCHEMA
from shared.storage.operations import (
    LOCK,
    OPEN,
    PARTITION,
    TABLE,
    Operation,
    OperationKind,
    OperationStatus,
    Progress,
    entity_of,
    new_operation_id,
    operation_of,
    operation_row,
)
from shared.storage.queues import Queues
from shared.storage.tables import ETAG, Entity, Tables, Write

log = logging.getLogger(__name__)

QUEUE = "dicom-jobs"
POISON_QUEUE = f"{QUEUE}-poison"
"""Where the host puts a message that failed too often."""
_TRIES = 5


class Operations:
    """The rows of all operations, and the messages that move them.

    Args:
        tables: where they are.
        queues: where their messages go.
        lease: how long an operation stays with a worker that fell silent.
    """

    def __init__(self, tables: Tables, queues: Queues, lease: timedelta) -> None:
        self._tables = tables
        self._queues = queues
        self.lease = lease

    async def begin(
        self,
        kind: OperationKind,
        state: Mapping[str, Any],
        *,
        resources: Sequence[str] = (),
        alone: str = "",
        operation_id: str = "",
    ) -> Operation:
        """Write an operation down and have somebody begin with it. A message that gets lost is sent by the timer.

        Args:
            kind: what it does.
            state: where the first slice begins.
            resources: paths below the service root.
            alone: name of a lock that only one unfinished operation may hold.
            operation_id: from `new_operation_id`, when it has to be known before; begins once however often it is
                called with it.

        Raises:
            OperationRunning: another operation holds the lock.
        """
        now = datetime.now(UTC)
        chosen = operation_id or new_operation_id()
        operation = Operation(
            chosen, kind, OperationStatus.NOT_STARTED, now, now, resources=tuple(resources), state=state, alone=alone
        )
        begun = await self._insert(operation)
        try:
            await self.post(begun.id)
        except StoreUnavailable:
            log.warning("message for operation %s was not sent; the timer will", begun.id)
        return begun

    async def find(self, operation_id: str) -> Operation | None:
        """An operation; None when there is none of that id."""
        row = await self._tables.get(TABLE, PARTITION, operation_row(operation_id))
        return None if row is None else operation_of(row)

    async def take(self, operation_id: str, holder: str) -> Operation | None:
        """Let a worker have an operation; None when it is finished, unknown, or another worker has it.

        Args:
            operation_id: which one.
            holder: a name that no worker had before.
        """
        now = datetime.now(UTC)
        found = await self.find(operation_id)
        if found is None or found.finished or found.held(now):
            return None
        taken = replace(
            found,
            status=OperationStatus.RUNNING,
            updated=now,
            holder=holder,
            until=now + self.lease,
            tries=found.tries + 1,
        )
        try:
            return await self._write(found, taken, mine=False)
        except Superseded:
            return None

    async def renew(self, operation: Operation) -> Operation:
        """Make the lease of a worker longer, while it works on a slice.

        Raises:
            Superseded: it has lost the operation.
        """
        return await self._write(operation, replace(operation, until=datetime.now(UTC) + self.lease))

    async def save(self, operation: Operation, progress: Progress, *, release: bool = False) -> Operation:
        """Write down what a slice has left; ends the operation when the slice says so.

        Args:
            operation: as the worker has it.
            progress: what the slice left.
            release: the worker lets go of it, for another one to go on.

        Raises:
            Superseded: somebody else has gone on; nothing was written.
        """
        now = datetime.now(UTC)
        saved = replace(
            operation,
            updated=now,
            percent=progress.percent,
            results=progress.results,
            state=progress.state,
            reason=progress.failed,
            slices=operation.slices + 1,
            tries=0,
            fault="",
        )
        if progress.done or progress.failed:
            status = OperationStatus.FAILED if progress.failed else OperationStatus.SUCCEEDED
            return await self._finish(operation, replace(saved, status=status))
        until = None if release else now + self.lease
        return await self._write(operation, replace(saved, until=until, holder="" if release else operation.holder))

    async def release(self, operation: Operation, fault: str = "") -> None:
        """Let go of an operation whose slice failed.

        Args:
            operation: as the worker has it.
            fault: name of the error when it was the work's own, which counts as a try; empty when it was storage's.

        Raises:
            Superseded: it has lost the operation.
        """
        tries = operation.tries if fault else operation.tries - 1
        released = replace(operation, updated=datetime.now(UTC), holder="", until=None, tries=tries, fault=fault)
        await self._write(operation, released)

    async def fail(self, operation: Operation, reason: str) -> None:
        """End an operation that cannot go on, and give its lock back.

        Raises:
            Superseded: somebody else has gone on; it may succeed yet.
        """
        failed = replace(operation, status=OperationStatus.FAILED, updated=datetime.now(UTC), reason=reason)
        await self._finish(operation, failed, mine=False)

    async def stale(self, now: datetime) -> list[Operation]:
        """Unfinished operations that nobody works on and that no message seems to be under way for."""
        where = f"PartitionKey eq '{PARTITION}' and RowKey ge '{OPEN}' and RowKey lt '{OPEN}~'"
        found = []
        async for page in self._tables.pages(TABLE, where):
            for row in page:
                operation = await self.find(row["RowKey"].removeprefix(OPEN))
                posted = datetime.fromisoformat(row["posted"])
                if operation is not None and not operation.finished and self._silent_since(operation, posted) <= now:
                    found.append(operation)
        return found

    async def post(self, operation_id: str, delay_seconds: int = 0) -> None:
        """Send the message that has somebody go on with an operation. More than one do no harm."""
        await self._queues.send(QUEUE, message(operation_id), delay_seconds)

    async def post_again(self, operation: Operation) -> None:
        """Send the message of a stale operation, and note when: it is not stale for a while."""
        await self.post(operation.id)
        await self._tables.merge(TABLE, PARTITION, OPEN + operation.id, {"posted": datetime.now(UTC).isoformat()})

    def _silent_since(self, operation: Operation, posted: datetime) -> datetime:
        """From when on an operation is stale: its lease is over, or a message was due long ago."""
        if operation.until is not None and posted <= operation.updated:
            return operation.until
        return max(posted, operation.updated, operation.until or posted) + self.lease

    async def _insert(self, operation: Operation) -> Operation:
        writes = [
            Write("insert", operation_row(operation.id), entity_of(operation)),
            Write("insert", OPEN + operation.id, {"posted": operation.created.isoformat(), "schema": SCHEMA}),
        ]
        if operation.alone:
            writes.append(Write("insert", LOCK + operation.alone, {"operation": operation.id, "schema": SCHEMA}))
        for _ in range(_TRIES):
            try:
                await self._tables.transact(TABLE, PARTITION, writes)
                return operation
            except TransactionFailed as error:
                if error.code != "EntityAlreadyExists":
                    raise
            except OutcomeUnknown:
                log.warning("whether operation %s was begun is not known yet", operation.id)
            begun = await self.find(operation.id)
            if begun is not None:
                return begun
            lock = await self._tables.get(TABLE, PARTITION, LOCK + operation.alone) if operation.alone else None
            if lock is not None:
                raise OperationRunning(lock["operation"])
        raise StoreUnavailable

    async def _write(self, before: Operation, after: Operation, *, mine: bool = True) -> Operation:
        """Write an operation that is still as it was.

        Args:
            before: as it was read or written last.
            after: as it is to be.
            mine: the worker holds it, so that a renewal whose answer got lost does not make it another's.

        Raises:
            Superseded: somebody else has written to it.
        """
        mark = uuid.uuid4().hex
        entity, etag = entity_of(after, mark), before.etag
        for _ in range(_TRIES):
            written = await self._tables.replace(TABLE, PARTITION, operation_row(before.id), entity, etag)
            if written is not None:
                return replace(after, etag=written)
            row = await self._unmoved(before, mark, mine=mine)
            etag = row[ETAG]
            if row["mark"] == mark:
                return replace(after, etag=etag)
        raise StoreUnavailable

    async def _finish(self, before: Operation, after: Operation, *, mine: bool = True) -> Operation:
        """Write an operation for the last time, and take away the rows beside it; as `_write`."""
        mark = uuid.uuid4().hex
        ended = replace(after, holder="", until=None, state={})  # may have a key of somebody's container
        etag, beside = before.etag, [OPEN + before.id, *([LOCK + before.alone] if before.alone else [])]
        for _ in range(_TRIES):
            writes = [Write("replace", operation_row(before.id), entity_of(ended, mark), etag)]
            writes += [Write("delete", key) for key in beside]
            try:
                await self._tables.transact(TABLE, PARTITION, writes)
                return ended
            except TransactionFailed as error:
                if error.status not in (404, 412):
                    raise
            except OutcomeUnknown:
                log.warning("whether operation %s was ended is not known yet", before.id)
            row = await self._unmoved(before, mark, mine=mine)
            etag = row[ETAG]
            if row["mark"] == mark:
                return ended
        raise StoreUnavailable

    async def _unmoved(self, before: Operation, mark: str, *, mine: bool) -> Entity:
        """The row, when nobody else has written to it.

        Raises:
            Superseded: somebody has.
        """
        row = await self._tables.get(TABLE, PARTITION, operation_row(before.id))
        if row is not None:
            if row["mark"] == mark or row[ETAG] == before.etag:
                return row
            now = operation_of(row)
            if mine and not now.finished and (now.holder, now.slices) == (before.holder, before.slices):
                return row
        raise Superseded("Another worker has gone on with this operation.")


def message(operation_id: str) -> str:
    """The text that has somebody go on with an operation."""
    return orjson.dumps({"schema": SCHEMA, "operation": operation_id}).decode()
