"""Data partitions: a name for people, a number for keys. A number never changes, so a worker may remember it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from shared.errors import InvalidRequest, StoreUnavailable
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


class Partitions:
    """Names and numbers of the data partitions; the default one is number 0 and needs no row."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._numbers = {DEFAULT_NAME: 0}

    async def all(self) -> dict[str, int]:
        """Numbers of all partitions by their names, the default one first."""
        found = {DEFAULT_NAME: 0}
        async for page in self._tables.pages(TABLE, f"PartitionKey eq '{_PARTITION}'", ("name", "number")):
            found |= {row["name"]: int(row["number"]) for row in page if "name" in row}
        return found

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
