"""Work on something that is a worker's for a time: the time is made longer while it works, and who loses it stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from shared.errors import StoreUnavailable

Result = TypeVar("Result")

log = logging.getLogger(__name__)

_RENEWALS = 3
"""So often is a lease renewed before it would run out."""


async def work_while_held(
    what: str, lease: timedelta, work: Awaitable[Result], renew: Callable[[], Awaitable[object]]
) -> Result:
    """Do work, with the lease of what it is about renewed as long as it takes.

    Args:
        what: names it in the log.
        lease: how long it stays with a worker that fell silent.
        work: is cut off when the lease is lost.
        renew: makes the time longer, and raises when another worker has it.

    Raises:
        Superseded: `renew` raised it; whatever became of the work.
    """
    over = asyncio.Event()
    working = asyncio.ensure_future(work)
    keeping = asyncio.create_task(_keep(what, lease, renew, over))
    try:
        await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        over.set()
        if not working.done():
            working.cancel()
        await asyncio.gather(working, keeping, return_exceptions=True)
    keeping.result()
    return working.result()


async def _keep(what: str, lease: timedelta, renew: Callable[[], Awaitable[object]], over: asyncio.Event) -> None:
    """Renew a lease now and then until the work is over.

    A renewal that has begun is finished: were it cut off, nobody would know the new ETag.
    """
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), lease.total_seconds() / _RENEWALS)
            return
        try:
            await renew()
        except StoreUnavailable:
            log.warning("%s is held no longer than before: storage is not available", what)
