"""Rows of workitems: what the house means by them, and how they are written down.

A workitem is one row, which says everything about it: search and retrieve cannot disagree. Its number decides where
the row is and never changes; a second row, by UID, says the number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.dicom.matching import name_words
from shared.dicom.workitemkeys import SEARCHABLE, folded_values
from shared.dicom.workitemstates import State
from shared.errors import InvalidRequest
from shared.storage.conditions import NAME_COLUMNS
from shared.storage.keys import SCHEMA, SEARCH_COLUMN, base36, segment_partition, segment_table
from shared.storage.longjson import packed, unpacked
from shared.storage.tables import ETAG, Entity

PLACES = "upsuids"
"""Table with the numbers of workitems, by UID."""
PLACE_ROW = "!"
KIND = "ups"
"""What the names of the tables with workitems begin with."""
BLOCK = 1000
"""So many workitems, by their numbers, are a partition of their own."""
MOST_BYTES = 120_000
"""Of a workitem in its row, compressed: a page of 200 stays below 24 MB whatever is stored."""

COUNTED = "number"
_LAST = 9_999_999_999_999
_MOST_VALUES = 200
_DATASET = "dataset"
DATASET_COLUMNS = tuple(f"{_DATASET}{place}" for place in range(2))
"""Properties that hold the data set: `MOST_BYTES` of it in the sizes that `longjson` cuts."""


@dataclass(frozen=True, slots=True)
class Workitem:
    """A workitem as its row has it.

    Attributes:
        partition: number of the data partition.
        uid: SOPInstanceUID.
        number: its place in the order in which workitems were made, from 1.
        state: ProcedureStepState.
        lock: what `lock_of` makes of the Transaction UID that holds it; empty when none does.
        dataset: its attributes, DICOM JSON, without the Transaction UID.
        token: of the request that made it.
        etag: of the row as it was read.
    """

    partition: int
    uid: str
    number: int
    state: State
    lock: str = field(repr=False)
    dataset: Mapping[str, Any] = field(repr=False)
    token: str
    etag: str = ""


def lock_of(uid: str, transaction_uid: str) -> str:
    """What is kept of a Transaction UID: enough to know it again, and nothing to find it out from."""
    return hashlib.blake2b(transaction_uid.encode(), key=uid.encode()[:64], digest_size=16).hexdigest()


def place_partition(partition: int, uid: str) -> str:
    """Partition with the row that says a workitem's number."""
    return f"d{base36(partition)}~{uid}"


def block_of(number: int) -> int:
    """The block that a workitem is in."""
    return (number - 1) // BLOCK


def home(partition: int, block: int) -> tuple[str, str]:
    """Table and partition of a block."""
    return segment_table(KIND, block), segment_partition(partition, block)


def workitem_row(number: int) -> str:
    """Row of a workitem; newer ones sort first."""
    return f"{_LAST - number:013d}"


def number_of(row_key: str) -> int:
    """The number in the key of a row."""
    return _LAST - int(row_key)


def entity_of(workitem: Workitem, mark: str) -> dict[str, Any]:
    """The row of a workitem.

    Args:
        workitem: as it is to be.
        mark: tells this write from all others.

    Raises:
        InvalidRequest: it is too long for a row.
    """
    try:
        content = packed(_DATASET, workitem.dataset)
    except ValueError:
        content = {}
    if not 0 < sum(map(len, content.values())) <= MOST_BYTES:
        raise InvalidRequest(f"The workitem is too long: more than {MOST_BYTES} bytes when compressed.")
    return {
        "uid": workitem.uid,
        "state": workitem.state.value,
        "lock": workitem.lock,
        "token": workitem.token,
        "mark": mark,
        **content,
        **_columns(workitem.dataset),
        "schema": SCHEMA,
    }


def workitem_of(partition: int, row: Entity) -> Workitem:
    """The workitem that a row holds."""
    return Workitem(
        partition=partition,
        uid=row["uid"],
        number=number_of(row["RowKey"]),
        state=State(row["state"]),
        lock=row["lock"],
        dataset=dataset_of(row),
        token=row["token"],
        etag=row.get(ETAG, ""),
    )


def dataset_of(row: Entity) -> dict[str, Any]:
    """The data set that a row holds.

    Raises:
        ValueError: it cannot be read; zlib.error as well.
    """
    found = unpacked({name: value for name, value in row.items() if value is not None}, _DATASET)
    if found is None:
        raise ValueError("the row of a workitem has no data set")
    return found


def values_in(column: str) -> tuple[str, ...]:
    """The folded values in a search column: one as it is, several between backslashes."""
    return tuple(column[1:-1].split("\\")) if column.startswith("\\") else (column,)


def _columns(dataset: Mapping[str, Any]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for key in SEARCHABLE:
        values = folded_values(dataset, key)[:_MOST_VALUES]
        if not values:
            continue
        name = f"{SEARCH_COLUMN}{key.column}"
        columns[name] = values[0] if len(values) == 1 else "\\{}\\".format("\\".join(values))
        if key.vr == "PN":
            words = name_words(values[0])[:NAME_COLUMNS]
            columns |= {f"{name}{place}": word for place, word in enumerate(words, 1)}
    return columns
