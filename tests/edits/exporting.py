"""Containers to export to, as their owners see them, through the vendor's own client."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from azure.storage.blob.aio import ContainerClient

from shared.storage.account import EMULATOR_KEY
from tests.edits.made import Desk
from tests.support.front import Answer


@dataclass(frozen=True, slots=True)
class Destination:
    """A container of the emulator's usual account."""

    client: ContainerClient
    connection: str

    @property
    def name(self) -> str:
        return str(self.client.container_name)

    @property
    def url(self) -> str:
        return str(self.client.url)

    @property
    def settings(self) -> dict[str, Any]:
        """What a body says of it."""
        return {"connectionString": self.connection, "blobContainerName": self.name}

    def sas(self, permissions: str = "cwa", hours: float = 1) -> str:
        """A query that opens it; by default nothing can be read or deleted with it."""
        return generate_container_sas(
            "devstoreaccount1",
            self.name,
            account_key=EMULATOR_KEY,
            permission=ContainerSasPermissions.from_string(permissions),
            expiry=datetime.now(UTC) + timedelta(hours=hours),
        )

    async def blobs(self) -> dict[str, bytes]:
        """Everything in it, by name."""
        names = [one.name async for one in self.client.list_blobs()]
        return {name: await (await self.client.download_blob(name)).readall() for name in names}

    async def results(self, operation_id: str) -> dict[str, bytes]:
        """What an export has put there, by identifier."""
        lead = f"{operation_id}/results/"
        found = await self.blobs()
        return {
            name.removeprefix(lead).removesuffix(".dcm"): content
            for name, content in found.items()
            if name.startswith(lead)
        }

    async def log(self, operation_id: str) -> list[dict[str, Any]]:
        """The lines of its log of errors."""
        content = await (await self.client.download_blob(f"{operation_id}/errors.log")).readall()
        return [orjson.loads(line) for line in content.splitlines()]


@asynccontextmanager
async def destination(connection: str) -> AsyncIterator[Destination]:
    """An empty container beside the service's accounts; it goes at the end."""
    async with ContainerClient.from_connection_string(connection, f"out-{uuid.uuid4().hex}") as client:
        await client.create_container()
        yield Destination(client, connection)
        await client.delete_container()


def wanted(settings: Mapping[str, Any], *values: str) -> dict[str, Any]:
    """A body; without identifiers it asks for everything."""
    body: dict[str, Any] = {"destination": {"type": "azureblob", "settings": settings}}
    if values:
        body["source"] = {"type": "identifiers", "settings": {"values": list(values)}}
    return body


async def begin(at: Desk, body: Mapping[str, Any] | bytes) -> Answer:
    """Ask for an export."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return await at.front.ask("POST", f"{at.root}/export", content, Content_Type="application/json")


async def exported(at: Desk, body: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for an export and see it through; gives its operation."""
    begun = await begin(at, body)
    assert begun.status == 202, begun.content
    await at.work()
    return await at.operation(begun.json()["id"])
