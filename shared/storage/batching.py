"""Group commit: what several requests of one worker write at the same moment goes to storage in one call."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """Collects items while a write is under way and writes them together when it ends.

    There is no background task: the first waiter that gets the lock writes for everybody who waits.

    Args:
        write: writes 1 to `most` items and gives one result an item, in order.
        most: the largest number of items in one write.
    """

    def __init__(self, write: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], most: int) -> None:
        self._write = write
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._lock = asyncio.Lock()

    async def add(self, items: Sequence[Item]) -> list[Result]:
        """Write items; returns when all of them are written.

        Raises:
            Exception: what `write` raised for the group an item was in.
        """
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in items]
        self._waiting.extend(zip(items, futures, strict=True))
        while not all(future.done() for future in futures):
            async with self._lock:
                if not all(future.done() for future in futures):
                    await self._flush()
        return await _results(futures)

    async def _flush(self) -> None:
        group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            results = await self._write([item for item, _ in group])
        except asyncio.CancelledError:
            # The leader was cancelled, not the others: they are tried again by the next leader.
            self._waiting = [entry for entry in group if not entry[1].done()] + self._waiting
            raise
        except Exception as error:  # noqa: BLE001 - every waiter of the group gets it
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(group, results, strict=True):
            if not future.done():
                future.set_result(result)


async def _results(futures: Sequence[asyncio.Future[Result]]) -> list[Result]:
    gathered = await asyncio.gather(*futures, return_exceptions=True)
    for outcome in gathered:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in gathered if not isinstance(outcome, BaseException)]


async def jittered_pause(attempt: int) -> None:
    """Wait a little at random before trying again, longer each time, so that rivals do not meet again and again.

    Args:
        attempt: how often it was tried before, from 0.
    """
    longest_seconds = min(0.005 * 2**attempt, 0.5)
    await asyncio.sleep(random.uniform(0, longest_seconds))  # noqa: S311 - nobody gains from guessing it


async def last_existing(exists: Callable[[int], Awaitable[bool]], known: int = -1) -> int:
    """The largest number that exists, when numbers 0, 1, 2 … exist without a gap; -1 when none does.

    Doubles the step, then halves it: about 2 log2(distance) questions.

    Args:
        exists: asks for one number.
        known: a number known to exist, or -1.
    """
    low, step = known, 1
    while await exists(low + step):
        low += step
        step *= 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        if await exists(middle):
            low = middle
        else:
            high = middle
    return low
