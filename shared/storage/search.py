"""Reading side of search: which studies, series and instances satisfy conditions, a page at a time.

Studies come newest first, and so do series when nothing is asked of their studies. Where something is, series and
instances come study by study. The rows of a study's partition are the truth; they are asked whenever they are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

import orjson

from shared.errors import NotFound
from shared.storage.conditions import MODALITIES, Condition, columns_of, match_all
from shared.storage.filters import SegmentFilters
from shared.storage.hits import Criteria, Hit, LevelRow
from shared.storage.index import DELETING
from shared.storage.instances import Instances
from shared.storage.keys import (
    ORIGINAL,
    STUDY_ROW,
    instance_row,
    main_table,
    series_range,
    series_row,
    study_partition,
    uids_of_row,
)
from shared.storage.partitions import DataPartition
from shared.storage.segments import LogKind
from shared.storage.tables import Entity, Tables, between, whole
from shared.storage.taggedsearch import TaggedSearch
from shared.storage.tagrows import EXTENDED
from shared.storage.walk import SegmentWalk
from shared.storage.whereabouts import Whereabouts

_AT_ONCE = 16
_LEVEL = ("RowKey", "order", "answer", "index", MODALITIES, EXTENDED, DELETING)
_GUARD = "~"  # what the rows that guard a study or series end with
_WORTH_A_RANGE = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


class Search:
    """Finds what is stored, seen from one worker."""

    def __init__(self, tables: Tables, instances: Instances) -> None:
        self._tables = tables
        self._instances = instances
        self._filters = SegmentFilters(tables)
        self._whereabouts = Whereabouts(tables)
        self._tagged = TaggedSearch(tables)
        self._walks: dict[tuple[str, int], SegmentWalk] = {}

    async def studies(self, partition: DataPartition, criteria: Criteria) -> list[Hit]:
        """A page of studies."""
        if criteria.study_uids is None:
            rows = await self._walk("log", partition).page(criteria.study, criteria.offset, criteria.limit)
            return [Hit(row["study"], study=LevelRow(row)) for row in rows]
        found = await self._named_studies(partition, criteria)
        return found[criteria.offset : criteria.offset + criteria.limit]

    async def series(self, partition: DataPartition, criteria: Criteria, *, with_study: bool) -> list[Hit]:
        """A page of series; `with_study` brings their studies too."""
        if criteria.study_uids is None and not criteria.study:
            rows = await self._walk("ser", partition).page(criteria.series, criteria.offset, criteria.limit)
            hits = [Hit(row["study"], row["series"], series=LevelRow(row)) for row in rows]
            return await self._with_studies(partition, hits) if with_study else hits

        async def of_study(study_uid: str) -> list[Hit]:
            return await self._series_of_study(partition, study_uid, criteria)

        return await self._by_study(partition, criteria, of_study)

    async def instances(
        self, partition: DataPartition, criteria: Criteria, *, with_study: bool, with_metadata: bool
    ) -> list[Hit]:
        """A page of instances; `with_study` brings their studies, `with_metadata` their metadata."""
        sizes: dict[tuple[str, str], int] = {}

        async def of_study(study_uid: str) -> list[Hit]:
            return await self._instances_of_study(partition, study_uid, criteria, sizes)

        async def of_series(uids: tuple[str, str]) -> list[Hit]:
            return await self._instances_of_study(partition, uids[0], replace(criteria, series_uid=uids[1]), sizes)

        hits: list[Hit] | None
        if criteria.sop_instance_uids is not None and criteria.study_uids is None:
            hits = await self._named_instances(partition, criteria)
        elif (
            criteria.instance
            and criteria.study_uids is None
            and (hits := await self._tagged.page(partition, criteria)) is not None
        ):
            pass  # the rows of a tag say where to look
        elif criteria.study_uids is not None or criteria.study or not criteria.series:
            hits = await self._by_study(partition, criteria, of_study)
        else:
            series = self._walk("ser", partition).keys(criteria.series)
            hits = await self._filled(criteria, _uids_of(series), of_series)
        if with_study:
            hits = await self._with_studies(partition, hits)
        return await self._with_metadata(partition, hits, sizes) if with_metadata else hits

    async def count_instances(
        self, partition: DataPartition, places: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], int]:
        """How many instances studies and series have; a study is one with an empty series UID."""

        async def count(place: tuple[str, str]) -> int:
            study_uid, series_uid = place
            where = study_partition(partition.number, study_uid)
            rows = between(where, *(series_range(series_uid) if series_uid else (STUDY_ROW, ORIGINAL)))
            pages = self._tables.pages(main_table(study_uid), rows, ("RowKey",))
            return sum([sum(row["RowKey"][-1] not in ("!", _GUARD) for row in page) async for page in pages])

        return dict(zip(places, await _some_at_once(count, places), strict=True))

    async def _by_study(
        self, partition: DataPartition, criteria: Criteria, read: Callable[[str], Awaitable[list[Hit]]]
    ) -> list[Hit]:
        return await self._filled(criteria, self._studies_to_look_in(partition, criteria), read)

    async def _filled(
        self,
        criteria: Criteria,
        places: AsyncGenerator[list[Item], None],
        read: Callable[[Item], Awaitable[list[Hit]]],
    ) -> list[Hit]:
        """The page that the hits of all places make, one place after the other; reads some places ahead."""
        found: list[Hit] = []
        enough = criteria.offset + criteria.limit
        at_once = min(enough, _AT_ONCE)
        async with aclosing(places):
            async for group in places:
                for first in range(0, len(group), at_once):
                    for hits in await asyncio.gather(*map(read, group[first : first + at_once])):
                        found += hits
                    if len(found) >= enough:
                        return found[criteria.offset : enough]
        return found[criteria.offset : enough]

    async def _studies_to_look_in(
        self, partition: DataPartition, criteria: Criteria
    ) -> AsyncGenerator[list[str], None]:
        if criteria.study_uids is None:
            async with aclosing(self._walk("log", partition).keys(criteria.study)) as pages:
                async for rows in pages:
                    yield [row["study"] for row in rows]
        elif len(criteria.study_uids) == 1:
            yield list(criteria.study_uids)  # its rows are read next, and are asked then
        else:
            yield [hit.study_uid for hit in await self._named_studies(partition, criteria)]

    async def _named_studies(self, partition: DataPartition, criteria: Criteria) -> list[Hit]:
        """Those of the studies that satisfy the conditions on studies, newest first."""

        async def read(study_uid: str) -> Hit | None:
            row = await self._row(partition, study_uid, STUDY_ROW, (*_LEVEL, *columns_of(criteria.study)))
            return Hit(study_uid, study=LevelRow(row)) if row is not None and _counts(row, criteria.study) else None

        hits = [hit for hit in await _some_at_once(read, sorted(criteria.study_uids or ())) if hit is not None]
        return sorted(hits, key=lambda hit: hit.study.row["order"] if hit.study else "", reverse=True)

    async def _series_of_study(self, partition: DataPartition, study_uid: str, criteria: Criteria) -> list[Hit]:
        where = f"{between(study_partition(partition.number, study_uid), STUDY_ROW, ORIGINAL)} and order gt ''"
        columns = (*_LEVEL, *columns_of((*criteria.study, *criteria.series)))
        rows = [
            row async for page in self._tables.pages(main_table(study_uid), where, _distinct(columns)) for row in page
        ]
        study = next((row for row in rows if row["RowKey"] == STUDY_ROW), None)
        if study is None or not _counts(study, criteria.study):
            return []
        series = [row for row in rows if row is not study and _counts(row, criteria.series)]
        series.sort(key=lambda row: row["order"], reverse=True)
        return [Hit(study_uid, row["RowKey"][:-1], study=LevelRow(study), series=LevelRow(row)) for row in series]

    async def _instances_of_study(
        self, partition: DataPartition, study_uid: str, criteria: Criteria, sizes: dict[tuple[str, str], int]
    ) -> list[Hit]:
        """Instances of a study or of one of its series, newest first; notes how many each series has."""
        where = study_partition(partition.number, study_uid)
        asked = between(where, *(series_range(criteria.series_uid) if criteria.series_uid else (STUDY_ROW, ORIGINAL)))
        every = (*criteria.study, *criteria.series, *criteria.instance)
        columns = ("RowKey", "version", DELETING, *columns_of(every))
        hits: list[Hit] = []
        counts = True
        async for page in self._tables.pages(main_table(study_uid), asked, _distinct(columns)):
            for row in page:
                # The study sorts first, and a series before its instances.
                series_uid, sop_instance_uid = uids_of_row(row["RowKey"])
                if sop_instance_uid == _GUARD:
                    continue
                if not series_uid:
                    if not _counts(row, criteria.study):
                        return []
                elif not sop_instance_uid:
                    counts = _counts(row, criteria.series)
                else:
                    sizes[study_uid, series_uid] = sizes.get((study_uid, series_uid), 0) + 1
                    wanted = criteria.sop_instance_uids
                    named = wanted is None or sop_instance_uid in wanted
                    if counts and named and match_all(row, criteria.instance):
                        hits.append(Hit(study_uid, series_uid, sop_instance_uid, version=whole(row, "version")))
        return sorted(hits, key=_age)

    async def _named_instances(self, partition: DataPartition, criteria: Criteria) -> list[Hit]:
        """Instances by their UIDs: the change feed knows where each of them was stored."""
        places = await self._whereabouts.places(partition.name, criteria.sop_instance_uids or ())

        async def read(place: tuple[str, str, str]) -> Hit | None:
            study_uid, series_uid, sop_instance_uid = place
            study, series, instance = await asyncio.gather(
                self._row(partition, study_uid, STUDY_ROW, ("order", DELETING, *columns_of(criteria.study))),
                self._row(
                    partition, study_uid, series_row(series_uid), ("order", DELETING, *columns_of(criteria.series))
                ),
                self._row(
                    partition,
                    study_uid,
                    instance_row(series_uid, sop_instance_uid),
                    ("version", *columns_of(criteria.instance)),
                ),
            )
            if instance is None or not match_all(instance, criteria.instance):
                return None
            if not _counts(study, criteria.study) or not _counts(series, criteria.series):
                return None
            return Hit(study_uid, series_uid, sop_instance_uid, version=whole(instance, "version"))

        hits = sorted((hit for hit in await _some_at_once(read, sorted(places)) if hit is not None), key=_age)
        return hits[criteria.offset : criteria.offset + criteria.limit]

    async def _with_studies(self, partition: DataPartition, hits: Sequence[Hit]) -> list[Hit]:
        """The hits with their studies; those whose study is gone by now are gone too."""
        uids = list(dict.fromkeys(hit.study_uid for hit in hits))

        async def read(study_uid: str) -> Entity | None:
            return await self._row(partition, study_uid, STUDY_ROW, _LEVEL)

        rows = dict(zip(uids, await _some_at_once(read, uids), strict=True))
        return [
            replace(hit, study=LevelRow(row))
            for hit in hits
            if (row := rows[hit.study_uid]) is not None and _counts(row)
        ]

    async def _with_metadata(
        self, partition: DataPartition, hits: Sequence[Hit], sizes: Mapping[tuple[str, str], int]
    ) -> list[Hit]:
        """The hits with their metadata; those that are gone by now are left out."""
        groups: dict[tuple[str, str], set[str]] = {}
        for hit in hits:
            groups.setdefault((hit.study_uid, hit.series_uid), set()).add(hit.sop_instance_uid)
        found: dict[tuple[str, str, str], Mapping[str, Any]] = {}

        async def read_one(uids: tuple[str, str, str]) -> None:
            try:
                found[uids] = orjson.loads((await self._instances.metadata(partition, *uids)).json)
            except NotFound:
                return  # deleted a moment ago

        async def read_series(uids: tuple[str, str]) -> None:
            async for page in self._instances.metadata_pages(partition, *uids):
                for json in page:
                    metadata = orjson.loads(json)
                    found[(*uids, metadata["00080018"]["Value"][0])] = metadata

        ranges = [
            uids for uids, members in groups.items() if len(members) >= max(_WORTH_A_RANGE, sizes.get(uids, 0) / 4)
        ]
        points = [(*uids, member) for uids, members in groups.items() if uids not in ranges for member in members]
        await _some_at_once(read_series, ranges)
        await _some_at_once(read_one, points)
        return [
            replace(hit, metadata=found[uids])
            for hit in hits
            if (uids := (hit.study_uid, hit.series_uid, hit.sop_instance_uid)) in found
        ]

    async def _row(self, partition: DataPartition, study_uid: str, row: str, columns: Iterable[str]) -> Entity | None:
        where = study_partition(partition.number, study_uid)
        return await self._tables.get(main_table(study_uid), where, row, _distinct(columns))

    def _walk(self, kind: LogKind, partition: DataPartition) -> SegmentWalk:
        key = (kind, partition.number)
        if key not in self._walks:
            self._walks[key] = SegmentWalk(self._tables, self._filters, kind, partition.number)
        return self._walks[key]


async def _some_at_once(read: Callable[[Item], Awaitable[Result]], items: Sequence[Item]) -> list[Result]:
    """What `read` gives for each item, in their order; a bounded number of them runs at a time."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(item: Item) -> Result:
        async with gate:
            return await read(item)

    return await asyncio.gather(*map(one, items))


async def _uids_of(pages: AsyncGenerator[list[Entity], None]) -> AsyncGenerator[list[tuple[str, str]], None]:
    async with aclosing(pages):
        async for rows in pages:
            yield [(row["study"], row["series"]) for row in rows]


def _counts(row: Entity | None, conditions: Iterable[Condition] = ()) -> bool:
    """Whether the row is there, not being deleted, and satisfies the conditions."""
    return row is not None and DELETING not in row and match_all(row, conditions)


def _age(hit: Hit) -> tuple[int, str, str]:
    """Sorts the newest instance first; instances of one transaction have one version."""
    return (-hit.version, hit.series_uid, hit.sop_instance_uid)


def _distinct(columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(columns))
