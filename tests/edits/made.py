"""Stores with studies in them that are updated, over the service's own front door."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
from azure.core.pipeline.transport import AsyncHttpTransport

from shared.settings import Settings
from shared.storage.stores import Stores, open_stores
from tests.support.calls import multipart
from tests.support.front import Answer, Front
from tests.support.jobs import worked_off
from tests.support.storage import fresh_settings

NAME, PATIENT = "00100010", "00100020"
ORIGINAL = {"msdicom_request_original": "true"}
AS_STORED = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}


def name_is(text: str) -> dict[str, Any]:
    """A change set that names the patient."""
    return {NAME: {"vr": "PN", "Value": [{"Alphabetic": text}]}}


def named(metadata: Mapping[str, Any]) -> str:
    """The patient's name in metadata."""
    return str(metadata[NAME]["Value"][0]["Alphabetic"])


@dataclass(frozen=True, slots=True)
class Desk:
    """A service with a worker beside it, in this process."""

    stores: Stores
    front: Front
    settings: Settings
    root: str = "/v2"

    def within(self, partition: str) -> Desk:
        """The same desk for a data partition."""
        return replace(self, root=f"/v2/partitions/{partition}")

    async def store(self, *files: bytes) -> None:
        body, headers = multipart(files)
        answer = await self.front.ask("POST", f"{self.root}/studies", body, Content_Type=headers[0][1])
        assert answer.status in (200, 202), answer.content

    async def begin(self, studies: Iterable[str], changes: Mapping[str, Any]) -> Answer:
        body = orjson.dumps({"studyInstanceUids": list(studies), "changeDataset": changes})
        return await self.front.ask("POST", f"{self.root}/studies/$bulkUpdate", body, Content_Type="application/json")

    async def work(self) -> int:
        return await worked_off(self.stores, self.settings.storage_connection)

    async def update(self, studies: Iterable[str], changes: Mapping[str, Any]) -> dict[str, Any]:
        """Begin an update and see it through; gives its operation."""
        begun = await self.begin(studies, changes)
        assert begun.status == 202, begun.content
        await self.work()
        return await self.operation(begun.json()["id"])

    async def operation(self, operation_id: str) -> dict[str, Any]:
        return dict((await self.front.ask("GET", f"/v2/operations/{operation_id}")).json())

    async def metadata(self, path: str, **headers: str) -> list[dict[str, Any]]:
        answer = await self.front.ask("GET", f"{self.root}/studies/{path}/metadata", b"", **headers)
        assert answer.status == 200, answer.content
        return list(answer.json())

    async def file(self, path: str, **headers: str) -> bytes:
        """One instance as it is stored."""
        accept = {"Accept": "application/dicom; transfer-syntax=*", **headers}
        answer = await self.front.ask("GET", f"{self.root}/studies/{path}", b"", **accept)
        assert answer.status == 200, answer.content
        assert int(answer.headers["content-length"]) == len(answer.content)
        return answer.content

    async def changes(self) -> list[dict[str, Any]]:
        """The whole change feed."""
        found: list[dict[str, Any]] = []
        while page := (await self.front.ask("GET", f"/v2/changefeed?limit=200&offset={len(found)}")).json():
            found += page
        return found

    async def search(self, query: str) -> list[dict[str, Any]]:
        answer = await self.front.ask("GET", f"{self.root}/{query}")
        return list(answer.json()) if answer.status == 200 else []


@asynccontextmanager
async def desk(
    connection_string: str,
    settings: Settings | None = None,
    transport: AsyncHttpTransport[Any, Any] | None = None,
    **others: Any,
) -> AsyncIterator[Desk]:
    """A desk over an empty account, or over that of another desk's settings."""
    chosen = settings or fresh_settings(connection_string, **others)
    stores = open_stores(chosen, transport)
    try:
        yield Desk(stores, Front(stores, chosen), chosen)
    finally:
        await stores.close()
        if transport is not None:
            await transport.close()
