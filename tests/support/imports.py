"""Files that are dropped for import, and what has become of them, seen with the vendor's own client."""

from __future__ import annotations

import asyncio
import contextlib
import json
from io import BytesIO
from types import TracebackType
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob.aio import BlobServiceClient

from shared.storage.client import BLOB_VERSION
from shared.storage.dropped import outcome_name, results_container

CONTAINER = "dicom-import"
_PIECE_BYTES = 900_000  # the vendor's client sends what is longer in one go, which its own transport warns of


class DropBox:
    """The import container of an account and its results.

    Args:
        connection: of the account.
        container: its name.
    """

    def __init__(self, connection: str, container: str = CONTAINER) -> None:
        self._service = BlobServiceClient.from_connection_string(
            connection, api_version=BLOB_VERSION, max_single_put_size=_PIECE_BYTES, max_block_size=_PIECE_BYTES
        )
        self.container = self._service.get_container_client(container)
        self.results = self._service.get_container_client(results_container(container))
        self.instances = self._service.get_container_client("dicom")

    async def __aenter__(self) -> DropBox:
        with contextlib.suppress(ResourceExistsError):
            await self.container.create_container()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._service.close()

    async def drop(self, path: str, content: bytes, **options: Any) -> str:
        """Put a file there; gives its ETag."""
        blob = self.container.get_blob_client(path)
        return str((await blob.upload_blob(BytesIO(content), length=len(content), overwrite=True, **options))["etag"])

    async def left(self) -> list[str]:
        """Files that are still there."""
        return [str(blob.name) async for blob in self.container.list_blobs()]

    async def kept(self, prefix: str = "") -> list[str]:
        """Blobs of the results."""
        try:
            return [str(blob.name) async for blob in self.results.list_blobs(name_starts_with=prefix)]
        except ResourceNotFoundError:
            return []

    async def stored(self) -> list[str]:
        """Blobs of instances."""
        try:
            return [str(blob.name) async for blob in self.instances.list_blobs()]
        except ResourceNotFoundError:
            return []

    async def content(self, name: str) -> bytes:
        """A blob of the results."""
        return bytes(await (await self.results.download_blob(name)).readall())

    async def outcome(self, path: str) -> dict[str, Any] | None:
        """What has become of a file; None when nothing is known."""
        try:
            found: dict[str, Any] = json.loads(await self.content(outcome_name(path)))
        except ResourceNotFoundError:
            return None
        return found

    async def ended(self, path: str, seconds: float = 60.0) -> dict[str, Any]:
        """What has become of a file, once that is known."""
        async with asyncio.timeout(seconds):
            while True:
                found = await self.outcome(path)
                if found is not None and found["status"] in ("stored", "failed"):
                    return found
                await asyncio.sleep(0.1)
