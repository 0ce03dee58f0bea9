"""One slice of work whose every trace can be counted."""

from __future__ import annotations

import asyncio

from shared.storage.operations import Operation, Progress
from shared.storage.stores import Stores

TABLE = "numbers"
ROWS_A_SLICE = 5


async def step(operation: Operation, stores: Stores) -> Progress:
    """Rows are put by their number, so that the same slice done again has no other effect; its own number is added."""
    state = dict(operation.state)
    if "fault" in state:
        raise RuntimeError(state["fault"])
    end = min(state["next"] + ROWS_A_SLICE, state["total"])
    for number in range(state["next"], end):
        await stores._tables.put(TABLE, operation.id, f"n{number:06d}", {"slice": len(state["slices"])})
        await asyncio.sleep(state["pause"])
    state |= {"next": end, "slices": [*state["slices"], len(state["slices"])]}
    done = end == state["total"]
    return Progress(state, 100 * end // max(1, state["total"]), {"exported": end, "slices": state["slices"]}, done=done)
