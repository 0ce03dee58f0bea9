"""The change feed's log: numbered events without gaps, in order, whoever writes them.

An event's number is decided by inserting its row: a conflict means that somebody else was first, so read on and try
again. There is no counter row. A transaction is whole and starts behind the last row, hence no gap; rows stay for ever.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from shared.errors import StoreUnavailable
from shared.storage.batching import GroupCommit, jittered_pause, last_existing
from shared.storage.errors import OutcomeUnknown, TransactionFailed
from shared.storage.keys import HINTS, SCHEMA
from shared.storage.tables import Entity, Tables, Write

log = logging.getLogger(__name__)

TABLE = "feed"
BLOCK = 1000
_MOST = 98
_TRIES = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Action(Enum):
    """What happened to an instance; the words are those of the change feed (contract C8.2)."""

    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one instance.

    Attributes:
        event_id: unique; lets a writer recognise its own events after a lost answer.
        action: what happened.
        partition: name of the data partition.
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        sop_instance_uid: SOPInstanceUID.
        version: version number of the instance the event is about.
    """

    event_id: str
    action: Action
    partition: str
    study_uid: str
    series_uid: str
    sop_instance_uid: str
    version: int


@dataclass(frozen=True, slots=True)
class _Tail:
    """The last event known: the next number, and the time the next event must be later than (100 ns ticks)."""

    number: int
    ticks: int


def block_partition(number: int) -> str:
    """Partition of the event with that number (1, 2, 3 …)."""
    return f"f~{(number - 1) // BLOCK}"


def event_row(number: int) -> str:
    """Row of the event with that number."""
    return f"{number:019d}"


class Feed:
    """The feed of all data partitions together, seen from one worker."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._tail: _Tail | None = None
        self._commit = GroupCommit(self._write, _MOST)

    async def append(self, events: Sequence[Event]) -> list[int]:
        """Append events; gives their numbers. After a failure `append_missing` adds what is not there."""
        return await self._commit.add(events)

    async def append_missing(self, events: Sequence[Event], after: int) -> None:
        """Append those of the events that are not in the feed yet, at most 98: for work that others may do as well.

        Each is there once in the end, whoever else appends it at the same time: what is not found up to a number is
        only ever inserted as the next one.

        Args:
            events: with ids that stay the same whoever does the work.
            after: a number below which none of them can be.
        """
        tail = await self._find_tail(self._tail)
        present = await self._places(events, after, tail.number)
        missing = [event for place, event in enumerate(events) if place not in present]
        if missing:
            await self._append_behind(missing, tail)

    async def event_ids(self, after: int) -> AsyncIterator[str]:
        """Ids of all events behind a number, in order."""
        last = await self.last_number()
        for block in range(after // BLOCK, (last - 1) // BLOCK + 1):
            where = f"PartitionKey eq 'f~{block}' and RowKey gt '{event_row(after)}'"
            async for page in self._tables.pages(TABLE, where, ("eventId",)):
                for row in page:
                    yield row["eventId"]

    async def last_number(self) -> int:
        """Number of the newest event; 0 when there is none."""
        tail = await self._find_tail(self._tail)
        # A tail that appends begin from is moved by appends only: behind it they look for what they wrote themselves.
        self._tail = self._tail or tail
        return tail.number

    @property
    def cached_number(self) -> int | None:
        """A number at or below the newest event's that this worker has seen; None when it has seen none."""
        return self._tail.number if self._tail is not None else None

    async def _write(self, events: Sequence[Event]) -> list[int]:
        if self._tail is None:
            self._tail = await self._find_tail(None)
        # The tail moves only when all of them are in: whatever breaks off before, the next try looks behind it.
        numbers, self._tail = await self._append_behind(events, self._tail)
        return numbers

    async def _append_behind(self, events: Sequence[Event], start: _Tail) -> tuple[list[int], _Tail]:
        """Append events of which none is in the feed up to `start`; gives their numbers and the tail then."""
        tail = start
        for attempt in range(_TRIES):
            try:
                return await self._insert(events, tail)
            except OutcomeUnknown:
                pass
            except TransactionFailed as error:
                if error.code != "EntityAlreadyExists":
                    raise
            # Somebody was first; or it was us, and the answer got lost.
            await jittered_pause(attempt // 4)
            tail = await self._find_tail(tail)
            found = await self._places(events, start.number, tail.number)
            absent = [place for place in range(len(events)) if place not in found]
            if found and absent:
                # A group that straddles a block is two transactions: only its first part was written.
                rest, tail = await self._append_behind([events[place] for place in absent], tail)
                found |= dict(zip(absent, rest, strict=True))
            if found:
                return [found[place] for place in range(len(events))], tail
        log.error("the feed is too busy", extra={"tries": _TRIES})
        raise StoreUnavailable

    async def _insert(self, events: Sequence[Event], tail: _Tail) -> tuple[list[int], _Tail]:
        """Append all events that fit into the tail's block in one transaction, then the rest in the next block."""
        numbers: list[int] = []
        left = list(events)
        while left:
            first = tail.number + 1
            room = BLOCK - (first - 1) % BLOCK
            now, left = left[:room], left[room:]
            ticks = max(_ticks_now(), tail.ticks + 1)
            writes = [
                Write("insert", event_row(first + place), _entity(event, ticks + place))
                for place, event in enumerate(now)
            ]
            await self._tables.transact(TABLE, block_partition(first), writes)
            tail = _Tail(first + len(now) - 1, ticks + len(now) - 1)
            numbers += range(first, first + len(now))
            if (first - 1) % BLOCK == 0:
                await self._tables.put("work", HINTS, "feed", {"number": first, "schema": SCHEMA})
        return numbers, tail

    async def _places(self, events: Sequence[Event], after: int, upto: int) -> dict[int, int]:
        """Numbers of those events that are in the feed between two numbers, by their place among `events`."""
        wanted = {event.event_id: place for place, event in enumerate(events)}
        found: dict[int, int] = {}
        for block in range(after // BLOCK, (upto - 1) // BLOCK + 1):
            where = f"PartitionKey eq 'f~{block}' and RowKey gt '{event_row(after)}'"
            async for page in self._tables.pages(TABLE, where, ("RowKey", "eventId")):
                found |= {wanted[row["eventId"]]: int(row["RowKey"]) for row in page if row["eventId"] in wanted}
        return found

    async def _find_tail(self, known: _Tail | None) -> _Tail:
        start = known.number if known is not None else await self._hinted()
        block = max(start - 1, 0) // BLOCK
        last = await last_existing(self._block_begun, block if await self._block_begun(block) else -1)
        if last < 0:
            return _Tail(0, 0)
        newest: Entity | None = None
        low = event_row(start) if (start - 1) // BLOCK == last and start > 0 else event_row(0)
        where = f"PartitionKey eq 'f~{last}' and RowKey ge '{low}'"
        async for page in self._tables.pages(TABLE, where, ("RowKey", "time")):
            newest = page[-1] if page else newest
        assert newest is not None, "a block that has begun has a row"
        return _Tail(int(newest["RowKey"]), _ticks(newest["time"]))

    async def _hinted(self) -> int:
        row = await self._tables.get("work", HINTS, "feed")
        return int(row["number"]) if row else 0

    async def _block_begun(self, block: int) -> bool:
        first = block * BLOCK + 1
        return await self._tables.get(TABLE, block_partition(first), event_row(first), ("RowKey",)) is not None


def _entity(event: Event, ticks: int) -> dict[str, object]:
    return {
        "eventId": event.event_id,
        "action": event.action.value,
        "partition": event.partition,
        "study": event.study_uid,
        "series": event.series_uid,
        "instance": event.sop_instance_uid,
        "version": event.version,
        "time": time_text(ticks),
        "schema": SCHEMA,
    }


def _ticks_now() -> int:
    # Whole microseconds, as the clock gives them.
    return (datetime.now(UTC) - _EPOCH) // timedelta(microseconds=1) * 10


def time_text(ticks: int) -> str:
    """A time as text with seven digits of fraction, whose order is the order of time.

    Args:
        ticks: hundreds of nanoseconds since 1970.
    """
    moment = _EPOCH + timedelta(seconds=ticks // 10_000_000)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ticks % 10_000_000:07d}+00:00"


def _ticks(text: str) -> int:
    whole, _, rest = text.partition(".")
    moment = datetime.fromisoformat(whole + "+00:00")
    return (moment - _EPOCH) // timedelta(seconds=1) * 10_000_000 + int(rest[:7])
