"""Updated instances as they were stored first: each has a row of its own behind those that everybody reads.

It is written in the transaction of the first update and deleted with the instance, and never changes in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from shared.storage.files import HEAD
from shared.storage.keys import original_row
from shared.storage.rows import METADATA_COLUMNS
from shared.storage.tables import Entity, Tables, binary, quoted, whole

BLOB_OF_ORIGINAL = "of"
"""Column with the name of the blob. It has another name than in other rows, so that nobody takes one for the other."""

_WHOLE = ("offset", "length", "version", "pixelOffset", "pixelLength", "schema")
_BINARY = (*METADATA_COLUMNS, "starts")
_AS_IT_IS = ("syntax", "sopClass", "event", "beside", "encapsulated", "frames")


def original_entity(row: Entity) -> dict[str, Any]:
    """The properties of an original's row, from the instance's row before its first update."""
    entity: dict[str, Any] = {BLOB_OF_ORIGINAL: row["blob"]}
    entity |= {name: row[name] for name in _AS_IT_IS if name in row}
    entity |= {name: whole(row, name) for name in _WHOLE if name in row}
    entity |= {name: binary(row, name) for name in _BINARY if name in row}
    return entity


def is_updated(row: Entity) -> bool:
    """Whether an instance's row is that of an updated one; the row was read with the column `HEAD`."""
    return bool(row.get(HEAD))


async def originals(
    tables: Tables, table: str, where: str, rows: Sequence[Entity], columns: Sequence[str]
) -> list[Entity]:
    """Rows of instances, those of updated ones replaced by what they were; one that is gone by now is left out.

    Args:
        tables: where they are.
        table: table of their study.
        where: partition of their study.
        rows: in key order, read with the columns `blob` and `HEAD`; those of series and studies stay.
        columns: what is wanted of an original, by the names that the instance's row has.
    """
    updated = [row["RowKey"] for row in rows if is_updated(row)]
    if not updated:
        return list(rows)
    wanted = [BLOB_OF_ORIGINAL if name == "blob" else name for name in columns]
    found = {row["RowKey"]: row async for row in _read(tables, table, where, updated, wanted)}
    return list(_swapped(rows, found))


def _swapped(rows: Sequence[Entity], found: dict[str, Entity]) -> Iterator[Entity]:
    for row in rows:
        if not is_updated(row):
            yield row
            continue
        first = found.get(original_row(row["RowKey"]))
        if first is not None and first[BLOB_OF_ORIGINAL] == row["blob"]:
            yield {**first, "RowKey": row["RowKey"], "blob": row["blob"]}


async def _read(
    tables: Tables, table: str, where: str, keys: Sequence[str], columns: Sequence[str]
) -> AsyncIterator[Entity]:
    low, high = original_row(keys[0]), original_row(keys[-1])
    if low == high:
        row = await tables.get(table, where, low, columns)
        if row is not None:
            yield {**row, "RowKey": low}
        return
    asked = f"PartitionKey eq {quoted(where)} and RowKey ge {quoted(low)} and RowKey le {quoted(high)}"
    async for page in tables.pages(table, asked, columns):
        for row in page:
            yield row
