"""Connections to foreign containers: where none is made, what is followed, and what opens them."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import AsyncHttpTransport

from shared.settings import Settings
from shared.storage.account import account_of
from shared.storage.destinationaddress import Access, Target
from shared.storage.destinations import (
    DestinationClosed,
    Destinations,
    DestinationUnreachable,
    OutsideResolver,
    is_outside,
)

SETTINGS = Settings()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "169.254.169.254",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "2002:a9fe:a9fe::",
    ],
)
def test_addresses_of_this_machine_and_its_platform_are_not_connected_to(address):
    assert not is_outside(address)


@pytest.mark.parametrize("address", ["20.60.1.1", "10.0.0.4", "192.168.1.5", "2603:1030::1", "fd12::5"])
def test_public_addresses_and_those_of_private_endpoints_are(address):
    assert is_outside(address)


async def test_a_name_that_leads_to_this_machine_is_not_resolved():
    resolver = OutsideResolver()
    with pytest.raises(OSError, match="no address that may be connected to"):
        await resolver.resolve("localhost", 443, socket.AF_INET)
    await resolver.close()


async def test_a_container_whose_name_leads_to_this_machine_is_unreachable_and_gets_no_connection():
    connected = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    # As a name of Azure's would, that somebody made lead here.
    target = Target(f"http://localhost:{port}/devstoreaccount1/out", Access.SAS, "sig=a")
    destinations = Destinations(SETTINGS, account_of(SETTINGS))
    async with destinations.open(target) as container:
        with pytest.raises(DestinationUnreachable):
            await container.create_log("log")
    server.close()
    await server.wait_closed()
    assert connected == []


async def test_a_redirect_is_not_followed():
    asked = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1])
        writer.write(b"HTTP/1.1 307 Elsewhere\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    target = Target(f"http://127.0.0.1:{port}/devstoreaccount1/out", Access.SAS, "sig=a")
    async with Destinations(SETTINGS, account_of(SETTINGS)).open(target) as container:
        with pytest.raises(DestinationClosed) as closed:
            await container.create_log("log")
    server.close()
    await server.wait_closed()
    assert (closed.value.status, asked) == (307, [b"/devstoreaccount1/out/log?sig=a"])


class _Identity:
    """What the platform gives in Azure: tokens."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        return AccessToken("token-of-the-service", 4_102_444_800)

    async def close(self) -> None:
        self.scopes.clear()

    async def __aenter__(self) -> _Identity:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Kept(AsyncHttpTransport[Any, Any]):
    """Keeps the request: there is no container to reach with an identity from here."""

    request: Any = None

    async def send(self, request: Any, **_: Any) -> Any:
        self.request = request
        raise WorkerReached

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


class WorkerReached(Exception):
    """The request came as far as the connection."""


async def test_an_identity_opens_a_container_with_a_token_for_storage():
    identity, kept = _Identity(), _Kept()
    target = Target("https://hospital.blob.core.windows.net/out", Access.IDENTITY)
    destinations = Destinations(SETTINGS, account_of(SETTINGS), identity, kept)
    async with destinations.open(target) as container:
        with pytest.raises(WorkerReached):
            await container.create_log("id/errors.log")
    assert kept.request.url == "https://hospital.blob.core.windows.net/out/id/errors.log"
    assert kept.request.headers["Authorization"] == "Bearer token-of-the-service"
    assert kept.request.headers["If-None-Match"] == "*"
    assert identity.scopes == ["https://storage.azure.com/.default"]
    await destinations.close()


async def test_a_sas_opens_a_container_without_any_other_key():
    kept = _Kept()
    target = Target("https://hospital.blob.core.windows.net/out", Access.SAS, "sv=1&sig=a%2Bb%3D")
    async with Destinations(SETTINGS, account_of(SETTINGS), transport=kept).open(target) as container:
        with pytest.raises(WorkerReached):
            await container.stage("a/b.dcm", "0", b"x")
        assert container.href("a/b.dcm") == "https://hospital.blob.core.windows.net/out/a/b.dcm"
    assert kept.request.url.endswith("/out/a/b.dcm?comp=block&blockid=MA%3D%3D&sv=1&sig=a%2Bb%3D")
    assert "Authorization" not in kept.request.headers
