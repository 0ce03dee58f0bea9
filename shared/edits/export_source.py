"""What an export goes through: the instances of its identifiers, or of everything, a bounded part at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.errors import NotFound
from shared.storage.files import StoredInstance
from shared.storage.instancewalk import InstanceWalk, Walked
from shared.storage.keys import SHARDS
from shared.storage.partitions import DataPartition
from shared.storage.stores import Stores

PART_ROWS = 100
"""So many instances are in one part, or fewer."""
PART_BYTES = 64 * 1024 * 1024
"""A part ends with the instance that makes it longer."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far an export is.

    Attributes:
        at: number of the identifier, or of the table.
        study_uid: of the row that was seen last, in a table.
        row: its key; empty at the begin of an identifier or a table.
    """

    at: int = 0
    study_uid: str = ""
    row: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """An instance that is to be exported.

    Attributes:
        study_uid: its study.
        instance: where it is.
    """

    study_uid: str
    instance: StoredInstance

    @property
    def identifier(self) -> str:
        """Its UIDs, with slashes between."""
        return f"{self.study_uid}/{self.instance.series_uid}/{self.instance.sop_instance_uid}"


@dataclass(slots=True)
class Part:
    """A part of an export.

    Attributes:
        place: behind it.
        found: its instances.
        missing: identifiers of which nothing is stored.
        through: nothing is left behind it.
        looked_at: instances and identifiers, and looks that found none.
        size_bytes: of its instances.
    """

    place: Place
    found: list[Found] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    through: bool = False
    looked_at: int = 0
    size_bytes: int = 0

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return self.looked_at >= PART_ROWS or self.size_bytes >= PART_BYTES

    def take(self, walked: Walked) -> tuple[str, str, bool]:
        """Take instances until full; gives the study and row of the last one seen, and whether nothing is left."""
        for study_uid, row, instance in walked.instances:
            self.add(study_uid, instance)
            if self.size_bytes >= PART_BYTES:
                return study_uid, row, False
        return walked.study_uid, walked.row, walked.through

    def add(self, study_uid: str, instance: StoredInstance) -> None:
        """Take one instance."""
        self.found.append(Found(study_uid, instance))
        self.looked_at += 1
        self.size_bytes += instance.length_bytes


async def part_of(stores: Stores, partition: DataPartition, values: Sequence[str] | None, place: Place) -> Part:
    """The next part of an export; the same from the same place, as long as nothing is stored or deleted."""
    part = Part(place)
    if values is None:
        await _everything(stores.instance_walk, partition, part)
    else:
        await _identifiers(stores, partition, values, part)
    return part


async def _everything(walk: InstanceWalk, partition: DataPartition, part: Part) -> None:
    while not part.full and part.place.at < SHARDS:
        place = part.place
        walked = await walk.of_table(partition, place.at, place.study_uid, place.row, PART_ROWS - part.looked_at)
        before = part.looked_at
        study_uid, row, through = part.take(walked)
        part.place = Place(place.at + 1) if through else Place(place.at, study_uid, row)
        # A look that found no instance counts as well: a part ends also where there are none.
        part.looked_at = max(part.looked_at, before + 1)
    part.through = part.place.at >= SHARDS


async def _identifiers(stores: Stores, partition: DataPartition, values: Sequence[str], part: Part) -> None:
    while not part.full and part.place.at < len(values):
        value, place = values[part.place.at], part.place
        uids = value.split("/")
        if len(uids) == len(("study", "series", "instance")):
            await _instance(stores, partition, uids, part)
            part.place = Place(place.at + 1)
            continue
        study_uid, series_uid = uids[0], uids[1] if uids[1:] else ""
        count = PART_ROWS - part.looked_at
        walked = await stores.instance_walk.of_study(partition, study_uid, series_uid, place.row, count)
        if not place.row and not walked.instances and walked.through:
            part.missing.append(value)
        _, row, through = part.take(walked)
        part.place = Place(place.at + 1) if through else Place(place.at, "", row)
        part.looked_at += 1
    part.through = part.place.at >= len(values)


async def _instance(stores: Stores, partition: DataPartition, uids: Sequence[str], part: Part) -> None:
    part.looked_at += 1
    try:
        found = await stores.instances.find(partition, *uids)
    except NotFound:
        part.missing.append("/".join(uids))
        return
    part.add(uids[0], found)
