"""Recorded stores in accounts of their own, with today's code over them, and the front door over that."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from shared.settings import Settings
from shared.storage.stores import Stores, open_stores
from tests.support.front import Front
from tests.support.recorded import Record, load
from tests.support.storage import fresh_account

ANY_SYNTAX = 'multipart/related; type="application/dicom"; transfer-syntax=*'
OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stored instance as the record has it.

    Attributes:
        uids: study, series and instance.
        content: the file.
    """

    uids: tuple[str, str, str]
    content: bytes

    @property
    def path(self) -> str:
        return "/v2/studies/{}/series/{}/instances/{}".format(*self.uids)


@dataclass(frozen=True, slots=True)
class Restored:
    """A record in an account of its own, with today's code over it."""

    record: Record
    account: str
    stores: Stores
    front: Front

    def instances(self, partition: int = 0) -> list[Recorded]:
        """What the record holds, read without the service; without the study that is being deleted."""
        rows = {row["blob"]: row for table in self.record["tables"].values() for row in table if "blob" in row}
        (going,) = self.going()
        found = []
        for blob in self.record["blobs"]:
            said = blob["metadata"]
            if blob["name"] in rows and blob["name"].startswith(f"{partition}/") and said["study"] != going:
                uids = (said["study"], said["series"], said["instance"])
                found.append(Recorded(uids, base64.b64decode(blob["content"])))
        assert len(found) >= (1 if partition else 10)
        return found

    def going(self) -> set[str]:
        """Studies whose delete was begun and not told to a client."""
        return {
            row["PartitionKey"].partition("~")[2]
            for table, rows in self.record["tables"].items()
            for row in rows
            if table.startswith("main") and row["RowKey"] == "!" and "deleting" in row
        }


@asynccontextmanager
async def restored(connection: str, record: Record, **settings: Any) -> AsyncIterator[Restored]:
    account = fresh_account(connection)
    await load(account, record)
    chosen = Settings(storage_connection=account, **settings)
    # The records have a data partition; most tests look at the default one by paths that name none.
    stores = open_stores(replace(chosen, data_partitions=True))
    try:
        yield Restored(record, account, stores, Front(stores, chosen))
    finally:
        await stores.close()


def placed(record: Record) -> dict[str, dict[str, Any]]:
    """Rows and metadata of blobs, by where they are."""
    rows = {
        f"{table} {row['PartitionKey']} {row['RowKey']}": row
        for table, entities in record["tables"].items()
        for row in entities
    }
    return rows | {f"blob {blob['name']}": blob["metadata"] for blob in record["blobs"]}
