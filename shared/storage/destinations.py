"""Containers that are not the service's own, for exports (contract C12): their only client.

It follows no redirect, and makes no connection to an address that only this machine or its host can reach, whatever a
name resolves to.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy, AsyncHTTPPolicy, SansIOHTTPPolicy
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse

from shared.errors import StoreUnavailable
from shared.settings import Settings
from shared.storage.account import EMULATOR_ACCOUNT, EMULATOR_KEY, Account
from shared.storage.client import BLOB_VERSION, StorageClient, aiohttp_transport
from shared.storage.destinationaddress import Access, Target, rules_of

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

LOG = logging.getLogger(__name__)

BLOCK_BYTES = 4 * 1024 * 1024
LOG_MEDIA_TYPE = "application/x-ndjson"
_SCOPE = "https://storage.azure.com/.default"
_HEADERS = {"x-ms-version": BLOB_VERSION}
# Of the platform: it answers on this address to every virtual machine.
_WIRE_SERVER = ipaddress.ip_address("168.63.129.16")
_BEGIN_SECONDS = 20.0
_CONNECTIONS = 32
# What one blob may be refused for, while others are taken.
_OF_ONE_BLOB = frozenset({400, 409, 412, 413})


class DestinationUnreachable(Exception):
    """The destination does not answer, or its service is in trouble. It may answer later."""


class DestinationClosed(Exception):
    """The container is not there, or what should open it does not.

    Attributes:
        status: HTTP status of the refusal.
        code: the storage service's own code.
    """

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


class BlobRefused(Exception):
    """The container does not take one blob.

    Attributes:
        code: the storage service's own code.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Container:
    """A container that is written to."""

    def __init__(self, client: StorageClient, target: Target) -> None:
        self._client = client
        self._target = target

    def href(self, name: str) -> str:
        """URL of a blob, without what opens it."""
        return f"{self._target.url}/{quote(name, safe='/~-._')}"

    async def create_log(self, name: str) -> str:
        """Make an empty append blob; leaves one that is there.

        Returns:
            Its ETag; empty when it was there.

        Raises:
            DestinationClosed: the container is not there, or not open.
            DestinationUnreachable: it does not answer.
        """
        headers = {"x-ms-blob-type": "AppendBlob", "Content-Type": LOG_MEDIA_TYPE, "If-None-Match": "*"}
        try:
            async with asyncio.timeout(_BEGIN_SECONDS):
                return str((await self._put(name, "", headers, b"")).headers.get("ETag", ""))
        except TimeoutError as error:
            raise DestinationUnreachable from error
        except BlobRefused as refused:
            # A first try whose answer was lost has made it.
            if refused.code != "BlobAlreadyExists":
                raise DestinationClosed(409, refused.code) from refused
            return ""

    async def drop_log(self, name: str, etag: str) -> None:
        """Take a log away again that nothing was written to since, if what opens the container allows that."""
        try:
            async with asyncio.timeout(_BEGIN_SECONDS):
                await self._client.send("DELETE", self._url(name, ""), {**_HEADERS, "If-Match": etag})
        except (TimeoutError, StoreUnavailable):
            LOG.warning("an empty log was left at a destination: it does not answer")

    async def append(self, name: str, content: bytes, at: int) -> None:
        """Append to a log that is so long; one that is longer has this content there already."""
        headers = {"x-ms-blob-condition-appendpos": str(at), "Content-Type": "application/octet-stream"}
        try:
            await self._put(name, "comp=appendblock", headers, content)
        except BlobRefused as refused:
            if refused.code != "AppendPositionConditionNotMet":
                raise DestinationClosed(409, refused.code) from refused

    async def put(self, name: str, content: bytes, media_type: str) -> None:
        """Write a whole blob, replacing what was there."""
        await self._put(name, "", {"x-ms-blob-type": "BlockBlob", "Content-Type": media_type}, content)

    async def stage(self, name: str, block: str, content: bytes) -> None:
        """Upload a block, which stays invisible until `commit`."""
        query = f"comp=block&blockid={quote(_block_id(block), safe='')}"
        await self._put(name, query, {"Content-Type": "application/octet-stream"}, content)

    async def commit(self, name: str, blocks: Sequence[str], media_type: str) -> None:
        """Make those blocks the blob."""
        listed = "".join(f"<Latest>{_block_id(block)}</Latest>" for block in blocks)
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
        headers = {"Content-Type": "application/xml", "x-ms-blob-content-type": media_type}
        await self._put(name, "comp=blocklist", headers, body)

    async def _put(self, name: str, query: str, headers: Mapping[str, str], content: bytes) -> AsyncHttpResponse:
        try:
            response = await self._client.send("PUT", self._url(name, query), {**_HEADERS, **headers}, content)
        except StoreUnavailable as error:
            raise DestinationUnreachable from error
        _check(response)
        return response

    def _url(self, name: str, query: str) -> str:
        asked = "&".join(filter(None, (query, self._target.sas)))
        return f"{self.href(name)}?{asked}" if asked else self.href(name)


class Destinations:
    """The containers that this app may export to.

    Args:
        settings: of the app.
        account: where the app itself stores.
        credential: stands for the service's identity; None asks the platform for it when it is needed.
        transport: replaces the connections.
    """

    def __init__(
        self,
        settings: Settings,
        account: Account,
        credential: AsyncTokenCredential | None = None,
        transport: AsyncHttpTransport[Any, Any] | None = None,
    ) -> None:
        self.enabled = settings.export
        self.rules = rules_of(settings, account)
        self._identity_client_id = settings.identity_client_id
        self._credential = credential
        self._transport = transport

    @asynccontextmanager
    async def open(self, target: Target) -> AsyncIterator[Container]:
        """Connections to a container, closed at the end."""
        if self._transport is not None:
            yield Container(self._client(target, self._transport), target)
            return
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS, resolver=OutsideResolver(), use_dns_cache=False)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
        ) as session:
            yield Container(self._client(target, aiohttp_transport(session)), target)

    async def close(self) -> None:
        """Let go of the identity."""
        if self._credential is not None:
            await self._credential.close()
            self._credential = None

    def _client(self, target: Target, transport: AsyncHttpTransport[Any, Any]) -> StorageClient:
        endpoint = target.url.rpartition("/")[0]
        key = base64.b64decode(EMULATOR_KEY) if target.access is Access.EMULATOR else None
        account = Account(EMULATOR_ACCOUNT if key else "", key, endpoint, "table:", "queue:")
        if target.access is Access.EMULATOR:
            return StorageClient(account, transport=transport)
        return _OpenedClient(account, transport, self._policy(target))

    def _policy(self, target: Target) -> SansIOHTTPPolicy[Any, Any] | AsyncHTTPPolicy[Any, Any]:
        if target.access is Access.SAS:
            return SansIOHTTPPolicy()
        if self._credential is None:
            # Imported late: few exports need it, and it takes long.
            from azure.identity.aio import DefaultAzureCredential

            self._credential = DefaultAzureCredential(managed_identity_client_id=self._identity_client_id or None)
        return AsyncBearerTokenCredentialPolicy(self._credential, _SCOPE)


class _OpenedClient(StorageClient):
    """A client whose requests are opened by a policy from outside."""

    def __init__(
        self,
        account: Account,
        transport: AsyncHttpTransport[Any, Any],
        policy: SansIOHTTPPolicy[Any, Any] | AsyncHTTPPolicy[Any, Any],
    ) -> None:
        super().__init__(account, transport=transport)
        self._policy = policy

    def _credential_policy(self) -> SansIOHTTPPolicy[Any, Any] | AsyncHTTPPolicy[Any, Any]:
        return self._policy


class OutsideResolver(AbstractResolver):
    """Resolves names, and refuses those that lead to this machine, its neighbours on the link, or its platform."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a name.

        Raises:
            OSError: it has none that may be connected to.
        """
        found = [one for one in await self._inner.resolve(host, port, family) if is_outside(one["host"])]
        if not found:
            raise OSError(None, "the name has no address that may be connected to")
        return found

    async def close(self) -> None:
        """Let go of it."""
        await self._inner.close()


def is_outside(text: str) -> bool:
    """Whether an IP address may be connected to. Private ones may: private endpoints have them."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address.sixtofour or address
    inside = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return not inside and not address.is_reserved and address != _WIRE_SERVER


def _check(response: AsyncHttpResponse) -> None:
    if response.status_code == 201:
        return
    code = response.headers.get("x-ms-error-code", "")
    if response.status_code in _OF_ONE_BLOB and not code.startswith("Container"):
        raise BlobRefused(code)
    raise DestinationClosed(response.status_code, code)


def _block_id(block: str) -> str:
    # All ids of a blob must be equally long.
    return base64.b64encode(block.encode()).decode()
