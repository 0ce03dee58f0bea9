"""Group commit writes everything once, together where it can, and tells every waiter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.storage.batching import GroupCommit, last_existing


class Recorder:
    def __init__(self) -> None:
        self.groups: list[list[int]] = []

    async def write(self, items: Sequence[int]) -> list[int]:
        await asyncio.sleep(0.005)
        if -1 in items:
            raise ValueError("one of them is bad")
        self.groups.append(list(items))
        return [item * 10 for item in items]


async def test_waiters_are_written_in_few_groups_and_get_their_own_results():
    recorder = Recorder()
    commit = GroupCommit(recorder.write, 10)
    results = await asyncio.gather(*(commit.add([number, number + 100]) for number in range(20)))
    assert results == [[number * 10, (number + 100) * 10] for number in range(20)]
    assert sorted(item for group in recorder.groups for item in group) == sorted([*range(20), *range(100, 120)])
    assert all(len(group) <= 10 for group in recorder.groups)
    assert len(recorder.groups) <= 6


async def test_more_items_than_a_group_takes_are_all_written():
    recorder = Recorder()
    assert await GroupCommit(recorder.write, 3).add(list(range(10))) == [number * 10 for number in range(10)]


async def test_a_failed_group_fails_its_waiters_and_no_others():
    recorder = Recorder()
    commit = GroupCommit(recorder.write, 1)
    outcomes = await asyncio.gather(commit.add([1]), commit.add([-1]), commit.add([2]), return_exceptions=True)
    assert outcomes[0] == [10]
    assert isinstance(outcomes[1], ValueError)
    assert outcomes[2] == [20]


async def test_a_cancelled_leader_leaves_its_group_to_the_next():
    started, never = asyncio.Event(), asyncio.Event()
    groups: list[list[int]] = []

    async def write(items: Sequence[int]) -> list[int]:
        groups.append(list(items))
        if len(groups) == 1:
            started.set()
            await never.wait()
        return [item * 10 for item in items]

    commit = GroupCommit(write, 10)
    leader = asyncio.create_task(commit.add([1]))
    await started.wait()
    follower = asyncio.create_task(commit.add([2]))
    await asyncio.sleep(0)
    leader.cancel()
    assert await follower == [20]
    assert groups == [[1], [1, 2]]
    with pytest.raises(asyncio.CancelledError):
        await leader


@given(st.integers(min_value=-1, max_value=5000), st.integers(min_value=-1, max_value=5000))
def test_the_last_existing_number_is_found_from_anywhere_below(last, known):
    asked = 0

    async def exists(number: int) -> bool:
        nonlocal asked
        asked += 1
        return bool(number <= last)

    assert asyncio.run(last_existing(exists, min(known, last))) == last
    assert asked <= 2 * 13 + 3
