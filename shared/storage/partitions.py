"""Data partitions: a name for people, a number for keys. A number never changes, so a worker may remember it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.errors import InvalidRequest, PartitionsLeft, StoreUnavailable
from shared.storage.errors import OutcomeUnknown, TransactionFailed
from shared.storage.keys import SCHEMA
from shared.storage.tables import Tables, Write

TABLE = "parts"
DEFAULT_NAME = "Microsoft.Default"
_PARTITION = "parts"
_TRIES = 20


@dataclass(frozen=True, slots=True)
class DataPartition:
    """A data partition, by number for keys and by name for people."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class ListedPartition:
    """A data partition as a list shows it.

    Attributes:
        partition: its number and name.
        created: when it came to be; for the default one, when a list was first asked for.
    """

    partition: DataPartition
    created: datetime


class Partitions:
    """Names and numbers of the data partitions; the default one is number 0 and needs no row.

    Args:
        tables: where they are.
        in_use: whether data live in named partitions. They may be left out of use only while there is none but the
            default one: what is in others would be there and yet in no answer.
    """

    def __init__(self, tables: Tables, *, in_use: bool) -> None:
        self._tables = tables
        self.in_use = in_use
        self._numbers = {DEFAULT_NAME: 0}
        self._checked = in_use
        self._check = asyncio.Lock()

    async def all(self) -> dict[str, int]:
        """Numbers of all partitions by their names, the default one first."""
        found = {DEFAULT_NAME: 0}
        async for page in self._tables.pages(TABLE, f"PartitionKey eq '{_PARTITION}'", ("name", "number")):
            found |= {row["name"]: int(row["number"]) for row in page if "name" in row}
        return found

    async def listed(self) -> list[ListedPartition]:
        """All partitions by number, the default one first."""
        listed = await self._listed()
        if all(one.partition.number > 0 for one in listed):
            await self._note_default()
            listed = await self._listed()
        return sorted(listed, key=lambda one: one.partition.number)

    async def _listed(self) -> list[ListedPartition]:
        listed = []
        async for page in self._tables.pages(TABLE, f"PartitionKey eq '{_PARTITION}'", ("name", "number", "created")):
            listed += [
                ListedPartition(DataPartition(int(row["number"]), row["name"]), datetime.fromisoformat(row["created"]))
                for row in page
                if "name" in row
            ]
        return listed

    async def _note_default(self) -> None:
        """The default partition was there before anybody asked when; from its first list on, the answer is the same."""
        row = {"number": 0, "name": DEFAULT_NAME, "created": datetime.now(UTC).isoformat(), "schema": SCHEMA}
        try:
            await self._tables.transact(TABLE, _PARTITION, [Write("insert", _name_row(DEFAULT_NAME), row)])
        except (TransactionFailed, OutcomeUnknown) as error:
            if isinstance(error, TransactionFailed) and error.code != "EntityAlreadyExists":
                raise

    async def check_use(self) -> None:
        """Return when data may be read and written without naming a partition, or partitions are in use.

        A worker looks once: partitions are only made by apps that use them, and apps of one store are set alike.

        Raises:
            PartitionsLeft: data are in partitions that this app would not show.
        """
        if not self._checked:
            async with self._check:
                await self._look_once()

    async def _look_once(self) -> None:
        if not self._checked and len(await self.all()) > 1:
            raise PartitionsLeft
        self._checked = True

    async def number(self, name: str) -> int:
        """Number of a partition that exists.

        Raises:
            InvalidRequest: there is none of that name (contract C13).
        """
        number = self._numbers.get(name)
        if number is None:
            row = await self._tables.get(TABLE, _PARTITION, _name_row(name), ("number",))
            if row is None:
                raise InvalidRequest("There is no data partition of that name.")
            number = self._numbers[name] = int(row["number"])
        return number

    async def number_or_new(self, name: str) -> int:
        """Number of a partition, which is made when it does not exist."""
        for _ in range(_TRIES):
            try:
                return await self.number(name)
            except InvalidRequest:
                await self._make(name)
        raise StoreUnavailable

    async def _make(self, name: str) -> None:
        taken = [0]
        async for page in self._tables.pages(TABLE, f"PartitionKey eq '{_PARTITION}'", ("number",)):
            taken += [int(row["number"]) for row in page]
        number = max(taken) + 1
        created = datetime.now(UTC).isoformat()
        by_name = {"number": number, "name": name, "created": created, "schema": SCHEMA}
        writes = [
            Write("insert", _name_row(name), by_name),
            Write("insert", f"i~{number:010d}", {"number": number, "schema": SCHEMA}),
        ]
        try:
            await self._tables.transact(TABLE, _PARTITION, writes)
        except (TransactionFailed, OutcomeUnknown) as error:
            if isinstance(error, TransactionFailed) and error.code != "EntityAlreadyExists":
                raise
            # Somebody took the name or the number; the next look tells.


def _name_row(name: str) -> str:
    return f"n~{name}"
