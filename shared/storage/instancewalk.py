"""Walks over stored instances in the order of keys that can be gone on with from any row: for work in slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.storage.files import StoredInstance, stored_instance
from shared.storage.index import DELETING
from shared.storage.instances import PLACE
from shared.storage.keys import ORIGINAL, STUDY_ROW, main_table, series_range, study_partition
from shared.storage.partitions import DataPartition
from shared.storage.tables import Entity, Tables, between, quoted

_COLUMNS = ("PartitionKey", *PLACE)
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Walked:
    """Some rows of a walk.

    Attributes:
        instances: those among the rows, with the StudyInstanceUID and the row key of each.
        study_uid: of the last row; empty when there was none.
        row: key of the last row.
        through: nothing is left behind it.
    """

    instances: Sequence[tuple[str, str, StoredInstance]]
    study_uid: str
    row: str
    through: bool


class InstanceWalk:
    """Walks over instances, seen from one worker."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def of_study(
        self, partition: DataPartition, study_uid: str, series_uid: str, behind: str, count: int
    ) -> Walked:
        """The next rows of a study, or of one of its series.

        Args:
            partition: where it is.
            study_uid: StudyInstanceUID.
            series_uid: SeriesInstanceUID; empty for all.
            behind: key of the row that was seen last; empty at the begin.
            count: how many rows to look at.
        """
        low, high = series_range(series_uid) if series_uid else (STUDY_ROW, ORIGINAL)
        where = study_partition(partition.number, study_uid)
        asked = between(where, low, high)
        if behind:
            asked = f"PartitionKey eq {quoted(where)} and RowKey gt {quoted(behind)} and RowKey lt {quoted(high)}"
        return _walked(await self._rows(main_table(study_uid), [asked], count), count)

    async def of_table(self, partition: DataPartition, shard: int, study_uid: str, behind: str, count: int) -> Walked:
        """The next rows of one of the tables of studies.

        Args:
            partition: only rows of this one.
            shard: number of the table.
            study_uid: of the row that was seen last; empty at the begin.
            behind: its key.
            count: how many rows to look at.
        """
        low, high = study_partition(partition.number, study_uid), study_partition(partition.number, ":")
        # A UID has digits and dots, which sort before the colon.
        asked = [f"PartitionKey gt {quoted(low)} and PartitionKey lt {quoted(high)}"]
        if study_uid:
            asked.insert(0, f"PartitionKey eq {quoted(low)} and RowKey gt {quoted(behind)}")
        return _walked(await self._rows(f"main{shard:02d}", asked, count), count)

    async def _rows(self, table: str, asked: Sequence[str], count: int) -> list[Entity]:
        found: list[Entity] = []
        for where in asked:
            async for page in self._tables.pages(table, where, _COLUMNS, min(count, _PAGE)):
                found += page
                if len(found) >= count:
                    return found[:count]
        return found


def _walked(rows: Sequence[Entity], count: int) -> Walked:
    instances = []
    going: tuple[str, str] | None = None
    for row in rows:
        where, key = row["PartitionKey"], row["RowKey"]
        if DELETING in row:
            # The row of a study or series sorts before everything in it.
            uid = key.rstrip("!")
            going = (where, f"{uid}!" if uid else "")
        elif "blob" in row and not (going and where == going[0] and key.startswith(going[1])):
            instances.append((_study_uid(row), key, stored_instance(row)))
    last = rows[-1] if rows else None
    return Walked(
        instances, _study_uid(last) if last else "", last["RowKey"] if last else "", through=len(rows) < count
    )


def _study_uid(row: Entity) -> str:
    return str(row["PartitionKey"].partition("~")[2])
