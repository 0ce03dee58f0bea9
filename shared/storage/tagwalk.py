"""The walk through everything that is stored, for tags that are being added: a bounded part of it at a time.

It goes through the tables of studies in the order of keys, and remembers the last row it has seen. Whatever is stored
behind it while it walks is indexed by its store (tagfollow.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from shared.dicom.attributes import Level
from shared.storage.filters import SegmentFilters
from shared.storage.keys import SHARDS, uids_of_row
from shared.storage.partitions import DataPartition, Partitions
from shared.storage.segments import hinted_segment, is_begun
from shared.storage.tables import Entity, Tables, quoted
from shared.storage.tagindex import TagIndex, columns_for
from shared.storage.tags import TagError
from shared.storage.tagset import TagEntry
from shared.storage.tagvalues import InstanceFault

ROWS = 1000
"""So many rows are looked at in one part of the walk, or fewer."""
SEGMENTS = 20
"""So many filters of sealed segments are written anew in one part."""
_STUDIES_AT_ONCE = 8
_KINDS = {Level.STUDY: "log", Level.SERIES: "ser"}


@dataclass(frozen=True, slots=True)
class Place:
    """How far the walk is: the last row that was looked at.

    Attributes:
        shard: number of the table; one past the last when everything was looked at.
        partition: PartitionKey; empty at the begin of the table.
        row: RowKey.
    """

    shard: int = 0
    partition: str = ""
    row: str = ""

    @property
    def through(self) -> bool:
        """Whether everything was looked at."""
        return self.shard >= SHARDS


@dataclass(slots=True)
class Part:
    """What a part of the walk has done.

    Attributes:
        place: where the next one goes on.
        instances: how many were looked at.
        errors: values that cannot be indexed, by numbers of tags.
    """

    place: Place
    instances: int = 0
    errors: dict[int, list[TagError]] = field(default_factory=dict)


class TagWalk:
    """Walks through everything, seen from the worker that does."""

    def __init__(self, tables: Tables, index: TagIndex, partitions: Partitions) -> None:
        self._tables = tables
        self._index = index
        self._partitions = partitions
        self._filters = SegmentFilters(tables)

    async def part(self, place: Place, entries: Sequence[TagEntry], rows: int = ROWS) -> Part:
        """Index the next rows by tags that are being added. Doing it again from the same place changes nothing.

        Args:
            place: how far the walk was.
            entries: the tags.
            rows: how many rows to look at.
        """
        names = {number: name for name, number in (await self._partitions.all()).items()}
        part = Part(place)
        left = rows
        while left > 0 and not part.place.through:
            found = await self._rows(part.place, entries, left)
            gate = asyncio.Semaphore(_STUDIES_AT_ONCE)
            studies = [list(group) for _, group in groupby(found, key=lambda row: row["PartitionKey"])]
            await asyncio.gather(*(self._study(gate, study, entries, names, part) for study in studies))
            if len(found) < left:
                part.place = Place(part.place.shard + 1)
            else:
                part.place = Place(part.place.shard, found[-1]["PartitionKey"], found[-1]["RowKey"])
            left -= max(len(found), 1)
        return part

    async def filters(self, after: tuple[int, int, int], entries: Sequence[TagEntry]) -> tuple[int, int, int] | None:
        """Write filters of sealed segments anew, which know nothing of the tags; where to go on, None at the end.

        Args:
            after: the first that is left to do: number of a data partition, 0 for studies and 1 for series, segment.
            entries: the tags; everything that is stored is indexed by them.
        """
        number, which, segment = after
        numbers = sorted((await self._partitions.all()).values())
        kinds = sorted({_KINDS[entry.tag.level] for entry in entries if entry.tag.level in _KINDS})
        indexed = max(entry.tag.number for entry in entries)
        left = SEGMENTS
        for partition in (one for one in numbers if one >= number):
            for place, kind in enumerate(kinds):
                if (partition, place) < (number, which):
                    continue
                first = segment if (partition, place) == (number, which) else 0
                sealed = await self._sealed(kind, partition)
                for one in range(first, sealed):
                    if not left:
                        return partition, place, one
                    await self._filters.build(kind, partition, one, indexed)
                    left -= 1
        return None

    async def _rows(self, place: Place, entries: Sequence[TagEntry], count: int) -> list[Entity]:
        """The next rows of a table in the order of keys; fewer than asked for at its end only."""
        asked = [f"PartitionKey gt {quoted(place.partition or ' ')}"]
        if place.partition:
            asked.insert(0, f"PartitionKey eq {quoted(place.partition)} and RowKey gt {quoted(place.row)}")
        found: list[Entity] = []
        for where in asked:
            if len(found) >= count:
                break
            pages = self._tables.pages(f"main{place.shard:02d}", where, columns_for(entries), min(count, ROWS))
            async for page in pages:
                found += page
                if len(found) >= count:
                    break
        return found[:count]

    async def _study(
        self,
        gate: asyncio.Semaphore,
        rows: Sequence[Entity],
        entries: Sequence[TagEntry],
        names: Mapping[int, str],
        part: Part,
    ) -> None:
        where = rows[0]["PartitionKey"]
        number, _, study_uid = where.partition("~")
        known = int(number.removeprefix("d"), 36)
        # What is in a data partition that came a moment ago was indexed by its stores.
        partition = DataPartition(known, names.get(known, ""))
        async with gate:
            faults = await self._index.rows(partition, study_uid, rows, entries)
        part.instances += sum("blob" in row for row in rows)
        for fault in faults:
            error = _error(f"{part.place.shard:02d}~{where}", partition, study_uid, fault)
            part.errors.setdefault(fault.number, []).append(error)

    async def _sealed(self, kind: str, partition: int) -> int:
        """How many segments of a log are sealed."""
        newest = max(await hinted_segment(self._tables, kind, partition), 0)
        while await is_begun(self._tables, kind, partition, newest + 1):
            newest += 1
        return newest


def _error(place: str, partition: DataPartition, study_uid: str, fault: InstanceFault) -> TagError:
    series_uid, sop_instance_uid = uids_of_row(fault.row)
    return TagError(f"{place}~{fault.row}", partition.name, study_uid, series_uid, sop_instance_uid, fault.text)
