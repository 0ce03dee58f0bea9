"""`python -m shared.dev.backup`: keep all tables of a store in a file, and write them into an account that has none.

Accounts keep deleted blobs for a while, but not rows; and AzCopy copies blobs, but not tables. The file is gzip,
a line of JSON for each row; its last line says how many there are, so that a part of it is never taken for all of it.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import itertools
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from shared.dev import settingsfile
from shared.settings import Settings
from shared.storage.account import account_of
from shared.storage.client import TABLE_VERSION, StorageClient, expect
from shared.storage.errors import StorageFailed
from shared.storage.keys import SCHEMA
from shared.storage.tables import TRANSACTION_BYTES, TRANSACTION_LIMIT, Entity, Tables, Write

_HEADERS = {
    "x-ms-version": TABLE_VERSION,
    "DataServiceVersion": "3.0",
    "Accept": "application/json;odata=nometadata",
}
# Tables of the Functions host, where it shares the account, as it does locally.
_OTHERS = ("AzureFunctions", "AzureWebJobs")
_EVERYTHING = "PartitionKey ge ''"
_KEYS = ("PartitionKey", "RowKey")
_AT_ONCE = 16

Row = dict[str, Any]
Line = tuple[str, Row]
"""A table, and a row of it as the service writes it: with the types that JSON does not have."""


class BackupError(Exception):
    """The file cannot be used, or the account cannot take it; the text says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when it is done, 1 when the file or the account is not fit, 2 when storage cannot be reached."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.backup", description=__doc__)
    settingsfile.add_option(parser)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("save", help="write all rows to a file").add_argument("file", type=Path)
    commands.add_parser("load", help="write the rows of a file to an account without").add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    work = save if options.command == "save" else load
    try:
        number = asyncio.run(_with_client(settingsfile.settings_of(options), options.file, work))
    except (BackupError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except settingsfile.UNREACHABLE as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{number} rows")
    return 0


async def _with_client(settings: Settings, file: Path, work: Callable[[StorageClient, Path], Awaitable[int]]) -> int:
    client = StorageClient(account_of(settings), settings.identity_client_id)
    try:
        return await work(client, file)
    finally:
        await client.close()


async def save(client: StorageClient, file: Path) -> int:
    """Write all rows of all tables to a file; how many there were.

    The file is there when all of it is: until then it has another name.
    """
    number = 0
    unfinished = file.with_name(f"{file.name}.part")
    with gzip.open(unfinished, "wt", encoding="utf-8") as out:
        print(json.dumps({"schema": SCHEMA}), file=out)
        async for table in _tables(client):
            async for rows in Tables(client).pages(table, _EVERYTHING, etags=True):
                number += len(rows)
                out.writelines(f"{json.dumps([table, _kept(row)])}\n" for row in rows)
        print(json.dumps({"rows": number}), file=out)
    unfinished.replace(file)
    return number


async def load(client: StorageClient, file: Path) -> int:
    """Write the rows of a file to an account that has none of its tables; how many there were.

    Raises:
        BackupError: the file is none that was saved, or is cut; or the account has tables already.
    """
    # Read twice: what turns out to be cut has not been half written by then.
    expected = sum(1 for _ in _lines(file))
    there = [table async for table in _tables(client)]
    if there:
        raise BackupError(f"The account has {len(there)} tables already, such as {there[0]}: load into one without.")
    gate = asyncio.Semaphore(_AT_ONCE)

    async def write(table: str, partition: str, writes: Sequence[Write]) -> None:
        async with gate:
            await Tables(client).transact(table, partition, writes)

    try:
        for group in _groups(_batches(_lines(file))):
            await asyncio.gather(*(write(*batch) for batch in group))
    except StorageFailed as error:
        raise BackupError(f"Storage refuses a row ({error}); delete the tables before trying again.") from error
    return expected


async def _tables(client: StorageClient) -> AsyncIterator[str]:
    query = ""
    while True:
        url = f"{client.account.table_url}/Tables{query}"
        response = expect(await client.send("GET", url, _HEADERS), "list tables", 200)
        for entry in json.loads(response.content)["value"]:
            if not entry["TableName"].startswith(_OTHERS):
                yield entry["TableName"]
        following = response.headers.get("x-ms-continuation-NextTableName")
        if not following:
            return
        query = f"?NextTableName={following}"


def _kept(row: Entity) -> Row:
    return {name: value for name, value in row.items() if not name.startswith(("odata.", "Timestamp"))}


def _lines(file: Path) -> Iterator[Line]:
    """Every row of a file.

    Raises:
        BackupError: it is not of that form, or not whole.
    """
    number = 0
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            _expect_readable(lines)
            for line in lines:
                found = json.loads(line)
                if isinstance(found, dict):
                    if found == {"rows": number} and not lines.readline():
                        return
                    break
                number += 1
                yield _row(found)
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise BackupError(f"{file}: {error}") from error
    raise BackupError(f"{file}: it ends after {number} rows, and not as a saved file does")


# Any: a line of JSON may be anything.
def _row(found: Any) -> Line:
    match found:
        case [str(table), {"PartitionKey": str(), "RowKey": str()} as row]:
            return table, row
    raise TypeError("a line of it is no row")


def _expect_readable(lines: IO[str]) -> None:
    begin = json.loads(lines.readline() or "null")
    if not isinstance(begin, dict) or not isinstance(begin.get("schema"), int):
        raise TypeError("it was not saved by this command")
    if begin["schema"] > SCHEMA:
        raise TypeError(f"it was saved by a later release (schema {begin['schema']}, here {SCHEMA})")


Batch = tuple[str, str, list[Write]]


def _batches(lines: Iterator[Line]) -> Iterator[Batch]:
    """Rows of one partition that follow each other, as many as a transaction takes."""
    for (table, partition), found in itertools.groupby(lines, key=lambda line: (line[0], line[1]["PartitionKey"])):
        writes: list[Write] = []
        size_bytes = 0
        for _, row in found:
            # Twice for the head of the operation, names and quotation marks.
            length = 2 * len(json.dumps(row))
            if writes and (len(writes) == TRANSACTION_LIMIT or size_bytes + length > TRANSACTION_BYTES):
                yield table, partition, writes
                writes, size_bytes = [], 0
            writes.append(Write("insert", row["RowKey"], {key: row[key] for key in row if key not in _KEYS}))
            size_bytes += length
        yield table, partition, writes


def _groups(batches: Iterator[Batch]) -> Iterator[list[Batch]]:
    while group := list(itertools.islice(batches, _AT_ONCE)):
        yield group


if __name__ == "__main__":
    sys.exit(main())
