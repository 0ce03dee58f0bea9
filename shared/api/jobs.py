"""Background work: a message names an operation, and a worker does slices of it until its time is up.

A step is one bounded slice that may be done again from the same state without another effect. Steps live in rooms; the
table below is all that this module knows of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

import orjson

from shared.api import traces
from shared.api.telemetry.told import OFF, Telemetry, Work
from shared.edits import bulk_update, export
from shared.errors import StoreUnavailable, Superseded
from shared.querytags import reindex
from shared.storage import schema
from shared.storage.keys import ulid
from shared.storage.leases import work_while_held
from shared.storage.meter import Meter, metered
from shared.storage.operations import Operation, OperationKind, OperationStatus, Progress
from shared.storage.stores import Stores

LOG = logging.getLogger(__name__)

Step = Callable[[Operation, Stores], Awaitable[Progress]]
Steps = Mapping[OperationKind, Step]

STEPS: Steps = {
    OperationKind.REINDEX: reindex.step,
    OperationKind.UPDATE: bulk_update.step,
    OperationKind.EXPORT: export.step,
}

BUDGET_SECONDS = 60.0
"""How long one message is worked on: far below the ten minutes after which the host shows it to somebody else."""
FAULTY_TRIES = 5
"""So many tries without progress, and a message that the host gave up: the operation has failed."""
MOST_TRIES = 20
"""So many tries without progress, however they ended: also work that kills its worker comes to an end."""
_RETRY_SECONDS = 30


class BadMessage(ValueError):
    """A message that names no operation this code knows how to work on."""


class StepFailed(Exception):
    """A slice ended with an error of its own; named without its message, which may quote attribute values."""


async def run(
    text: str,
    stores: Stores,
    steps: Steps = STEPS,
    budget_seconds: float = BUDGET_SECONDS,
    telemetry: Telemetry = OFF,
    parent: str = "",
) -> None:
    """Work on the operation that a message names, and post the next message when something is left to do.

    Args:
        text: the message.
        stores: the stores of this worker.
        steps: how each kind is worked on.
        budget_seconds: no slice begins after so much time.
        telemetry: told of each slice.
        parent: `traceparent` of what brought the message; empty for nobody's.

    Raises:
        BadMessage: the message cannot be understood, or nobody here does such work.
        StepFailed: a slice failed. The host shows the message again.
        StoreUnavailable: storage failed. The host shows the message again.
    """
    operation_id = _operation_id(text)
    taken = await stores.operations.take(operation_id, ulid())
    if taken is None:
        LOG.info("operation %s needs nobody: it is finished, unknown, or another worker has it", operation_id)
        return
    if taken.kind not in steps:
        await stores.operations.release(taken)
        raise BadMessage(f"nobody here works on operations of kind {taken.kind}")
    if taken.tries > MOST_TRIES:
        await _give_up(taken, stores, telemetry)
        return
    worker = _Worker(stores, steps[taken.kind], taken, telemetry, parent)
    try:
        await worker.work(time.monotonic() + budget_seconds)
    except Superseded:
        LOG.warning("operation %s was taken over by another worker", operation_id)


async def poison(text: str, stores: Stores, telemetry: Telemetry = OFF) -> None:
    """See to the operation of a message that the host gave up: it has failed, unless only storage was away.

    Args:
        text: the message.
        stores: the stores of this worker.
        telemetry: told when the operation has failed.

    Raises:
        StoreUnavailable: storage failed. The host shows the message again.
    """
    try:
        operation = await stores.operations.find(_operation_id(text))
    except BadMessage:
        LOG.error("a message of the queue of jobs cannot be understood and is dropped")  # noqa: TRY400  no trace: it may quote the message
        return
    if operation is None or operation.finished or operation.held(datetime.now(UTC)):
        return
    if operation.tries < FAULTY_TRIES:
        await stores.operations.post(operation.id, _RETRY_SECONDS)
    else:
        await _give_up(operation, stores, telemetry)


async def wake(stores: Stores) -> int:
    """Post the messages of operations again that nobody works on; gives their number."""
    stale = await stores.operations.stale(datetime.now(UTC))
    for operation in stale:
        await stores.operations.post_again(operation)
        LOG.warning("operation %s was left lying after %d slices; posted again", operation.id, operation.slices)
    return len(stale)


async def _give_up(operation: Operation, stores: Stores, telemetry: Telemetry) -> None:
    reason = f"Given up after {operation.tries} tries that got nowhere."
    if operation.fault:
        reason += f" The last one ended with {operation.fault}; the log of the service says where."
    try:
        await stores.operations.fail(operation, reason)
    except Superseded:
        LOG.info("operation %s has gone on after all", operation.id)
        return
    LOG.error("operation kind=%s id=%s failed: %s", operation.kind, operation.id, reason)
    telemetry.operation_ended(operation.kind.value, OperationStatus.FAILED.value)


def _operation_id(text: str) -> str:
    try:
        content = orjson.loads(text)
    except ValueError as error:
        raise BadMessage("the message is not JSON") from error
    if (
        not isinstance(content, dict)
        or content.get("schema") not in schema.READ
        or not isinstance(content.get("operation"), str)
    ):
        raise BadMessage("the message is of a form that is not known here")
    return str(content["operation"])


@dataclass(slots=True)
class _Worker:
    """One worker with one operation: as it was written last."""

    stores: Stores
    step: Step
    operation: Operation
    telemetry: Telemetry
    parent: str

    async def work(self, deadline: float) -> None:
        """Do slices until the operation ends or time is up.

        Raises:
            Superseded: another worker has it now.
            StoreUnavailable: storage failed.
            StepFailed: something else did.
        """
        while not self.operation.finished:
            began = time.monotonic()
            meter = Meter()
            with metered(meter):
                failure, time_is_up = await self._step_on(deadline)
            seconds = time.monotonic() - began
            if failure is not None:
                self._tell("failed try", seconds, meter, failed=True)
                # Not in an except block: the failure would be logged as the context of what is raised.
                await self._failed(failure)
            self._log(seconds, meter)
            if time_is_up and not self.operation.finished:
                await self.stores.operations.post(self.operation.id)
                return

    async def _step_on(self, deadline: float) -> tuple[Exception | None, bool]:
        """Do a slice and save it; gives what went wrong, and whether time is up."""
        try:
            progress = await self._slice()
            time_is_up = time.monotonic() >= deadline
            self.operation = await self.stores.operations.save(self.operation, progress, release=time_is_up)
        except Superseded:
            raise
        except asyncio.CancelledError:
            await self._let_go()
            raise
        except Exception as error:  # noqa: BLE001 - whatever ended the slice, the next try need not wait for the lease
            return error, False
        return None, time_is_up

    async def _slice(self) -> Progress:
        """One slice, with the lease renewed as long as it takes.

        Raises:
            Superseded: another worker has the operation; the slice was cut off.
        """
        return await work_while_held(
            f"operation {self.operation.id}",
            self.stores.operations.lease,
            self.step(self.operation, self.stores),
            self._renew,
        )

    async def _renew(self) -> None:
        self.operation = await self.stores.operations.renew(self.operation)

    async def _let_go(self) -> None:
        """The worker is being stopped: have another one go on."""
        with contextlib.suppress(StoreUnavailable, Superseded):
            await self.stores.operations.release(self.operation)
            await self.stores.operations.post(self.operation.id)

    async def _failed(self, error: Exception) -> NoReturn:
        """Let go of the operation, so that the next try need not wait for the lease to end.

        Raises:
            StoreUnavailable: that was the error.
            StepFailed: it was another one.
        """
        fault = "" if isinstance(error, StoreUnavailable) else type(error).__name__
        if fault:
            LOG.error("slice failed kind=%s id=%s\n%s", self.operation.kind, self.operation.id, traces.trace(error))
        try:
            await self.stores.operations.release(self.operation, fault)
        except StoreUnavailable:
            LOG.warning("operation %s was not let go; its lease will end", self.operation.id)
        if not fault:
            raise error
        raise StepFailed(f"a slice of operation {self.operation.id} ended with {fault}")

    def _log(self, seconds: float, meter: Meter) -> None:
        LOG.info(
            "slice kind=%s id=%s slice=%d ms=%d %s percent=%s status=%s",
            self.operation.kind,
            self.operation.id,
            self.operation.slices,
            seconds * 1000,
            meter.line(),
            "-" if self.operation.percent is None else self.operation.percent,
            self.operation.status,
        )
        self._tell(self.operation.status.value, seconds, meter)
        if self.operation.finished:
            self.telemetry.operation_ended(self.operation.kind.value, self.operation.status.value)

    def _tell(self, status: str, seconds: float, meter: Meter, *, failed: bool = False) -> None:
        self.telemetry.worked(Work(f"{self.operation.kind} slice", status, meter, seconds, failed, self.parent))
