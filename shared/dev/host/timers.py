"""Timer triggers of the local host: one loop a function, UTC, never two runs of the same function at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime

from azure.functions.timer import TimerRequest

from shared.dev.host.app import HostedFunction, TimerTrigger
from shared.dev.host.invoke import Invoker

_LOG = logging.getLogger(__name__)


class TimerLoop:
    """Runs one function by its schedule. A failed run is not tried again.

    Args:
        function: with a timer trigger.
        invoker: runs it.
    """

    def __init__(self, function: HostedFunction, invoker: Invoker) -> None:
        if not isinstance(function.trigger, TimerTrigger):
            raise TypeError(f"{function.name} has no timer trigger")
        self._function = function
        self._trigger = function.trigger
        self._invoker = invoker
        self._one_at_a_time = asyncio.Lock()

    async def run(self, stopping: asyncio.Event) -> None:
        """Wait for each due time and run, until `stopping` is set; a run that has begun is finished."""
        if self._trigger.run_on_startup:
            await self.run_once()
        due = datetime.now(UTC)
        while not stopping.is_set():
            # A wait may end a moment early by the wall clock; the same due time must not come again.
            due = self._trigger.schedule.after(max(due, datetime.now(UTC)))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), (due - datetime.now(UTC)).total_seconds())
                return
            await self.run_once()

    async def run_once(self) -> None:
        """Run the function now, after a run that is under way."""
        async with self._one_at_a_time:
            request = TimerRequest(past_due=False, schedule={"AdjustForDST": True}, schedule_status={})
            try:
                await self._invoker.call(self._function, request, self._invoker.context(self._function))
            except Exception:  # noqa: BLE001 - the next run comes whatever this one raised
                _LOG.exception("function %s failed", self._function.name)
