"""The store of extended query tags: reads the set, changes it, and keeps the errors of indexing.

A worker keeps the set it read last. One point read tells whether it is still so, beside reads that happen anyway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from shared.errors import StoreUnavailable
from shared.storage.batching import jittered_pause
from shared.storage.errors import OutcomeUnknown, TransactionFailed
from shared.storage.keys import SCHEMA
from shared.storage.tables import ETAG, TRANSACTION_LIMIT, Entity, Tables, Write, quoted, whole
from shared.storage.tagchanges import (
    Change,
    NewTag,
    check_room,
    finished,
    forgotten,
    installed,
    removed,
    reported,
    switched,
    there,
)
from shared.storage.tagset import PARTITION, SET_ROW, TABLE, GoneTag, TagEntry, TagSet, head_entity, set_of

_TRIES = 20
_PART = TRANSACTION_LIMIT - 1  # one write is that of the set's row


@dataclass(frozen=True, slots=True)
class TagError:
    """An instance whose value could not be indexed.

    Attributes:
        key: place of the instance in the order in which instances are indexed.
        partition: name of the data partition.
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        sop_instance_uid: SOPInstanceUID.
        text: what is wrong, without the value.
        created: when it was found, ISO 8601.
    """

    key: str
    partition: str
    study_uid: str
    series_uid: str
    sop_instance_uid: str
    text: str
    created: str = ""


class Tags:
    """The set of tags, seen from one worker."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.known: TagSet | None = None
        """The set as this worker read it last; None when it never has."""

    async def current(self) -> TagSet:
        """The set as it is now: one point read when this worker knows it already."""
        if self.known is None:
            return await self.load()
        head = await self._head(("version",))
        return self.known if whole(head or {}, "version") == self.known.version else await self.load()

    async def at_hand(self) -> TagSet:
        """The set as this worker knows it; it may have changed since."""
        return self.known if self.known is not None else await self.load()

    async def added(self) -> int:
        """The set's count of additions as it is now."""
        return whole(await self._head(("added",)) or {}, "added")

    async def load(self) -> TagSet:
        """Read the whole set."""
        pages = self._tables.pages(TABLE, f"PartitionKey eq {quoted(PARTITION)}")
        self.known = set_of([row async for page in pages for row in page])
        return self.known

    async def install(self, operation_id: str, new: Sequence[NewTag]) -> TagSet:
        """Add tags in the name of the operation that will index them. Doing it again changes nothing.

        Raises:
            Conflict: there is one of them already.
            InvalidRequest: there would be too many.
        """
        check_room(await self.load(), new, operation_id)
        for start in range(0, len(new), _PART):
            part = new[start : start + _PART]
            await self._change(partial(installed, part, operation_id))
        return await self.load()

    async def set_enabled(self, path: str, *, enabled: bool) -> TagEntry:
        """Say whether a tag can be searched for.

        Raises:
            NotFound: there is no such tag.
        """
        tags = await self._change(partial(switched, path, enabled))
        return there(tags, path)

    async def remove(self, path: str, number: int) -> None:
        """Take a tag out of the set; what was indexed is cleaned away later.

        Args:
            path: its eight digits.
            number: the tag that is meant, should another one have come in its place.
        """
        since = datetime.now(UTC).isoformat()
        await self._change(partial(removed, path, number, since))

    async def finish(self, operation_id: str) -> None:
        """Say that everything is indexed by the tags of an operation."""
        while pending := [one for one in (await self.load()).entries if one.operation == operation_id]:
            part = pending[:_PART]
            await self._change(partial(finished, part))

    async def report(self, found: Mapping[int, Sequence[TagError]]) -> None:
        """Write down what could not be indexed, by numbers of tags; the tags cannot be searched for until told so.

        An error that is there already stays as it is.
        """
        now = datetime.now(UTC).isoformat()
        numbers = sorted(found)
        for start in range(0, len(numbers), _PART):
            # First: a tag without its errors is better than errors of a tag that says it has none.
            await self._change(partial(reported, numbers[start : start + _PART]))
        for number, errors in found.items():
            for error in errors:
                await self._tables.insert(TABLE, _error_partition(number), error.key, _error_entity(error, now))

    async def errors(self, number: int, limit: int, offset: int) -> list[TagError]:
        """Errors of a tag, in the order in which they were found."""
        found: list[TagError] = []
        where = f"PartitionKey eq {quoted(_error_partition(number))}"
        async for page in self._tables.pages(TABLE, where):
            found += map(_error_of, page)
            if len(found) >= offset + limit:
                break
        return found[offset : offset + limit]

    async def count_errors(self, number: int) -> int:
        """How many errors a tag has."""
        pages = self._tables.pages(TABLE, f"PartitionKey eq {quoted(_error_partition(number))}", ("RowKey",))
        return sum([len(page) async for page in pages])

    async def clean(self, before: datetime, data: Callable[[GoneTag], AsyncIterator[None]]) -> int:
        """Clean away what tags have left that are gone for a while; gives the number of tags.

        Args:
            before: those that were deleted before this moment.
            data: deletes what instances have in the tag's name, beside their own rows.
        """
        done = 0
        for gone in (await self.current()).gone:
            if datetime.fromisoformat(gone.since) > before:
                continue
            async for _ in data(gone):
                pass
            await self._drop_errors(gone.number)
            await self._change(partial(forgotten, gone))
            done += 1
        return done

    async def _drop_errors(self, number: int) -> None:
        where = f"PartitionKey eq {quoted(_error_partition(number))}"
        async for page in self._tables.pages(TABLE, where, ("RowKey",)):
            for row in page:
                await self._tables.delete(TABLE, _error_partition(number), row["RowKey"])

    async def _head(self, columns: Sequence[str]) -> Entity | None:
        return await self._tables.get(TABLE, PARTITION, SET_ROW, columns)

    async def _change(self, change: Callable[[TagSet], Change]) -> TagSet:
        """Change the set as it is now; `change` is asked again when somebody else was first.

        It has to give no writes when what it does has been done.
        """
        for attempt in range(_TRIES):
            head = await self._head(())
            tags = await self.load()
            after, writes = change(tags)
            if not writes:
                return tags
            after = replace(after, version=tags.version + 1)
            first = Write(
                "insert" if head is None else "replace", SET_ROW, head_entity(after), (head or {}).get(ETAG, "")
            )
            try:
                await self._tables.transact(TABLE, PARTITION, [first, *writes])
                self.known = after
                return after
            except TransactionFailed as error:
                if error.code != "EntityAlreadyExists" and error.status not in (404, 412):
                    raise
            except OutcomeUnknown:
                pass  # the next look tells
            await jittered_pause(min(attempt, 6))
        raise StoreUnavailable


def _error_partition(number: int) -> str:
    return f"e~{number}"


def _error_entity(error: TagError, now: str) -> dict[str, Any]:
    return {
        "partition": error.partition,
        "study": error.study_uid,
        "series": error.series_uid,
        "instance": error.sop_instance_uid,
        "text": error.text,
        "created": now,
        "schema": SCHEMA,
    }


def _error_of(row: Entity) -> TagError:
    return TagError(
        row["RowKey"], row["partition"], row["study"], row["series"], row["instance"], row["text"], row["created"]
    )
