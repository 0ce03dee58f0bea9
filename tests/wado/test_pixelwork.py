"""Threads behind a budget of bytes: nobody overtakes, nothing leaks, the event loop goes on."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest

from shared.wado.pixelwork import PixelWork, Room

MIB = 1024 * 1024


async def settled(work: PixelWork) -> None:
    """Wait until the whole budget is free again."""
    async with asyncio.timeout(5):
        while work._free_bytes != work._budget_bytes:  # noqa: ASYNC110  the budget tells nobody that it is whole again
            await asyncio.sleep(0.005)


class Client:
    """Someone who takes room and stays in it until told to go."""

    def __init__(self, work: PixelWork, cost_bytes: int) -> None:
        self.inside = asyncio.Event()
        self.go = asyncio.Event()
        self.task = asyncio.create_task(self._stay(work, cost_bytes))

    async def _stay(self, work: PixelWork, cost_bytes: int) -> None:
        async with work.room(cost_bytes):
            self.inside.set()
            await self.go.wait()

    async def leave(self) -> None:
        self.go.set()
        await self.task


async def quiet() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_function_runs_in_another_thread_and_gives_its_value():
    work = PixelWork(10)
    assert await work.run(1, divmod, 7, 2) == (3, 1)
    assert await work.run(1, threading.get_ident) != threading.get_ident()


async def test_what_the_function_raises_is_raised_and_the_room_is_free():
    work = PixelWork(10)
    with pytest.raises(ZeroDivisionError):
        await work.run(10, divmod, 1, 0)
    await settled(work)


async def test_jobs_never_cost_more_than_the_budget_together():
    work, lock = PixelWork(100, threads=8), threading.Lock()
    inside: list[int] = []
    most = 0

    def job(cost: int) -> None:
        nonlocal most
        with lock:
            inside.append(cost)
            most = max(most, sum(inside))
        time.sleep(0.002)
        with lock:
            inside.remove(cost)

    costs = [random.Random(7).choice([10, 30, 60, 100]) for _ in range(60)]
    await asyncio.gather(*(work.run(cost, job, cost) for cost in costs))
    assert 60 <= most <= 100
    await settled(work)


async def test_nobody_overtakes_a_large_job_that_waits():
    work = PixelWork(100)
    first = Client(work, 60)
    await first.inside.wait()
    large, small = Client(work, 80), Client(work, 10)
    await quiet()
    assert not large.inside.is_set()
    assert not small.inside.is_set()
    await first.leave()
    await large.inside.wait()
    await small.inside.wait()
    await large.leave()
    await small.leave()
    await settled(work)


async def test_a_job_above_the_budget_goes_alone():
    work = PixelWork(100)
    first = Client(work, 1)
    huge = Client(work, 10**12)
    await quiet()
    assert not huge.inside.is_set()
    await first.leave()
    await huge.inside.wait()
    after = Client(work, 1)
    await quiet()
    assert not after.inside.is_set()
    await huge.leave()
    await after.inside.wait()
    await after.leave()


async def test_one_that_gives_up_waiting_lets_those_behind_it_in():
    work = PixelWork(100)
    first = Client(work, 60)
    await first.inside.wait()
    large, small = Client(work, 80), Client(work, 10)
    await quiet()
    large.task.cancel()
    await small.inside.wait()
    assert not large.inside.is_set()
    await first.leave()
    await small.leave()
    await settled(work)


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_one_that_is_cancelled_in_the_moment_it_is_let_in_leaves_the_budget_whole(cancelled_first):
    work = PixelWork(100)
    async with work.room(100) as room:
        second, third = Client(work, 100), Client(work, 100)
        await quiet()
        if cancelled_first:
            second.task.cancel()
        room.shrink(0)  # lets the second one in, before its task goes on
        second.task.cancel()
    await third.inside.wait()
    assert not second.inside.is_set()
    await third.leave()
    await settled(work)


async def test_the_room_of_a_cancelled_caller_stays_taken_until_its_thread_is_through():
    work, started, finish = PixelWork(100), threading.Event(), threading.Event()

    def job() -> None:
        started.set()
        finish.wait(5)

    task = asyncio.create_task(work.run(100, job))
    await asyncio.to_thread(started.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    after = Client(work, 1)
    await asyncio.sleep(0.05)
    assert not after.inside.is_set()
    finish.set()
    await asyncio.wait_for(after.inside.wait(), 5)
    await after.leave()
    await settled(work)


async def test_a_job_that_waits_for_a_thread_is_dropped_when_its_caller_is_cancelled():
    work, finish, ran = PixelWork(100, threads=1), threading.Event(), threading.Event()
    first = asyncio.create_task(work.run(10, finish.wait, 5))
    await quiet()
    second = asyncio.create_task(work.run(10, ran.set))
    await quiet()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    finish.set()
    await first
    await settled(work)
    assert not ran.is_set()


async def test_what_is_left_over_can_be_given_back_before_the_end():
    work = PixelWork(100)
    async with work.room(100) as room:
        assert await room.run(int, "7") == 7
        room.shrink(30)
        await quiet()
        other = Client(work, 70)
        await asyncio.wait_for(other.inside.wait(), 5)
        third = Client(work, 1)
        await quiet()
        assert not third.inside.is_set()
        room.shrink(1000)  # it never grows
    await third.inside.wait()
    await other.leave()
    await third.leave()
    await settled(work)


async def test_the_event_loop_goes_on_while_threads_work():
    work, beats = PixelWork(100), 0
    rooms = [asyncio.create_task(work.run(1, time.sleep, 0.1)) for _ in range(8)]
    while not all(task.done() for task in rooms):
        beats += 1
        await asyncio.sleep(0.005)
    assert beats >= 5


async def test_random_clients_leave_nothing_behind():
    work, chance = PixelWork(50, threads=2), random.Random(11)

    async def client() -> None:
        async with work.room(chance.choice([0, 1, 20, 50, 80])) as room:
            await asyncio.sleep(chance.random() / 500)
            await room.run(time.sleep, chance.random() / 500)
            room.shrink(chance.choice([0, 5]))
            await asyncio.sleep(chance.random() / 500)

    tasks = [asyncio.create_task(client()) for _ in range(150)]
    while not all(task.done() for task in tasks):
        chance.choice(tasks).cancel()
        await asyncio.sleep(0.002)
    await settled(work)
    assert not work._waiting
    assert work._free_bytes == 50


def test_a_room_is_settled_once():
    work = PixelWork(100)
    work._free_bytes -= 40
    room = Room(work, 40)
    for _ in range(3):
        room.leave()
    assert work._free_bytes == 100
