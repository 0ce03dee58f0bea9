"""Filters of sealed segments, and of full blocks of the change feed: what a search need not read.

A filter is a Bloom filter over the values of a segment's rows, and the first and last study date among them. It is a
row of its own, written once by whoever seals the segment or by the sweep when that one died, and 64 of them are one
partition, so that a worker learns of 64,000 studies in one call. A segment without a filter is read; a filter never
hides a row.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.dicom.matching import name_words
from shared.storage.conditions import MODALITIES, PREFIX_LETTERS, Clue, Condition, modalities_of, word_clue
from shared.storage.keys import SCHEMA, SEARCH_COLUMN, base36, segment_partition, segment_table
from shared.storage.tables import Entity, Tables, binary, quoted, whole
from shared.storage.tagrows import NAME, is_slot, parsed
from shared.storage.tagset import PARTITION as TAGS_PARTITION
from shared.storage.tagset import SET_ROW as TAGS_ROW
from shared.storage.tagset import TABLE as TAGS

TABLE = "filters"
BLOCK = 64
"""Filters that are read together."""

# About 2 in 100 segments are read for nothing.
_BITS_A_CLUE, _HASHES = 8, 5
_MOST_BYTES = 60_000  # of one property
_BLOCKS_KEPT = 32  # of up to 2 MB
_FRESH_SECONDS = 30.0
_STUDY_DATE = f"{SEARCH_COLUMN}StudyDate"

_Hashes = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SegmentFilter:
    """What is known of a sealed segment.

    Attributes:
        bits: the Bloom filter.
        first_day: the first study date; empty when no row has one.
        last_day: the last one.
        indexed: extended query tags up to this number are in it, as far as the rows have them.
    """

    bits: bytes
    first_day: str
    last_day: str
    indexed: int = 0

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], bits_a_clue: int = _BITS_A_CLUE, indexed: int = 0) -> SegmentFilter:
        """The filter over some rows; with more bits a clue it is wrong less often."""
        clues = {clue for row in rows for clue in _clues_of(row)}
        bits = bytearray(max(8, min(len(clues) * bits_a_clue // 8, _MOST_BYTES)))
        for clue in clues:
            for place in _places(_hashes(clue), len(bits) * 8):
                bits[place >> 3] |= 1 << (place & 7)
        days = sorted(row[_STUDY_DATE] for row in rows if _STUDY_DATE in row)
        first, last = (days[0], days[-1]) if days else ("", "")
        return cls(bytes(bits), first, last, indexed)

    def has(self, hashes: _Hashes) -> bool:
        """False when no row has the clue; True is a guess."""
        return all(self.bits[place >> 3] >> (place & 7) & 1 for place in _places(hashes, len(self.bits) * 8))

    def hides(self, row: Mapping[str, Any]) -> bool:
        """True when a search for something that the row says would leave the row's segment out."""
        day = row.get(_STUDY_DATE)
        out_of_range = day is not None and not (self.first_day <= day <= self.last_day)
        known = (clue for clue in _clues_of(row) if _tag_number(clue) <= self.indexed)
        return out_of_range or not all(self.has(_hashes(clue)) for clue in known)


@dataclass(frozen=True, slots=True)
class _Question:
    """Conditions, hashed once for all segments; clues with the number of the tag they are about, 0 for none."""

    clues: list[tuple[int, list[list[_Hashes]]]]
    days: list[tuple[str, str]]

    @classmethod
    def of(cls, conditions: Iterable[Condition]) -> _Question:
        asked = list(conditions)
        clues = [
            (condition.tag_number(), [[_hashes(clue) for clue in together] for together in condition.clues()])
            for condition in asked
        ]
        return cls([one for one in clues if one[1]], [days for one in asked if (days := one.days()) is not None])

    @property
    def newest_tag(self) -> int:
        """The largest number of a tag that it asks for."""
        return max((number for number, _ in self.clues), default=0)

    def may_be_in(self, known: SegmentFilter) -> bool:
        for first, last in self.days:
            if not known.first_day or known.last_day < first or last < known.first_day:
                return False
        return all(
            any(all(map(known.has, together)) for together in alternatives)
            for number, alternatives in self.clues
            if number <= known.indexed
        )


@dataclass(frozen=True, slots=True)
class _Block:
    filters: Mapping[int, SegmentFilter]
    read_at: float


class SegmentFilters:
    """The filters of all logs, seen from one worker, which reads those it needs and keeps the last ones.

    Args:
        tables: where they are.
        blocks_kept: how many blocks of them are kept.
    """

    def __init__(self, tables: Tables, blocks_kept: int = _BLOCKS_KEPT) -> None:
        self._tables = tables
        self._blocks_kept = blocks_kept
        self._blocks: OrderedDict[str, _Block] = OrderedDict()

    async def build(self, kind: str, partition: int, segment: int, indexed: int | None = None) -> None:
        """Write the filter of a sealed segment. Doing it again changes nothing.

        Args:
            kind: `log` or `ser`.
            partition: number of the data partition.
            segment: the segment.
            indexed: all rows have their values of tags up to this number; None for what the tag set says.
        """
        rows: list[Entity] = []
        if indexed is None:
            # Before the rows: what is indexed while they are read does not count.
            head = await self._tables.get(TAGS, TAGS_PARTITION, TAGS_ROW, ("indexed",))
            indexed = whole(head or {}, "indexed")
        where = f"PartitionKey eq {quoted(segment_partition(partition, segment))}"
        async for page in self._tables.pages(segment_table(kind, segment), where):
            rows += [
                {name: value for name, value in row.items() if name.startswith(SEARCH_COLUMN) or name == MODALITIES}
                for row in page
            ]
        built = await asyncio.to_thread(SegmentFilter.of, rows, _BITS_A_CLUE, indexed)
        await self.write(kind, partition, segment, built)

    async def write(self, kind: str, partition: int, segment: int, built: SegmentFilter) -> None:
        """Write a filter over all rows that the segment will ever have."""
        entity: dict[str, Any] = {
            "bits": built.bits,
            "first": built.first_day,
            "last": built.last_day,
            "schema": SCHEMA,
        }
        entity["indexed"] = built.indexed
        name = _partition(kind, partition, segment // BLOCK)
        await self._tables.put(TABLE, name, _row(segment), entity)
        kept = self._blocks.get(name)
        if kept is not None:
            self._blocks[name] = _Block({**kept.filters, segment: built}, kept.read_at)

    async def stored(self, kind: str, partition: int, segment: int) -> SegmentFilter | None:
        """The filter of one segment as it is stored now; None when it has none."""
        row = await self._tables.get(TABLE, _partition(kind, partition, segment // BLOCK), _row(segment))
        return _filter_of(row) if row is not None else None

    async def passing(
        self, kind: str, partition: int, segments: Sequence[int], conditions: Sequence[Condition]
    ) -> list[int]:
        """Those of the segments that may hold a row with all of the conditions, in their order."""
        question = _Question.of(conditions)
        if not question.clues and not question.days:
            return list(segments)
        known = await self._known(kind, partition, segments, question.newest_tag)
        return [segment for segment in segments if segment not in known or question.may_be_in(known[segment])]

    async def unknown(self, kind: str, partition: int, segments: Sequence[int]) -> list[int]:
        """Those of the segments that have no filter, as far as this worker has heard."""
        known = await self._known(kind, partition, segments)
        return [segment for segment in segments if segment not in known]

    async def _known(
        self, kind: str, partition: int, segments: Sequence[int], newest_tag: int = 0
    ) -> dict[int, SegmentFilter]:
        blocks = {segment // BLOCK for segment in segments}
        read = await asyncio.gather(*(self._block(kind, partition, block, segments, newest_tag) for block in blocks))
        return {segment: one for block in read for segment, one in block.filters.items()}

    async def _block(self, kind: str, partition: int, block: int, wanted: Sequence[int], newest_tag: int) -> _Block:
        name = _partition(kind, partition, block)
        kept = self._blocks.get(name)
        if kept is not None:
            self._blocks.move_to_end(name)
            filters = [kept.filters.get(segment) for segment in wanted if segment // BLOCK == block]
            complete = all(one is not None and one.indexed >= newest_tag for one in filters)
            if complete or time.monotonic() - kept.read_at < _FRESH_SECONDS:
                return kept
        found: dict[int, SegmentFilter] = {}
        async for page in self._tables.pages(TABLE, f"PartitionKey eq {quoted(name)}"):
            for row in page:
                found[int(row["RowKey"][1:])] = _filter_of(row)
        fresh = self._blocks[name] = _Block(found, time.monotonic())
        self._blocks.move_to_end(name)
        if len(self._blocks) > self._blocks_kept:
            self._blocks.popitem(last=False)
        return fresh


def _filter_of(row: Entity) -> SegmentFilter:
    return SegmentFilter(binary(row, "bits"), row["first"], row["last"], whole(row, "indexed"))


def _clues_of(row: Mapping[str, Any]) -> Iterator[Clue]:
    for name, value in row.items():
        keyword = name.removeprefix(SEARCH_COLUMN)
        if name == keyword or (keyword[-1].isdigit() and SEARCH_COLUMN + keyword[:-1] in row):
            continue  # no search column, or one word of a name
        yield keyword, value
        there = parsed(value) if is_slot(keyword) else None
        if there is not None and there.mark == NAME:
            yield from _word_clues(keyword, there.folded, f"{there.number}{NAME}")
        elif f"{name}1" in row:
            yield from _word_clues(keyword, value)
    for modality in modalities_of(row):
        yield MODALITIES, modality


def _word_clues(keyword: str, name: str, before: str = "") -> Iterator[Clue]:
    for word in name_words(name):
        for length in range(1, min(len(word), PREFIX_LETTERS) + 1):
            yield word_clue(keyword), before + word[:length]


def _tag_number(clue: Clue) -> int:
    """Number of the extended query tag that a clue is about; 0 for none."""
    keyword, value = clue
    there = parsed(value) if is_slot(keyword.rstrip("^")) else None
    return there.number if there is not None else 0


def _hashes(clue: Clue) -> _Hashes:
    digest = hashlib.blake2b("\0".join(clue).encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big") | 1


def _places(hashes: _Hashes, bits: int) -> Iterator[int]:
    first, step = hashes
    return ((first + turn * step) % bits for turn in range(_HASHES))


def _partition(kind: str, partition: int, block: int) -> str:
    return f"{kind}~{base36(partition)}~{block}"


def _row(segment: int) -> str:
    return f"s{segment:010d}"
