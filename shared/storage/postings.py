"""Rows by which instances are found by what they say about extended query tags: by value, the newest first.

The instance's own row is the truth: it is written before these are, and taken away before or while they are. So what is
found here is looked up there, and what is missing here is missing only until its writer, or the sweep, is through.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace

from shared.errors import StoreUnavailable
from shared.storage.errors import OutcomeUnknown, TransactionFailed
from shared.storage.keys import SCHEMA
from shared.storage.tables import TRANSACTION_LIMIT, Entity, Tables, Write, between, quoted, whole
from shared.storage.tagconditions import Probe
from shared.storage.tagrows import (
    POSTED,
    TABLES,
    TAGS_ADDED,
    home_of,
    parsed,
    partition_of,
    place_of_key,
    posting_keys,
    tag_columns,
)

SUPERSEDED = "superseded"
_TRIES = 10
_AT_ONCE = 16

Uids = tuple[str, str, str]
Found = tuple[int, Uids]
"""Version of an instance when it was indexed, and UIDs of study, series and instance."""


@dataclass(frozen=True, slots=True)
class Posted:
    """An instance as its tags find it.

    Attributes:
        uids: of study, series and instance.
        version: its version number when it was indexed.
        said: what its columns say, by the names of the properties.
        tags_added: for which tags it was indexed.
    """

    uids: Uids
    version: int
    said: Mapping[str, str]
    tags_added: int = 0

    @classmethod
    def of(cls, study_uid: str, series_uid: str, sop_instance_uid: str, row: Entity) -> Posted:
        """The instance that a row with all of its columns describes."""
        version = whole(row, POSTED) or whole(row, "version")
        return cls((study_uid, series_uid, sop_instance_uid), version, tag_columns(row), whole(row, TAGS_ADDED))

    def by(self, numbers: Collection[int]) -> Posted:
        """The same, as far as it is about some tags."""
        parts = {column: (text, parsed(text)) for column, text in self.said.items()}
        said = {column: text for column, (text, one) in parts.items() if one is not None and one.number in numbers}
        return replace(self, said=said)

    def postings(self) -> Iterable[tuple[int, str]]:
        """Numbers of tags, and row keys."""
        for text in self.said.values():
            one = parsed(text)
            if one is not None:
                for key in posting_keys(one, self.version, self.uids):
                    yield one.number, key


def order_of(found: Found) -> tuple[int, str]:
    """Sorts the newest instance first, and those of one transaction as their keys are."""
    version, uids = found
    return -version, "~".join(uids)


class Postings:
    """The rows of all tags, seen from one worker."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def insert(self, partition: int, instances: Iterable[Posted]) -> None:
        """Write the rows of instances whose own rows say so. Doing it again changes nothing.

        A row that was superseded before it came stays so.
        """
        await _in_parts(partition, instances, self._insert)

    async def drop(self, partition: int, instances: Iterable[Posted]) -> None:
        """Take the rows of instances away. Where one is not there, its writer is late and finds its place taken."""
        await _in_parts(partition, instances, self._drop)

    async def replace(self, partition: int, instances: Iterable[Posted]) -> None:
        """Take rows of instances away whose own rows say something else by now."""

        async def delete(table: str, where: str, keys: Sequence[str]) -> None:
            await self._deleted(table, where, keys)

        await _in_parts(partition, instances, delete)

    async def newest_first(self, partition: int, probe: Probe, top: int) -> AsyncGenerator[list[Found], None]:
        """Versions and UIDs of instances of one value, the newest first.

        Args:
            partition: number of the data partition.
            probe: of one value.
            top: so many of them are probably enough.
        """
        streams = [self._pages(table, partition, probe, top) for table in TABLES]
        async with AsyncExitStack() as stack:
            for stream in streams:
                await stack.enter_async_context(aclosing(stream))
            heads = await asyncio.gather(*map(_next_page, streams))
            while any(heads):
                # Behind the last one of a page that is there, its table may have more.
                sure = min(order_of(page[-1]) for page in heads if page)
                yield sorted((one for page in heads for one in page if order_of(one) <= sure), key=order_of)
                left = [[one for one in page if order_of(one) > sure] for page in heads]
                again = [place for place, page in enumerate(left) if heads[place] and not page]
                fresh = await asyncio.gather(*(_next_page(streams[place]) for place in again))
                heads = left
                for place, page in zip(again, fresh, strict=True):
                    heads[place] = page

    async def newest(self, partition: int, probe: Probe, before: Found | None, most: int) -> list[Found]:
        """The newest versions and UIDs of instances older than `before`, in no order: at least `most` if there are."""

        async def of_table(table: str) -> list[Found]:
            found: set[Found] = set()
            async for page in self._pages(table, partition, probe, 1000):
                found |= {one for one in page if before is None or order_of(one) > order_of(before)}
                if len(found) > 2 * most:
                    found = set(heapq.nsmallest(most, found, order_of))
            return heapq.nsmallest(most, found, order_of)

        return [one for part in await asyncio.gather(*map(of_table, TABLES)) for one in part]

    async def _pages(self, table: str, partition: int, probe: Probe, top: int) -> AsyncGenerator[list[Found], None]:
        """What a table has, page by page, in the order of keys."""
        where = partition_of(partition, probe.number)
        for low, high in probe.spans:
            async for page in self._tables.pages(
                table, between(where, low, high), ("RowKey", SUPERSEDED), min(top, 1000)
            ):
                yield [place_of_key(row["RowKey"]) for row in page if SUPERSEDED not in row]

    async def forget(self, partition: int, number: int) -> AsyncIterator[None]:
        """Delete all rows of a tag that is gone, some at a time."""
        where = partition_of(partition, number)
        for table in TABLES:
            async for page in self._tables.pages(table, f"PartitionKey eq {quoted(where)}", ("RowKey",)):
                for start in range(0, len(page), TRANSACTION_LIMIT):
                    keys = [row["RowKey"] for row in page[start : start + TRANSACTION_LIMIT]]
                    await self._deleted(table, where, keys)
                    yield

    async def _insert(self, table: str, where: str, keys: Sequence[str]) -> None:
        left = list(keys)
        for _ in range(_TRIES):
            try:
                await self._tables.transact(table, where, [Write("insert", key, {"schema": SCHEMA}) for key in left])
                return
            except OutcomeUnknown:
                pass
            except TransactionFailed as error:
                if error.code != "EntityAlreadyExists":
                    raise
            present = await self._present(table, where, left)
            left = [key for key in left if key not in present]
            if not left:
                return
        raise StoreUnavailable

    async def _drop(self, table: str, where: str, keys: Sequence[str]) -> None:
        for key in await self._deleted(table, where, keys):
            await self._tables.put(table, where, key, {SUPERSEDED: True, "schema": SCHEMA})

    async def _deleted(self, table: str, where: str, keys: Sequence[str]) -> list[str]:
        """Delete rows; gives the keys of those that were not there."""
        try:
            await self._tables.transact(table, where, [Write("delete", key) for key in keys])
            return []
        except OutcomeUnknown:
            pass
        except TransactionFailed as error:
            if error.status != 404:
                raise
        present = await self._present(table, where, keys)
        for key in sorted(present):
            await self._tables.delete(table, where, key)
        return [key for key in keys if key not in present]

    async def _present(self, table: str, where: str, keys: Sequence[str]) -> set[str]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def look(key: str) -> bool:
            async with gate:
                return await self._tables.get(table, where, key, ("RowKey",)) is not None

        there = await asyncio.gather(*map(look, keys))
        return {key for key, found in zip(keys, there, strict=True) if found}


async def _next_page(stream: AsyncGenerator[list[Found], None]) -> list[Found]:
    """The next page that is not empty; an empty one at the end."""
    async for page in stream:
        if page:
            return page
    return []


async def _in_parts(
    partition: int, instances: Iterable[Posted], work: Callable[[str, str, Sequence[str]], Awaitable[None]]
) -> None:
    """Do something with the keys of each partition, as many at once as a transaction takes."""
    by_home: dict[tuple[str, str], dict[str, None]] = {}
    for instance in instances:
        for number, key in instance.postings():
            by_home.setdefault(home_of(partition, number, instance.uids[0]), {})[key] = None
    gate = asyncio.Semaphore(_AT_ONCE)

    async def part(home: tuple[str, str], keys: Sequence[str]) -> None:
        async with gate:
            await work(*home, keys)

    await asyncio.gather(
        *(
            part(home, list(keys)[start : start + TRANSACTION_LIMIT])
            for home, keys in by_home.items()
            for start in range(0, len(keys), TRANSACTION_LIMIT)
        )
    )
