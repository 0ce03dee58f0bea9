"""Storage for tests: an account's worth of fresh tables and containers, and a transport that counts and holds calls."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.rest import AsyncHttpResponse, HttpRequest

from shared.dev.counting import PassingTransport
from shared.settings import Settings
from shared.storage.stores import Stores, open_stores
from tests.support.azurite import FRESH_ACCOUNTS, FRESH_KEY, KEY, fresh_account_name

_QUIET_SECONDS = 0.04
_accounts = itertools.count()
_handed_out: list[str] = []


class WatchedTransport(PassingTransport):
    """The real connection to storage, with every call written down.

    With `hold` on, calls wait until nothing else moves and are then let go together: `rounds` is how many serial round
    trips the work took, whatever the speed of the machine.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.rounds = 0
        self.fault: Callable[[HttpRequest], str | None] = lambda _: None
        self._hold = False
        self._held: list[asyncio.Future[None]] = []
        self._flying = 0
        self._moved = 0

    async def send(self, request: HttpRequest, **options: Any) -> AsyncHttpResponse:
        self.calls.append(describe(request))
        self._moved += 1
        if self._hold:
            turn = asyncio.get_running_loop().create_future()
            self._held.append(turn)
            await turn
        fault = self.fault(request)
        if fault == "before":
            raise ServiceRequestError("the connection broke before the request")
        self._flying += 1
        try:
            response = await self.passed_on(request, **options)
        finally:
            self._flying -= 1
            self._moved += 1
        if fault == "after":
            raise ServiceResponseError("the connection broke before the answer")
        return response

    def forget(self) -> None:
        """Start counting anew."""
        self.calls.clear()
        self.rounds = 0

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        """Count serial round trips of what happens inside."""
        self.forget()
        self._hold = True
        conductor = asyncio.create_task(self._conduct())
        try:
            yield
        finally:
            self._hold = False
            conductor.cancel()
            await asyncio.gather(conductor, return_exceptions=True)
            self._release()

    async def _conduct(self) -> None:
        while True:
            before = self._moved
            await asyncio.sleep(_QUIET_SECONDS)
            if before == self._moved and not self._flying and self._held:
                self.rounds += 1
                self._release()

    def _release(self) -> None:
        held, self._held = self._held, []
        for turn in held:
            if not turn.done():
                turn.set_result(None)


def describe(request: HttpRequest) -> str:
    """A call in a word: method, service and what it is about, without keys and values."""
    parts = urlsplit(request.url)
    path = parts.path.split("/", 2)[-1]
    if path.startswith("$batch"):
        table = bytes(request.content or b"").partition(b" HTTP/1.1")[0].rpartition(b"/")[2].split(b"(")[0].decode()
        return f"transaction {table}"
    if "(" in path:
        name, _, keys = path.partition("(")
        return f"{request.method} {'row' if keys != ')' else 'rows'} {name}"
    comp = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair).get("comp", "")
    return f"{request.method} blob {comp}".rstrip()


def fresh_settings(connection_string: str, **others: Any) -> Settings:
    """Settings for a storage account that no other test uses."""
    return Settings(storage_connection=fresh_account(connection_string), **others)


def fresh_account(connection_string: str) -> str:
    """The connection string with an account that no other test uses."""
    number = next(_accounts)
    assert number < FRESH_ACCOUNTS, "raise FRESH_ACCOUNTS"
    account = connection_string.replace("devstoreaccount1", fresh_account_name(number))
    account = KEY.sub(f"AccountKey={FRESH_KEY}", account)
    _handed_out.append(account)
    return account


def handed_out() -> tuple[str, ...]:
    """Connection strings of the fresh accounts that tests got so far, in order."""
    return tuple(_handed_out)


@asynccontextmanager
async def watched_stores(connection_string: str, **others: Any) -> AsyncIterator[tuple[Stores, WatchedTransport]]:
    """Stores over an empty account, with the transport that counts."""
    transport = WatchedTransport()
    stores = open_stores(fresh_settings(connection_string, **others), transport)
    try:
        yield stores, transport
    finally:
        await stores.close()
        await transport.close()


@asynccontextmanager
async def workers(connection_string: str, count: int) -> AsyncIterator[list[tuple[Stores, WatchedTransport]]]:
    """Workers of their own over one empty account."""
    settings = fresh_settings(connection_string)
    opened = [(open_stores(settings, transport), transport) for transport in (WatchedTransport() for _ in range(count))]
    try:
        yield opened
    finally:
        for stores, transport in opened:
            await stores.close()
            await transport.close()


class Pause:
    """Holds the calls of a worker from some call on until it is let go.

    Args:
        transport: of the worker.
        calls: so many pass before.
        only: calls that are counted and held; others pass.
    """

    def __init__(
        self, transport: WatchedTransport, calls: int, only: Callable[[HttpRequest], bool] = lambda _: True
    ) -> None:
        self._left = calls
        self._only = only
        self._go = asyncio.Event()
        self.reached = asyncio.Event()
        self._send = transport.send
        transport.send = self._held  # type: ignore[method-assign]  # every call of the worker goes through here

    async def _held(self, request: HttpRequest, **options: Any) -> AsyncHttpResponse:
        if self._only(request):
            self._left -= 1
            if self._left < 0 and not self._go.is_set():
                self.reached.set()
                await self._go.wait()
        return await self._send(request, **options)

    def go(self) -> None:
        self._go.set()
