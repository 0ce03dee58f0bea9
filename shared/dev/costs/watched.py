"""The whole service in this process, over the storage emulator: what it asks of storage, and what it logs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from azure.core.rest import AsyncHttpResponse, HttpRequest

from shared.api import audit, manifest, pipeline, routes
from shared.api.access.gate import Gate
from shared.api.access.tokens import Caller
from shared.api.arrival import Arrival
from shared.api.pipeline import Door
from shared.api.streams import StreamedBody
from shared.dev.costs.counts import Counted
from shared.dev.counting import PassingTransport
from shared.dev.host import routes as host_routes
from shared.dev.repository import VERSIONS
from shared.settings import Settings
from shared.storage.account import Account, account_of
from shared.storage.stores import Stores, open_stores
from shared.wire.call import Headers

_ID = "00000000-0000-0000-0000-00000000000{}"
_PIECE_BYTES = 64 * 1024


class CostError(Exception):
    """What is measured did not work; the text says what."""


class SortingTransport(PassingTransport):
    """Counts calls to storage by what they are billed as.

    Args:
        account: whose addresses tell the services.
    """

    def __init__(self, account: Account) -> None:
        super().__init__()
        self._account = account
        self.counted = Counted()

    async def send(self, request: HttpRequest, **options: Any) -> AsyncHttpResponse:
        """Pass a request on."""
        kind = self._kind(request)
        self.counted = replace(self.counted, **{kind: getattr(self.counted, kind) + 1})
        return await self.passed_on(request, **options)

    def _kind(self, request: HttpRequest) -> str:
        if request.url.startswith(f"{self._account.table_url}/"):
            return "tables"
        if request.url.startswith(f"{self._account.queue_url}/"):
            return "queues"
        if request.method == "DELETE":
            return "blobs_deleted"
        listing = parse_qs(urlsplit(request.url).query).get("comp") == ["list"]
        return "blobs_read" if request.method in ("GET", "HEAD") and not listing else "blobs_written"


class _Known(Gate):
    """Lets an application in without its token, so that records name a caller as they do with access control."""

    async def identify(self, headers: Headers) -> Caller | None:
        """As from the token of an application that has one role."""
        return Caller(_ID.format(1), _ID.format(1), _ID.format(2), _ID.format(3), ("DICOM Data Owner",))


class Watched:
    """A service whose calls to storage are counted, request by request.

    Args:
        stores: of the service.
        transport: theirs.
        settings: of the app.
    """

    def __init__(self, stores: Stores, transport: SortingTransport, settings: Settings) -> None:
        self.stores = stores
        self._transport = transport
        self._door = Door(stores, settings, gate=_Known(settings.access))
        endpoints = routes.bind(manifest.load(VERSIONS), settings)
        self._bound = [(each, host_routes.parse(each.pattern.template)) for each in endpoints]

    async def ask(self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Counted:
        """What a request costs, work behind its answer included.

        Raises:
            CostError: it did not succeed.
        """
        parts = urlsplit(url)
        found = (
            (each, template.match(unquote(parts.path))) for each, template in self._bound if method in each.methods
        )
        endpoint, values = next((each, values) for each, values in found if values is not None)
        lines = {"Host": "dicom.example.org", "Accept": "*/*", "User-Agent": "OHIF/3.9", **(headers or {})}
        if body:
            lines["Content-Length"] = str(len(body))
        arrival = Arrival(method, "https", values, parts.query, Headers(lines.items()), _pieces(body))
        with self.counting() as counts:
            reply = await pipeline.answer(endpoint, arrival, self._door)
            if isinstance(reply.body, StreamedBody):
                async for _ in reply.body:
                    pass
            await self.stores.packs.settled()
        if reply.status >= 300:
            raise CostError(f"{method} {endpoint.operation} was answered {reply.status}")
        return counts[0]

    @contextmanager
    def counting(self) -> Iterator[list[Counted]]:
        """What is done inside; the list has it afterwards."""
        self._transport.counted = Counted()
        result: list[Counted] = []
        with _logged() as lines:
            yield result
        result.append(replace(self._transport.counted, log_bytes=sum(len(line) for line in lines)))


@contextmanager
def _logged() -> Iterator[list[str]]:
    """Access lines and audit records that are written inside."""
    lines: list[str] = []

    class Catching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Catching()
    kept = [(logger, logger.level, logger.propagate) for logger in (pipeline.LOG, audit.LOG)]
    for logger, _, _ in kept:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        yield lines
    finally:
        for logger, level, propagates in kept:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagates


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]


@asynccontextmanager
async def watched(settings: Settings) -> AsyncIterator[Watched]:
    """A service over the account that settings name."""
    transport = SortingTransport(account_of(settings))
    stores = open_stores(settings, transport)
    try:
        yield Watched(stores, transport, settings)
    finally:
        await stores.close()
        await transport.close()
