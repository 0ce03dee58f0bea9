"""A connection to storage that counts the bytes it carries, for benchmarks and tests of what work moves."""

from __future__ import annotations

from typing import Any

import aiohttp
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest

from shared.storage.client import aiohttp_transport


class PassingTransport(AsyncHttpTransport[Any, Any]):
    """The real connection to storage, for those that look at what goes through it."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._inner: AsyncHttpTransport[Any, Any] | None = None

    async def open(self) -> None:
        """Make the connection pool, in the loop that uses it."""
        if self._inner is None:
            self._session = aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
            self._inner = aiohttp_transport(self._session)

    async def close(self) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()

    async def __aexit__(self, *_: object) -> None:
        """Close the connection pool."""
        await self.close()

    async def passed_on(self, request: HttpRequest, **options: Any) -> AsyncHttpResponse:
        """The answer of storage."""
        await self.open()
        assert self._inner is not None, "open makes it"
        response: AsyncHttpResponse = await self._inner.send(request, **options)
        return response


class CountingTransport(PassingTransport):
    """Counts calls, and bytes of bodies; headers are left out.

    Attributes:
        calls: sent so far.
        sent_bytes: of bodies to storage.
        received_bytes: of bodies from storage, whether they were read to their end or not.
        blob_bytes: those of them that came with a length, as blobs do; rows of tables come without.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.sent_bytes = 0
        self.received_bytes = 0
        self.blob_bytes = 0

    @property
    def moved_bytes(self) -> int:
        """Both ways together."""
        return self.sent_bytes + self.received_bytes

    def forget(self) -> None:
        """Start counting anew."""
        self.calls = self.sent_bytes = self.received_bytes = self.blob_bytes = 0

    async def send(self, request: HttpRequest, **options: Any) -> AsyncHttpResponse:
        """Pass a request on."""
        self.calls += 1
        self.sent_bytes += int(request.headers.get("Content-Length") or 0) or len(bytes(request.content or b""))
        response = await self.passed_on(request, **options)
        known = response.headers.get("Content-Length")
        self.blob_bytes += int(known or 0)
        # What has no length is an answer of tables, which has been read.
        self.received_bytes += int(known) if known is not None else len(response.content)
        return response
