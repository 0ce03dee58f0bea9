"""The set of extended query tags: what a worker knows of it, and how it is written down.

All rows are in one partition, so one call reads the set and one transaction changes it. The row of the set counts its
changes: comparing that count tells whether what a worker knows is still so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.dicom.attributes import Level
from shared.dicom.extendedtags import ExtendedTag
from shared.storage.keys import SCHEMA
from shared.storage.tables import Entity, whole
from shared.storage.tagrows import SLOTS

TABLE = "tags"
PARTITION = "tags"
SET_ROW = "!"
"""Row of the set: counts of changes and additions, the next number, and how far the index is complete."""
ENTRY, GONE = "t~", "g~"
"""What the row keys of tags begin with, and of those that are gone and have left data."""
MOST = 128


@dataclass(frozen=True, slots=True)
class TagEntry:
    """A tag as the service has it.

    Attributes:
        tag: the tag.
        added: the set's count of additions when it came; an instance that was indexed for fewer has to be looked at.
        ready: whether everything that is stored is indexed.
        enabled: whether it can be searched for, once it is ready.
        operation: id of the operation that indexes what is stored; empty when that is through.
        erroneous: whether there are instances whose value could not be indexed.
    """

    tag: ExtendedTag
    added: int
    ready: bool = False
    enabled: bool = True
    operation: str = ""
    erroneous: bool = False

    @property
    def searchable(self) -> bool:
        """Whether a search may ask for it."""
        return self.ready and self.enabled


@dataclass(frozen=True, slots=True)
class GoneTag:
    """A tag that was deleted and whose data is still there.

    Attributes:
        number: of the tag.
        slot: the column that is not used again before its data is gone.
        since: when it was deleted, ISO 8601.
    """

    number: int
    slot: int
    since: str


@dataclass(frozen=True, slots=True)
class TagSet:
    """All tags, as they were when they were read.

    Attributes:
        version: counts every change.
        added: counts additions.
        next_number: the number of the next tag.
        indexed: all tags up to this number are indexed, or gone.
        entries: the tags, in the order in which they came.
        gone: tags that were deleted a moment ago.
    """

    version: int = 0
    added: int = 0
    next_number: int = 1
    indexed: int = 0
    entries: tuple[TagEntry, ...] = ()
    gone: tuple[GoneTag, ...] = ()

    @property
    def tags(self) -> tuple[ExtendedTag, ...]:
        """What new instances are indexed by."""
        return tuple(entry.tag for entry in self.entries)

    def find(self, path: str) -> TagEntry | None:
        """The entry of a tag, by its eight digits."""
        return next((entry for entry in self.entries if entry.tag.path == path), None)

    def free_slots(self) -> list[int]:
        """Columns that no tag uses, the first ones first."""
        taken = {entry.tag.slot for entry in self.entries} | {one.slot for one in self.gone}
        return [slot for slot in range(SLOTS) if slot not in taken]


def set_of(rows: Iterable[Entity]) -> TagSet:
    """The set that the partition's rows are."""
    by_key = {row["RowKey"]: row for row in rows}
    head = by_key.get(SET_ROW, {})
    entries = [entry_of(row) for key, row in by_key.items() if key.startswith(ENTRY)]
    gone = [
        GoneTag(whole(row, "number"), whole(row, "slot"), row["since"])
        for key, row in by_key.items()
        if key.startswith(GONE)
    ]
    return TagSet(
        version=whole(head, "version"),
        added=whole(head, "added"),
        next_number=whole(head, "next") or 1,
        indexed=whole(head, "indexed"),
        entries=tuple(sorted(entries, key=lambda entry: entry.tag.number)),
        gone=tuple(gone),
    )


def head_entity(tags: TagSet) -> dict[str, Any]:
    """The properties of the set's row."""
    return {
        "version": tags.version,
        "added": tags.added,
        "next": tags.next_number,
        "indexed": tags.indexed,
        "schema": SCHEMA,
    }


def entry_of(row: Entity) -> TagEntry:
    """The tag that a row holds."""
    tag = ExtendedTag(
        tag=int(row["RowKey"].removeprefix(ENTRY), 16),
        vr=row["vr"],
        level=Level(row["level"]),
        number=whole(row, "number"),
        slot=whole(row, "slot"),
        creator=row["creator"],
    )
    return TagEntry(tag, whole(row, "added"), row["ready"], row["enabled"], row["operation"], row["erroneous"])


def entry_row(entry: TagEntry) -> str:
    """Row of a tag."""
    return ENTRY + entry.tag.path


def entry_entity(entry: TagEntry) -> Mapping[str, Any]:
    """The properties of a tag's row."""
    return {
        "vr": entry.tag.vr,
        "level": entry.tag.level.value,
        "number": entry.tag.number,
        "slot": entry.tag.slot,
        "creator": entry.tag.creator,
        "added": entry.added,
        "ready": entry.ready,
        "enabled": entry.enabled,
        "operation": entry.operation,
        "erroneous": entry.erroneous,
        "schema": SCHEMA,
    }


def gone_row(number: int) -> str:
    """Row of a tag that is gone."""
    return f"{GONE}{number:010d}"


def gone_entity(gone: GoneTag) -> Mapping[str, Any]:
    """The properties of that row."""
    return {"number": gone.number, "slot": gone.slot, "since": gone.since, "schema": SCHEMA}
