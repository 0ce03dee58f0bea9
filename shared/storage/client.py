"""One HTTP client for blob and table storage: azure-core's pipeline with only the policies that are needed.

The SDKs' own clients cost several times the CPU of a bare request (`python -m shared.dev.bench storage` prints it), so
the hot calls are built here on the SDKs' transport, retry policy and token policy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from io import BytesIO
from typing import Any

import aiohttp
from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline import AsyncPipeline, PipelineRequest
from azure.core.pipeline.policies import (
    AsyncBearerTokenCredentialPolicy,
    AsyncHTTPPolicy,
    AsyncRetryPolicy,
    RequestHistory,
    SansIOHTTPPolicy,
)
from azure.core.pipeline.transport import AioHttpTransport, AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from yarl import URL

from shared.errors import StoreUnavailable
from shared.storage.account import Account, sign_blob, sign_table
from shared.storage.errors import OutcomeUnknown, StorageFailed
from shared.storage.meter import MeterPolicy

log = logging.getLogger(__name__)

BLOB_VERSION = "2021-12-02"
TABLE_VERSION = "2019-02-02"
_SCOPE = "https://storage.azure.com/.default"
_READ_BYTES = 256 * 1024
_UNCLEAR = frozenset({408, 500, 502, 504})
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
# Every write of the service may be repeated, so every method is tried again.
_METHODS = frozenset({"GET", "PUT", "POST", "MERGE", "DELETE"})
_CONNECTIONS = 128
_STREAMED_BYTES = 1024 * 1024


class _SharedKey(SansIOHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Signs each try anew, because the date is part of what is signed."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        sent = request.http_request
        date = formatdate(usegmt=True)
        sent.headers["x-ms-date"] = date
        if sent.url.startswith(self._account.table_url):
            sent.headers["Authorization"] = sign_table(self._account, sent.url, date)
        else:
            sent.headers["Authorization"] = sign_blob(self._account, sent.method, sent.url, sent.headers)


class StorageClient:
    """Sends signed requests, retries what may be retried, and turns failures into meanings.

    Args:
        account: where to.
        identity_client_id: client id of a user-assigned identity, when the account has no key.
        transport: replaces the connection pool; tests count and hold calls with it.
    """

    def __init__(
        self, account: Account, identity_client_id: str = "", transport: AsyncHttpTransport[Any, Any] | None = None
    ) -> None:
        self.account = account
        self._identity_client_id = identity_client_id
        self._transport = transport
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pipeline: AsyncPipeline[HttpRequest, AsyncHttpResponse] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> AsyncHttpResponse:
        """Send and read the whole answer, whatever its status below 500.

        Args:
            method: HTTP method.
            url: whole URL, percent-encoded.
            headers: request headers, without date and signature.
            content: request body.

        Raises:
            StoreUnavailable: storage cannot be reached or keeps refusing.
            OutcomeUnknown: a write that is not retried by itself got no answer.
        """
        sent = dict(headers)
        body: bytes | BytesIO | None = content
        if content is not None and len(content) > _STREAMED_BYTES:
            # aiohttp writes bytes in one go, and other requests would wait for it; a file is written in pieces.
            sent["Content-Length"] = str(len(content))
            body = BytesIO(content)
        return await self._run(HttpRequest(method, _canonical(url), headers=sent, content=body), stream=False)

    @asynccontextmanager
    async def stream(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[AsyncHttpResponse]:
        """GET, handing out the answer before its body is read; the connection is given back at the end."""
        response = await self._run(HttpRequest("GET", _canonical(url), headers=dict(headers)), stream=True)
        try:
            yield response
        finally:
            await response.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
        self._session = self._pipeline = None

    async def _run(self, request: HttpRequest, *, stream: bool) -> AsyncHttpResponse:
        try:
            result = await self._opened().run(request, stream=stream, retry_on_methods=_METHODS)
        except ServiceResponseError as error:
            log.warning("storage did not answer", extra={"method": request.method})
            if request.method == "POST":
                raise OutcomeUnknown from error
            raise StoreUnavailable from error
        except ServiceRequestError as error:
            log.warning("storage cannot be reached", extra={"method": request.method})
            raise StoreUnavailable from error
        except ClientAuthenticationError as error:
            log.exception("no token for storage")
            raise StoreUnavailable(retry_after_seconds=30) from error
        except AzureError as error:
            log.exception("storage client failed")
            raise StoreUnavailable from error
        response = result.http_response
        if response.status_code in _RETRIED:
            log.warning("storage refuses", extra={"status": response.status_code})
            raise StoreUnavailable(_retry_after(response))
        if request.method == "POST" and _refused(response) and _may_have_worked(result.context.get("history", ())):
            # A try whose answer got lost may have done what this one was refused for.
            raise OutcomeUnknown
        return response

    def _opened(self) -> AsyncPipeline[HttpRequest, AsyncHttpResponse]:
        # A connection pool belongs to one event loop; a process normally has one, tests may have several.
        loop = asyncio.get_running_loop()
        if self._pipeline is None or self._loop is not loop:
            self._loop = loop
            transport = self._transport
            if transport is None:
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    trust_env=False,
                )
                transport = aiohttp_transport(self._session)
            self._pipeline = AsyncPipeline(transport, self._policies())
        return self._pipeline

    def _policies(self) -> list[Any]:
        retry = AsyncRetryPolicy(
            retry_total=4, retry_connect=2, retry_read=2, retry_backoff_factor=0.15, retry_backoff_max=4, timeout=45
        )
        # The last one sees each try, with what it sends.
        return [retry, self._credential_policy(), MeterPolicy()]

    def _credential_policy(self) -> SansIOHTTPPolicy[Any, Any] | AsyncHTTPPolicy[Any, Any]:
        if self.account.key is not None:
            return _SharedKey(self.account)
        # Imported late: most of its import time would be paid at every cold start of a local run for nothing.
        from azure.identity.aio import DefaultAzureCredential

        credential = DefaultAzureCredential(managed_identity_client_id=self._identity_client_id or None)
        return AsyncBearerTokenCredentialPolicy(credential, _SCOPE)


def aiohttp_transport(session: aiohttp.ClientSession) -> AioHttpTransport:
    """azure-core's aiohttp transport over a session, with this service's time limits and read size."""
    return AioHttpTransport(
        session=session,
        session_owner=False,
        connection_timeout=5,
        read_timeout=30,
        connection_data_block_size=_READ_BYTES,
    )


def expect(response: AsyncHttpResponse, operation: str, *statuses: int) -> AsyncHttpResponse:
    """The response, when its status is one of those.

    Raises:
        StorageFailed: with storage's error code otherwise.
    """
    if response.status_code not in statuses:
        raise StorageFailed(response.status_code, response.headers.get("x-ms-error-code", ""), operation)
    return response


def _refused(response: AsyncHttpResponse) -> bool:
    # A table transaction says 202 also when an operation inside it was refused.
    return response.status_code >= 400 or b"odata.error" in response.content


def _may_have_worked(history: Iterable[RequestHistory[Any, Any]]) -> bool:
    """Whether one of the earlier tries got no answer, or one that does not say what happened."""
    return any(
        isinstance(entry.error, ServiceResponseError)
        or (entry.http_response is not None and entry.http_response.status_code in _UNCLEAR)
        for entry in history
    )


def _canonical(url: str) -> str:
    # aiohttp rewrites a URL into this form before it sends it; what is signed must be what is sent.
    return str(URL(url))


def _retry_after(response: AsyncHttpResponse) -> int:
    text = response.headers.get("Retry-After", "")
    return min(int(text), 60) if text.isdecimal() else 5
