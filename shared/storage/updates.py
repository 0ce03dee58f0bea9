"""Instances that are updated: what is read of them before, what their rows say afterwards, and who has done it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from shared.storage.files import HEAD, stored_instance
from shared.storage.instances import PLACE
from shared.storage.keys import ORIGINAL, STUDY_ROW, main_table, study_partition
from shared.storage.originals import is_updated
from shared.storage.partitions import DataPartition
from shared.storage.pixelrows import PIXEL_COLUMNS
from shared.storage.rows import (
    METADATA_COLUMNS,
    METADATA_PROPERTIES,
    METADATA_SUFFIX,
    OF_BLOBS,
    PROPERTY_BYTES,
    blobs_of,
    first_event,
    fits_row,
    packed_of,
    replaced_blobs,
)
from shared.storage.tables import Entity, Tables, quoted, whole

UPDATED, REFUSED = "updated", "refused"
"""Columns of an instance: the operation that updated it last; the one that could not, and why."""

_EVENT = ("event", "created", "createdVersion", "schema", "sopClass")
_SUBJECT = tuple(dict.fromkeys((*PLACE, *OF_BLOBS, *_EVENT, *PIXEL_COLUMNS, *METADATA_COLUMNS, UPDATED, REFUSED)))
_CENSUS = ("RowKey", "event", "version", "replaced", UPDATED, REFUSED)


@dataclass(frozen=True, slots=True)
class Place:
    """A study that is being updated.

    Attributes:
        partition: data partition.
        study_uid: StudyInstanceUID.
        operation_id: the operation that updates it.
    """

    partition: DataPartition
    study_uid: str
    operation_id: str

    @property
    def table(self) -> str:
        """The table with its rows."""
        return main_table(self.study_uid)

    @property
    def where(self) -> str:
        """The partition with its rows."""
        return study_partition(self.partition.number, self.study_uid)


@dataclass(frozen=True, slots=True)
class Census:
    """Instances of a study, by what an operation has done with them.

    Attributes:
        updated: rows of those with a new begin.
        refused: rows of those that cannot have one.
        left: rows of the others.
    """

    updated: list[Entity] = field(default_factory=list)
    refused: list[Entity] = field(default_factory=list)
    left: list[Entity] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.updated) + len(self.refused) + len(self.left)

    @property
    def last(self) -> str:
        """The key of the last row; empty when there is none."""
        return max((str(row["RowKey"]) for row in (*self.updated, *self.refused, *self.left)), default="")

    def add(self, row: Entity, operation_id: str) -> None:
        """Count one."""
        if row.get(UPDATED) == operation_id:
            self.updated.append(row)
        elif row.get(REFUSED, "").startswith(f"{operation_id} "):
            self.refused.append(row)
        else:
            self.left.append(row)


@dataclass(frozen=True, slots=True)
class UpdatedInstance:
    """An instance with a new begin, which is in its blob already.

    Attributes:
        row: the instance's row as it was read, with its ETag.
        head: name of the blob with the begin.
        head_bytes: how long it is.
        replaced_bytes: how much of the file as it was it stands for.
        metadata: the new metadata, DICOM JSON.
        packed: the same as rows have it.
    """

    row: Entity
    head: str
    head_bytes: int
    replaced_bytes: int
    metadata: bytes
    packed: bytes

    @property
    def key(self) -> str:
        """The row's key."""
        return str(self.row["RowKey"])

    @property
    def beside(self) -> bool:
        """Whether its metadata is too long for the row."""
        return not fits_row(self.packed)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An instance that cannot have a new begin.

    Attributes:
        row: the instance's row as it was read, with its ETag.
        reason: why; safe to show.
    """

    row: Entity
    reason: str


@dataclass(frozen=True, slots=True)
class PixelPlace:
    """Where the pixel data of a file is, as far as its begin goes.

    Attributes:
        start: of its value; the end of the file when it has none; -1 when it is deflated.
        stop: where the file goes on behind it.
    """

    start: int
    stop: int


async def subjects(tables: Tables, place: Place, behind: str, most: int) -> Census:
    """The next instances of a study in the order of their rows, with all that an update needs of them.

    Args:
        tables: where they are.
        place: the study and the operation.
        behind: the row to go on behind; empty for the first.
        most: how many.
    """
    found = Census()
    async for row in _instances(tables, place, _SUBJECT, behind, most):
        found.add(row, place.operation_id)
        if found.size == most:
            break
    return found


async def census(tables: Tables, place: Place) -> Census:
    """All instances of a study."""
    found = Census()
    async for row in _instances(tables, place, _CENSUS, STUDY_ROW, 1000):
        found.add(row, place.operation_id)
    return found


async def _instances(
    tables: Tables, place: Place, columns: tuple[str, ...], behind: str, page_rows: int
) -> AsyncIterator[Entity]:
    rows = f"RowKey gt {quoted(behind or STUDY_ROW)} and RowKey lt {quoted(ORIGINAL)} and blob ge ' '"
    asked = f"PartitionKey eq {quoted(place.where)} and {rows}"
    async for page in tables.pages(place.table, asked, columns, page_rows, etags=True):
        for row in page:
            yield row


def pixel_place(row: Entity) -> PixelPlace:
    """Where the pixel data of a subject is."""
    length = whole(row, "length")
    if "pixelOffset" not in row:
        return PixelPlace(length, length)
    start = whole(row, "pixelOffset")
    delimiter_bytes = 8 if row.get("encapsulated") else 0
    return PixelPlace(start, min(start + whole(row, "pixelLength") + delimiter_bytes, length))


def updated_entity(one: UpdatedInstance, operation_id: str, version: int, event_id: str) -> dict[str, Any]:
    """What changes in the row of an instance."""
    row, before = one.row, stored_instance(one.row)
    longer_bytes = one.head_bytes - one.replaced_bytes
    created, created_version = first_event(row)
    entity: dict[str, Any] = {
        HEAD: one.head,
        "headLength": one.head_bytes,
        "tail": before.tail_bytes + one.replaced_bytes - before.head_bytes,
        "length": before.length_bytes + longer_bytes,
        "headBeside": METADATA_SUFFIX if one.beside else "",
        "replaced": " ".join([*replaced_blobs(row), *_head_blobs(row)]),
        "version": version,
        "event": event_id,
        "created": created,
        "createdVersion": created_version,
        UPDATED: operation_id,
        **_metadata_columns(row, b"" if one.beside else one.packed),
    }
    if whole(row, "pixelOffset") > 0:
        entity["pixelOffset"] = whole(row, "pixelOffset") + longer_bytes
    return entity


def _head_blobs(row: Entity) -> list[str]:
    """The blobs that the instance has because of its last update."""
    return [name for name in blobs_of(row) if name not in blobs_of({**row, HEAD: ""})] if is_updated(row) else []


def _metadata_columns(row: Entity, packed: bytes) -> dict[str, bytes]:
    """The columns for metadata; those that are not needed any more become empty, because a merge takes none away."""
    columns = {}
    for place in range(METADATA_PROPERTIES):
        part = packed[place * PROPERTY_BYTES : (place + 1) * PROPERTY_BYTES]
        if part or f"meta{place}" in row:
            columns[f"meta{place}"] = part
    return columns


def packed_bytes(row: Entity) -> int:
    """How long the metadata in a row is."""
    return len(packed_of(row))
