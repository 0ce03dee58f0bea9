"""The part of the check of a whole store that is about extended query tags."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.storage.keys import uids_of_row
from shared.storage.postings import SUPERSEDED, Posted
from shared.storage.tables import Entity, Tables
from shared.storage.tagrows import TABLES, Extended, elements_of, extended_values, home_of
from shared.storage.tags import Tags
from shared.storage.tagset import TagSet


@dataclass(slots=True)
class TagsSeen:
    """What the walk through the studies leaves about tags.

    Attributes:
        tags: the tags that there are.
        posted: rows that instances have to be found by: number of the tag, table, partition, key.
        covers: what covering rows have to answer, by their names.
    """

    tags: TagSet = field(default_factory=TagSet)
    posted: set[tuple[int, str, str, str]] = field(default_factory=set)
    covers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def ready(self) -> set[int]:
        """Numbers of the tags that everything is indexed by."""
        return {entry.tag.number for entry in self.tags.entries if entry.ready}

    def instance(self, where: str, row: Entity) -> None:
        """Take an instance row in."""
        partition, _, study_uid = where.partition("~")
        posted = Posted.of(study_uid, *uids_of_row(row["RowKey"]), row)
        known, home = self.ready, int(partition.removeprefix("d"), 36)
        self.posted |= {
            (number, *home_of(home, number, study_uid), key) for number, key in posted.postings() if number in known
        }

    def cover(self, name: str, extended: Extended) -> None:
        """Take in what a study or series says."""
        self.covers[name] = self._ready_of(extended)

    def faults_of_cover(self, name: str, row: Entity) -> Iterator[str]:
        """Whether a covering row says what its study or series says."""
        if self._ready_of(extended_values(row)) != self.covers.get(name, {}):
            yield f"{name}: its extended query tags are not those of the row that it covers"

    def _ready_of(self, extended: Extended) -> dict[str, Any]:
        known = self.ready
        return {slot: value for slot, value in elements_of(extended).items() if value[0] in known}


async def tags_seen(tables: Tables) -> TagsSeen:
    """The beginning: the tags that there are."""
    return TagsSeen(await Tags(tables).load())


async def posting_faults(tables: Tables, seen: TagsSeen) -> list[str]:
    """Every instance is found by what it says, and nothing else is found."""
    known = seen.ready
    found: set[tuple[int, str, str, str]] = set()
    for table in TABLES if known else ():
        async for page in tables.pages(table, "PartitionKey gt ' '", ("PartitionKey", "RowKey", SUPERSEDED)):
            found |= {
                (number, table, row["PartitionKey"], row["RowKey"])
                for row in page
                if SUPERSEDED not in row and (number := int(row["PartitionKey"].split("~")[1])) in known
            }
    missing = (
        f"tag {number}: {_instance(key)} is not found by it" for number, _, _, key in sorted(seen.posted - found)
    )
    strange = (
        f"tag {number}: finds {_instance(key)}, which does not say so"
        for number, _, _, key in sorted(found - seen.posted)
    )
    return [*missing, *strange]


def _instance(key: str) -> str:
    return key.rpartition("~")[2]
