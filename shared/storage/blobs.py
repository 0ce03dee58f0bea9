"""Blobs: put, stage and commit blocks, read by stream or range, delete. The only caller of the blob service."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from azure.core.exceptions import AzureError
from azure.core.rest import AsyncHttpResponse

from shared.errors import StoreUnavailable
from shared.storage.client import BLOB_VERSION, StorageClient, expect
from shared.storage.errors import StorageFailed
from shared.storage.keys import SCHEMA
from shared.storage.meter import note_read
from shared.storage.schema import NAME, expect_readable

_HEADERS = {"x-ms-version": BLOB_VERSION}
_META = "x-ms-meta-"
_COPY_SECONDS = 0.5


class BlobMissing(Exception):
    """There is no blob of that name."""


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """A blob being read.

    Attributes:
        length_bytes: how many bytes `chunks` will give.
        metadata: the blob's own metadata, names in lower case.
        chunks: the bytes; raises StoreUnavailable when storage stops in the middle.
    """

    length_bytes: int
    metadata: Mapping[str, str]
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class ListedBlob:
    """A blob as a listing gives it.

    Attributes:
        name: its name.
        length_bytes: how long it is.
        modified: when it was written; None for a folder.
        metadata: its own metadata, names in lower case.
    """

    name: str
    length_bytes: int = 0
    modified: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class Blobs:
    """The blobs of one container. The container is made when a write finds that it is missing.

    Each one says in its metadata which schema it belongs to, beside what its writer says of it.
    """

    def __init__(self, client: StorageClient, container: str) -> None:
        self._client = client
        self._root = f"{client.account.blob_url}/{container}"

    async def put(self, name: str, content: bytes, metadata: Mapping[str, str] | None = None) -> None:
        """Write a whole blob in one call, replacing what was there."""
        headers = {
            **_HEADERS,
            "x-ms-blob-type": "BlockBlob",
            "Content-Type": "application/octet-stream",
            **_metadata(metadata),
        }
        expect(await self._write("PUT", self._url(name), headers, content), "put blob", 201)

    async def stage(self, name: str, number: int, content: bytes) -> None:
        """Upload one block. Blocks are invisible until `commit`, and vanish by themselves when that never comes."""
        url = f"{self._url(name)}?comp=block&blockid={quote(_block_id(number), safe='')}"
        headers = {**_HEADERS, "Content-Type": "application/octet-stream"}
        expect(await self._write("PUT", url, headers, content), "put block", 201)

    async def commit(self, name: str, blocks: int, metadata: Mapping[str, str] | None = None) -> None:
        """Make blocks 0 to `blocks` - 1 the blob."""
        listed = "".join(f"<Uncommitted>{_block_id(number)}</Uncommitted>" for number in range(blocks))
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
        headers = {**_HEADERS, "Content-Type": "application/xml", **_metadata(metadata)}
        expect(await self._write("PUT", f"{self._url(name)}?comp=blocklist", headers, body), "put block list", 201)

    async def copy(self, name: str, source: str, etag: str, metadata: Mapping[str, str]) -> None:
        """Make a blob of another one of the same account, within storage.

        Args:
            name: of the new one.
            source: address of the other one.
            etag: what the other one has to have.
            metadata: of the new one.

        Raises:
            StorageFailed: storage refuses; with status 404 or 412 when the other one is gone or has changed.
        """
        headers = {**_HEADERS, "x-ms-copy-source": source, "x-ms-source-if-match": etag, **_metadata(metadata)}
        response = expect(await self._write("PUT", self._url(name), headers, b""), "copy blob", 202)
        # Within an account storage normally answers when it is done, and need not.
        while (status := response.headers.get("x-ms-copy-status", "")) == "pending":
            await asyncio.sleep(_COPY_SECONDS)
            response = expect(await self._client.send("HEAD", self._url(name), _HEADERS), "get blob properties", 200)
        if status != "success":
            raise StorageFailed(409, f"Copy {status}", "copy blob")

    @asynccontextmanager
    async def open(self, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[OpenBlob]:
        """Read a blob, or `length` bytes of it from `offset` on, as it arrives.

        Raises:
            BlobMissing: there is none.
            UnknownSchema: this code does not read blobs of its form.
        """
        headers = dict(_HEADERS)
        if length is not None:
            headers["x-ms-range"] = f"bytes={offset}-{offset + length - 1}"
        async with self._client.stream(self._url(name), headers) as response:
            if response.status_code == 404:
                raise BlobMissing(name)
            expect(response, "get blob", 200, 206)
            expect_readable(_number(response.headers.get(_META + NAME)), "blob", name)
            # Closed here, whoever stops reading half way: left to the collector, it would outlive its connection.
            async with aclosing(chunks_of(response)) as chunks:
                yield OpenBlob(
                    length_bytes=int(response.headers.get("Content-Length", "0")),
                    metadata={
                        key.lower().removeprefix(_META): value
                        for key, value in response.headers.items()
                        if key.lower().startswith(_META)
                    },
                    chunks=chunks,
                )

    async def listed(self, prefix: str, *, folders: bool = False) -> AsyncIterator[list[ListedBlob]]:
        """Blobs whose names begin with a prefix, page by page.

        Args:
            prefix: begin of the names.
            folders: give the names up to the next `/` instead, once each.

        Raises:
            UnknownSchema: this code does not know one of the blobs, so it cannot judge it either.
        """
        query = f"restype=container&comp=list&include=metadata&prefix={quote(prefix, safe='')}"
        if folders:
            query = f"restype=container&comp=list&delimiter=%2F&prefix={quote(prefix, safe='')}"
        marker = ""
        while True:
            response = await self._client.send("GET", f"{self._root}?{query}{marker}", _HEADERS)
            if response.status_code == 404:
                return
            root = ElementTree.fromstring(expect(response, "list blobs", 200).content)  # noqa: S314 - storage wrote it
            found = [_listed(element) for element in root.iter("BlobPrefix" if folders else "Blob")]
            for blob in found:
                expect_readable(_number(blob.metadata.get(NAME)), "blob", blob.name)
            yield found
            following = root.findtext("NextMarker")
            if not following:
                return
            marker = f"&marker={quote(following, safe='')}"

    async def delete(self, name: str) -> bool:
        """Delete a blob; False when there was none."""
        response = await self._client.send("DELETE", self._url(name), _HEADERS)
        return expect(response, "delete blob", 202, 404).status_code == 202

    async def delete_all(self, names: Sequence[str]) -> None:
        """Delete several blobs, a few at a time."""
        gate = asyncio.Semaphore(8)

        async def one(name: str) -> None:
            async with gate:
                await self.delete(name)

        await asyncio.gather(*(one(name) for name in names))

    async def check(self) -> None:
        """Ask the service for anything: returns when it answers.

        Raises:
            StoreUnavailable: it does not.
        """
        response = await self._client.send("GET", f"{self._root}?restype=container", _HEADERS)
        expect(response, "get container", 200, 404)

    def _url(self, name: str) -> str:
        return f"{self._root}/{quote(name, safe='/~-._')}"

    async def _write(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> AsyncHttpResponse:
        response = await self._client.send(method, url, headers, content)
        if response.status_code != 404:
            return response
        # A blob write knows one 404: the container is not there yet.
        made = await self._client.send("PUT", f"{self._root}?restype=container", _HEADERS)
        expect(made, "create container", 201, 409)
        return await self._client.send(method, url, headers, content)


async def chunks_of(response: AsyncHttpResponse) -> AsyncGenerator[bytes, None]:
    """The body of an answer as it arrives.

    Raises:
        StoreUnavailable: storage stops in the middle.
    """
    raw: Any = response.iter_raw()
    try:
        async with aclosing(raw):
            async for chunk in raw:
                note_read(len(chunk))
                yield chunk
    except AzureError as error:
        raise StoreUnavailable from error


def _metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    return {_META + key: value for key, value in {**(metadata or {}), NAME: str(SCHEMA)}.items()}


def _number(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text


def _listed(element: ElementTree.Element) -> ListedBlob:
    modified = element.findtext("Properties/Last-Modified")
    return ListedBlob(
        name=element.findtext("Name", ""),
        length_bytes=int(element.findtext("Properties/Content-Length") or 0),
        modified=parsedate_to_datetime(modified) if modified else None,
        metadata={item.tag.lower(): item.text or "" for item in element.iterfind("Metadata/*")},
    )


def _block_id(number: int) -> str:
    # All ids of a blob must be equally long.
    return base64.b64encode(f"{number:08d}".encode()).decode()


__all__ = ["BlobMissing", "Blobs", "OpenBlob", "StorageFailed"]
