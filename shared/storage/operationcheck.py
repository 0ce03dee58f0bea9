"""What must be true of the rows of operations: each has the rows beside it that it should have, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.storage.operations import LOCK, OPEN, PARTITION, TABLE, Operation, operation_of, operation_row
from shared.storage.tables import Entity, Tables

_ROW = operation_row("")


async def faults(tables: Tables) -> tuple[int, list[str]]:
    """How many operations have not ended, and a line for each broken rule. None names what an operation works on."""
    pages = tables.pages(TABLE, f"PartitionKey eq '{PARTITION}'")
    rows = {row["RowKey"]: row async for page in pages for row in page}
    operations = {key.removeprefix(_ROW): operation_of(row) for key, row in rows.items() if key.startswith(_ROW)}
    unfinished = {one.id for one in operations.values() if not one.finished}
    return len(unfinished), [*_marks(rows, unfinished), *_locks(rows, operations), *_ends(operations)]


def _marks(rows: Mapping[str, Entity], unfinished: set[str]) -> Iterator[str]:
    marked = {key.removeprefix(OPEN) for key in rows if key.startswith(OPEN)}
    for one in sorted(unfinished - marked):
        yield f"operation {one} is unfinished, and no timer will find it"
    for one in sorted(marked - unfinished):
        yield f"operation {one} is marked as unfinished, and is not"


def _locks(rows: Mapping[str, Entity], operations: Mapping[str, Operation]) -> Iterator[str]:
    held = {key.removeprefix(LOCK): row["operation"] for key, row in rows.items() if key.startswith(LOCK)}
    wanted = {one.alone: one.id for one in operations.values() if one.alone and not one.finished}
    for name in sorted(held.keys() | wanted.keys()):
        if held.get(name) != wanted.get(name):
            yield f"lock {name} is held by operation {held.get(name)}, and should be by {wanted.get(name)}"


def _ends(operations: Mapping[str, Operation]) -> Iterator[str]:
    for one in operations.values():
        if one.finished and (one.holder or one.until):
            yield f"operation {one.id} has ended, and a worker has it"
