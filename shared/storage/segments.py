"""The segment log: one covering row a study (`log`) or a series (`ser`), read newest first by search.

A segment is a partition. Its header row `~H` is there while the segment takes rows; every append merges it in the same
transaction, and sealing deletes it, so a late writer is told to move on and a sealed segment never gains a row. `~C`
says that the segment was begun and stays for ever, so that nobody brings a sealed segment back to life.

A seal is written down in `work` before it begins and crossed out when the segment's filter is there. So the sweep has
one small partition to look at, whatever the size of the store, to find the seals that nobody finished.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from shared.errors import StoreUnavailable
from shared.storage.batching import GroupCommit, last_existing
from shared.storage.errors import OutcomeUnknown, StorageFailed, TransactionFailed
from shared.storage.filters import SegmentFilters
from shared.storage.keys import HINTS, SCHEMA, SEGMENT_BEGUN, SEGMENT_HEADER, segment_partition, segment_table
from shared.storage.tables import TRANSACTION_BYTES, Tables, Write, whole

LogKind = Literal["log", "ser"]
"""Logs there are: of studies, and of series."""

log = logging.getLogger(__name__)

ROWS = 1000
"""A segment is sealed when it has about this many rows."""

SEALS = "seal"
"""Partition of `work` with the seals that are not through."""

_MOST = 90
_TRIES = 50
_COUNT_EVERY = 100


@dataclass(frozen=True, slots=True)
class CoveringRow:
    """A row that answers a search without reading anything else.

    Attributes:
        row: its RowKey: inverted order key, then the UIDs.
        entity: its properties.
    """

    row: str
    entity: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal that was begun and is not through.

    Attributes:
        kind: `log` or `ser`.
        partition: number of the data partition.
        segment: the segment to be closed.
        begun: when somebody last began.
    """

    kind: LogKind
    partition: int
    segment: int
    begun: datetime


class SegmentLog:
    """One data partition's log of one kind, seen from one worker.

    Args:
        tables: where to.
        kind: `log` for studies, `ser` for series.
        partition: number of the data partition.
        rows: how many rows make a full segment.
    """

    def __init__(self, tables: Tables, kind: LogKind, partition: int, rows: int = ROWS) -> None:
        self._tables = tables
        self._kind = kind
        self._partition = partition
        self._rows = rows
        self._segment: int | None = None
        self._since_count = 0
        self._commit = GroupCommit(self._write, _MOST)
        self._filters = SegmentFilters(tables)

    async def current(self) -> int:
        """Number of the segment that the next row will probably go to."""
        if self._segment is None:
            hinted = await hinted_segment(self._tables, self._kind, self._partition)
            self._segment = max(await last_existing(self._begun, hinted), 0)
        return self._segment

    async def append(self, rows: Sequence[CoveringRow]) -> list[int]:
        """Append rows; gives the segment each one is in. Appending a row again leaves it as it is."""
        return await self._commit.add(rows)

    async def remove(self, segment: int, row: str) -> None:
        """Take a covering row away. If it is not there yet, its writer is late and shall find its place taken."""
        table, where = segment_table(self._kind, segment), segment_partition(self._partition, segment)
        if not await self._tables.delete(table, where, row):
            await self._tables.put(table, where, row, {"superseded": True, "schema": SCHEMA})

    async def drop(self, segment: int, row: str) -> None:
        """Take a covering row away that nobody will append any more, if it is there."""
        await self._tables.delete(segment_table(self._kind, segment), segment_partition(self._partition, segment), row)

    async def seal(self, segment: int) -> bool:
        """Close a segment for ever, begin the next one, and write the filter. Doing it again changes nothing.

        Returns:
            False when the filter could not be written; the sweep will do it.
        """
        intent = _seal_row(self._kind, self._partition, segment)
        await self._tables.put("work", SEALS, intent, self._seal_entity(segment))
        table, where = segment_table(self._kind, segment), segment_partition(self._partition, segment)
        await self._tables.delete(table, where, SEGMENT_HEADER)
        await self._begin(segment + 1)
        try:
            # Only now: a filter must know every row that the segment will ever have.
            await self._filters.build(self._kind, self._partition, segment)
            await self._tables.delete("work", SEALS, intent)
        except (StoreUnavailable, StorageFailed, OutcomeUnknown):
            # What is being appended is safe already; a segment without a filter is read by every search.
            log.warning("a segment has no filter", extra={"kind": self._kind, "segment": segment})
            return False
        return True

    def _seal_entity(self, segment: int) -> Mapping[str, Any]:
        return {
            "kind": self._kind,
            "partition": self._partition,
            "segment": segment,
            "begun": datetime.now(UTC).isoformat(),
            "schema": SCHEMA,
        }

    async def _write(self, rows: Sequence[CoveringRow]) -> list[int]:
        segment = await self.current()
        done: list[int] = []
        while len(done) < len(rows):
            part = _within_bytes(rows[len(done) :])
            segment = await self._append_part(segment, part)
            done += [segment] * len(part)
        return done

    async def _append_part(self, segment: int, rows: Sequence[CoveringRow]) -> int:
        """Append rows that fit one transaction to the first segment from `segment` on that still takes rows."""
        left = list(rows)
        for _ in range(_TRIES):
            table, where = segment_table(self._kind, segment), segment_partition(self._partition, segment)
            writes = [Write("merge", SEGMENT_HEADER, {"schema": SCHEMA})]
            writes += [Write("insert", row.row, {**row.entity, "schema": SCHEMA}) for row in left]
            try:
                await self._tables.transact(table, where, writes)
            except OutcomeUnknown:
                continue
            except TransactionFailed as error:
                if error.code == "EntityAlreadyExists":
                    # Ours from a try whose answer was lost, or superseded meanwhile: either way its place is taken.
                    del left[error.index - 1]
                    if left:
                        continue
                elif error.status == 404:
                    segment = await self._next(segment)
                    continue
                else:
                    raise
            self._segment = segment
            await self._count(segment, len(rows))
            return segment
        log.error("no segment takes rows", extra={"kind": self._kind, "tries": _TRIES})
        raise StoreUnavailable

    async def _next(self, segment: int) -> int:
        """Where to go when a segment's header is missing: it was never begun, or it is sealed."""
        if not await self._begun(segment):
            await self._begin(segment)
            return segment
        following = await last_existing(self._begun, segment)
        if following == segment:
            # Sealed, and the sealer died before it began the next one.
            await self.seal(segment)
            return segment + 1
        return following

    async def _begin(self, segment: int) -> None:
        table, where = segment_table(self._kind, segment), segment_partition(self._partition, segment)
        try:
            await self._tables.transact(
                table, where, [Write("insert", mark, {"schema": SCHEMA}) for mark in (SEGMENT_BEGUN, SEGMENT_HEADER)]
            )
        except TransactionFailed as error:
            if error.code != "EntityAlreadyExists":
                raise
        except OutcomeUnknown:
            return  # the append that follows finds out
        await self._tables.put(
            "work", HINTS, _hint_row(self._kind, self._partition), {"segment": segment, "schema": SCHEMA}
        )

    async def _begun(self, segment: int) -> bool:
        return await is_begun(self._tables, self._kind, self._partition, segment)

    async def _count(self, segment: int, added: int) -> None:
        """Now and then, look how full the segment is; other workers append to it too."""
        self._since_count += added
        if self._since_count < min(_COUNT_EVERY, self._rows):
            return
        self._since_count = 0
        table, where = segment_table(self._kind, segment), segment_partition(self._partition, segment)
        rows = 0
        async for page in self._tables.pages(table, f"PartitionKey eq '{where}'", ("RowKey",)):
            rows += len(page)
        if rows >= self._rows:
            await self.seal(segment)
            self._segment = segment + 1


async def hinted_segment(tables: Tables, kind: str, partition: int) -> int:
    """The newest segment when somebody last looked; -1 when nobody has. There may be newer ones."""
    hint = await tables.get("work", HINTS, _hint_row(kind, partition))
    return int(hint["segment"]) if hint else -1


async def is_begun(tables: Tables, kind: str, partition: int, segment: int) -> bool:
    """Whether there is a segment of that number, sealed or not."""
    table, where = segment_table(kind, segment), segment_partition(partition, segment)
    return await tables.get(table, where, SEGMENT_BEGUN, ("RowKey",)) is not None


async def open_seals(tables: Tables) -> AsyncIterator[Seal]:
    """All seals that are not through."""
    async for page in tables.pages("work", f"PartitionKey eq '{SEALS}'"):
        for row in page:
            yield Seal(
                kind="log" if row["kind"] == "log" else "ser",
                partition=whole(row, "partition"),
                segment=whole(row, "segment"),
                begun=datetime.fromisoformat(row["begun"]),
            )


def _seal_row(kind: str, partition: int, segment: int) -> str:
    return f"{kind}~{partition}~{segment:010d}"


def _hint_row(kind: str, partition: int) -> str:
    return f"{kind}~{partition}"


def _within_bytes(rows: Sequence[CoveringRow]) -> Sequence[CoveringRow]:
    total = 0
    for place, row in enumerate(rows):
        total += sum(len(value) for value in row.entity.values() if isinstance(value, str | bytes)) + 500
        if place and total > TRANSACTION_BYTES:
            return rows[:place]
    return rows


__all__ = ["ROWS", "SEALS", "CoveringRow", "Seal", "SegmentLog", "hinted_segment", "is_begun", "open_seals"]
