"""Instances of all studies by what they say about extended query tags: the rows of one tag say where to look.

Every place they name is looked up: the rows of the instance, its series and its study are the truth.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from contextlib import aclosing

from shared.storage.conditions import Condition, columns_of, match_all
from shared.storage.hits import Criteria, Hit
from shared.storage.index import DELETING
from shared.storage.keys import STUDY_ROW, instance_row, main_table, series_row, study_partition
from shared.storage.partitions import DataPartition
from shared.storage.postings import Found, Postings, order_of
from shared.storage.tables import Entity, Tables, whole
from shared.storage.tagconditions import TagCondition
from shared.storage.tagrows import POSTED

FEW = 1000
"""Up to so many places are looked up one by one; beyond that, conditions on studies and series narrow a search more."""
_AT_ONCE = 16


class TaggedSearch:
    """Finds instances by tags, seen from one worker."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._postings = Postings(tables)

    async def page(self, partition: DataPartition, criteria: Criteria) -> list[Hit] | None:
        """A page of instances, newest first; None when it is better to look for studies or series first."""
        condition = min(criteria.instance, key=_breadth)
        narrow = bool(criteria.study or criteria.series)
        look = _Look(self._tables, partition, criteria)
        if condition.probe.one_value:
            return await self._in_order(partition, condition, look, narrow=narrow)
        return await self._sorted(partition, condition, look, narrow=narrow)

    async def _in_order(
        self, partition: DataPartition, condition: TagCondition, look: _Look, *, narrow: bool
    ) -> list[Hit] | None:
        """Places come newest first, so the search ends when the page is full."""
        seen = 0
        async with aclosing(self._postings.newest_first(partition.number, condition.probe, look.likely)) as pages:
            async for places in pages:
                seen += len(places)
                if narrow and seen > FEW:
                    return None
                for start in range(0, len(places), look.enough):
                    await look.add(places[start : start + look.enough])
                    if look.full:
                        return look.page()
        return look.page()

    async def _sorted(
        self, partition: DataPartition, condition: TagCondition, look: _Look, *, narrow: bool
    ) -> list[Hit] | None:
        """Places come by their values: all are read, and the newest kept; again for older ones while too few match."""
        before: Found | None = None
        most = max(FEW, 2 * look.enough)
        while True:
            found = await self._postings.newest(partition.number, condition.probe, before, most)
            if narrow and len(found) > FEW:
                return None
            newest = heapq.nsmallest(most, found, order_of)
            await look.add(newest)
            if look.full or len(newest) < most:
                return look.page()
            before = newest[-1]


class _Look:
    """Looks places up and keeps what satisfies all conditions."""

    def __init__(self, tables: Tables, partition: DataPartition, criteria: Criteria) -> None:
        self._tables = tables
        self._partition = partition
        self._criteria = criteria
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._above: dict[tuple[str, str], asyncio.Task[bool]] = {}
        self._hits: list[Hit] = []
        self.enough = criteria.offset + criteria.limit

    @property
    def likely(self) -> int:
        """How many places are worth asking each table for; with other conditions, more than are wanted."""
        alone = not (self._criteria.study or self._criteria.series or len(self._criteria.instance) > 1)
        return self.enough if alone else FEW

    @property
    def full(self) -> bool:
        """Whether the page is complete."""
        return len(self._hits) >= self.enough

    def page(self) -> list[Hit]:
        """What was found, as far as it is on the page."""
        return self._hits[self._criteria.offset : self.enough]

    async def add(self, places: Sequence[Found]) -> None:
        """Look places up, in their order; leaves off when the page is full."""
        for start in range(0, len(places), 4 * _AT_ONCE):
            found = await asyncio.gather(*map(self._look, places[start : start + 4 * _AT_ONCE]))
            self._hits += [hit for hit in found if hit is not None]
            if self.full:
                return

    async def _look(self, place: Found) -> Hit | None:
        posted, (study_uid, series_uid, sop_instance_uid) = place
        criteria = self._criteria
        if criteria.series_uid and series_uid != criteria.series_uid:
            return None
        row, study, series = await asyncio.gather(
            self._row(
                study_uid,
                instance_row(series_uid, sop_instance_uid),
                ("version", POSTED, *columns_of(criteria.instance)),
            ),
            self._level(study_uid, STUDY_ROW, criteria.study),
            self._level(study_uid, series_row(series_uid), criteria.series),
        )
        if row is None or whole(row, POSTED) != posted or not match_all(row, criteria.instance) or not study & series:
            return None
        return Hit(study_uid, series_uid, sop_instance_uid, version=whole(row, "version"))

    async def _level(self, study_uid: str, row_key: str, conditions: Sequence[Condition]) -> bool:
        """Whether the row of a study or series is there and satisfies conditions; each is read once."""
        key = study_uid, row_key
        if key not in self._above:
            self._above[key] = asyncio.create_task(self._counts(study_uid, row_key, conditions))
        return await self._above[key]

    async def _counts(self, study_uid: str, row_key: str, conditions: Sequence[Condition]) -> bool:
        row = await self._row(study_uid, row_key, ("order", DELETING, *columns_of(conditions)))
        return row is not None and DELETING not in row and match_all(row, conditions)

    async def _row(self, study_uid: str, row_key: str, columns: Sequence[str]) -> Entity | None:
        async with self._gate:
            where = study_partition(self._partition.number, study_uid)
            return await self._tables.get(main_table(study_uid), where, row_key, columns)


def _breadth(condition: TagCondition) -> int:
    """How much a condition probably finds: one value is better than several, and those better than a span."""
    return 0 if condition.probe.one_value else len(condition.probe.spans) if condition.test.is_simple() else 100
