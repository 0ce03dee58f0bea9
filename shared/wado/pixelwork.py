"""Where pixel work leaves the event loop: a few threads behind a budget of bytes that all requests share.

A request takes its room before it fetches what it will work on, so that requests that wait hold next to nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import ParamSpec, TypeVar

BUDGET_BYTES = 128 * 1024 * 1024
_THREADS = min(4, os.cpu_count() or 1)

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Room:
    """A share of the budget, with the right to work. It ends with its block, or with the work a block leaves behind."""

    def __init__(self, work: PixelWork, cost_bytes: int) -> None:
        self._work = work
        self._cost_bytes = cost_bytes
        self._kept_bytes = cost_bytes
        self._running = 0
        self._left = False

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call the function in a thread of the pool.

        A thread cannot be stopped: when the caller is cancelled, the room stays taken until the function is through.
        """
        loop = asyncio.get_running_loop()
        job = self._work.threads.submit(function, *args, **kwargs)
        self._running += 1

        def ended(_: Future[_T]) -> None:
            # A loop that is closed has nobody left who waits for room.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._job_ended)

        job.add_done_callback(ended)
        return await asyncio.wrap_future(job)

    def shrink(self, cost_bytes: int) -> None:
        """Give back what is more than so many bytes; only between two runs."""
        self._kept_bytes = min(self._kept_bytes, max(cost_bytes, 0))
        self._settle()

    def leave(self) -> None:
        """The block is over."""
        self._left = True
        self._settle()

    def _job_ended(self) -> None:
        self._running -= 1
        self._settle()

    def _settle(self) -> None:
        if self._running:
            return
        kept = 0 if self._left else self._kept_bytes
        freed, self._cost_bytes = self._cost_bytes - kept, kept
        if freed:
            self._work.give_back(freed)


class PixelWork:
    """Threads and the budget of bytes behind which they work: first come, first served.

    Args:
        budget_bytes: what all that is worked on may cost together; one job that costs more goes alone.
        threads: how many jobs run at a time.

    Attributes:
        threads: the pool.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES, threads: int = _THREADS) -> None:
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="pixels")
        self._budget_bytes = budget_bytes
        self._free_bytes = budget_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def room(self, cost_bytes: int) -> AsyncGenerator[Room, None]:
        """Wait for room and take it for the length of a block."""
        cost_bytes = min(max(cost_bytes, 0), self._budget_bytes)
        await self._take(cost_bytes)
        room = Room(self, cost_bytes)
        try:
            yield room
        finally:
            room.leave()

    async def run(self, cost_bytes: int, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call the function in a thread when there is room for what it costs."""
        async with self.room(cost_bytes) as room:
            return await room.run(function, *args, **kwargs)

    def give_back(self, freed_bytes: int) -> None:
        """Take bytes back and let in whom they are enough for, in the order of arrival."""
        self._free_bytes += freed_bytes
        self._let_in()

    async def _take(self, cost_bytes: int) -> None:
        if not self._waiting and cost_bytes <= self._free_bytes:
            self._free_bytes -= cost_bytes
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (cost_bytes, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.give_back(cost_bytes)  # it was let in and cancelled in the same moment
            elif entry in self._waiting:
                self._waiting.remove(entry)
                self._let_in()  # who stood behind may fit where this one did not
            raise

    def _let_in(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free_bytes:
            cost_bytes, turn = self._waiting.popleft()
            if turn.cancelled():
                continue
            self._free_bytes -= cost_bytes
            turn.set_result(None)


WORK = PixelWork()
"""The work of this process: the budget is the process's, whatever the request."""
