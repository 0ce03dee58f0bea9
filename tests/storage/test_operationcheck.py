"""The check of a store sees every row of operations that should not be there, or should be."""

from __future__ import annotations

import pytest

from shared.storage.operations import LOCK, OPEN, PARTITION, TABLE, OperationKind, Progress, operation_row
from shared.storage.stores import open_stores
from tests.support.storage import fresh_settings

pytestmark = pytest.mark.azurite


async def broken(stores):
    return (await stores.fsck()).broken


async def test_operations_in_any_state_are_whole_and_counted(azurite):
    stores = open_stores(fresh_settings(azurite.connection_string))
    try:
        await stores.operations.begin(OperationKind.EXPORT, {}, alone="a")
        held = await stores.operations.begin(OperationKind.UPDATE, {}, alone="b")
        ended = await stores.operations.begin(OperationKind.REINDEX, {}, alone="c")
        await stores.operations.take(held.id, "w")
        taken = await stores.operations.take(ended.id, "w")
        assert taken is not None
        await stores.operations.save(taken, Progress(done=True))
        report = await stores.fsck()
    finally:
        await stores.close()
    assert (report.broken, report.counts["unfinished operations"]) == ([], 2)


async def _lose_the_mark(stores, begun) -> None:
    await stores._tables.delete(TABLE, PARTITION, OPEN + begun.id)


async def _lose_the_lock(stores, begun) -> None:
    await stores._tables.delete(TABLE, PARTITION, LOCK + "a")


async def _lose_the_row(stores, begun) -> None:
    await stores._tables.delete(TABLE, PARTITION, operation_row(begun.id))


async def _end_it_by_half(stores, begun) -> None:
    await stores._tables.merge(TABLE, PARTITION, operation_row(begun.id), {"status": "succeeded", "holder": "w"})


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_lose_the_mark, ["no timer"]),
        (_lose_the_lock, ["lock a"]),
        (_lose_the_row, ["marked as unfinished", "lock a"]),
        (_end_it_by_half, ["marked as unfinished", "lock a", "has ended"]),
    ],
)
async def test_a_broken_operation_is_named(azurite, harm, said):
    stores = open_stores(fresh_settings(azurite.connection_string))
    try:
        begun = await stores.operations.begin(OperationKind.EXPORT, {}, alone="a")
        assert await broken(stores) == []
        await harm(stores, begun)
        lines = await broken(stores)
    finally:
        await stores.close()
    assert len(lines) == len(said)
    assert all(word in line for word, line in zip(said, lines, strict=True))
