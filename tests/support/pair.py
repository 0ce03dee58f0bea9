"""Two apps on one store, each with versions of its own, behind one address: as a gateway routes them in production.

The app with the newest version does the background work; the other one serves all older versions.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from shared.api import manifest
from tests.support.served import ROOT, Process, Service, started

_LINE_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_TARGET = re.compile(rb"[^ ]+ (?:https?://[^/ ]+)?/([^/? \r\n]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Both:
    """Two processes as one: over when one of them is."""

    first: Process
    second: Process

    def exit_code(self) -> int | None:
        codes = [code for each in (self.first, self.second) if (code := each.exit_code()) is not None]
        return codes[0] if codes else None

    def last_lines(self) -> str:
        return self.first.last_lines() + self.second.last_lines()

    def stop(self, wait_seconds: float) -> None:
        for each in (self.second, self.first):
            each.stop(wait_seconds)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two running apps.

    Attributes:
        older: serves every version but the newest; runs no background work.
        newer: serves the newest version, and runs background work.
        together: both of them at one address.
    """

    older: Service
    newer: Service
    together: Service


@contextlib.contextmanager
def started_pair(settings: Mapping[str, str] | None = None) -> Iterator[Pair]:
    """Run both apps for the length of a block. Whatever they did, their store is whole at the end."""
    *older, newest = (version.label for version in manifest.load(ROOT / "versions").versions)
    chosen = dict(settings or {})
    words = ",".join(label.text for label in older)
    with (
        # The first to start is the last to end, and looks whether the store is whole.
        started({**chosen, "DICOM_API_VERSIONS": words, "DICOM_BACKGROUND": "off"}) as first,
        started({**chosen, "DICOM_API_VERSIONS": newest.text, "DICOM_BACKGROUND": "on"}, dies=True) as second,
    ):

        def choose(segment: str) -> str:
            return second.url if newest.spelled(segment) else first.url

        with routed(choose) as url:
            yield Pair(first, second, Service(url, second.pid, _Both(first.process, second.process)))


@contextlib.contextmanager
def routed(choose: Callable[[str], str]) -> Iterator[str]:
    """An address that hands each request to the app that `choose` names by the first segment of its path.

    It runs on a loop of its own, because tests may block theirs. Bytes are passed on as they come: only a line is put
    in that ends the connection behind its first answer, so that the next request is routed as well.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="router", daemon=True)
    thread.start()
    router = _Router(choose)
    try:
        yield asyncio.run_coroutine_threadsafe(router.open(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(router.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Router:
    def __init__(self, choose: Callable[[str], str]) -> None:
        self._choose = choose
        self._server: asyncio.Server | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LINE_BYTES)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            async with _closing(writer):
                line = await reader.readline()
                if line:
                    await self._pass_on(line, reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # either side may go whenever it likes; the task belongs to nobody else
        finally:
            self._under_way.discard(task)

    async def _pass_on(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = _TARGET.match(line)
        parts = urlsplit(self._choose(unquote(found.group(1).decode("latin-1")) if found else ""))
        answers, requests = await asyncio.open_connection(parts.hostname, parts.port, limit=_READ_BYTES)
        async with _closing(requests):
            requests.write(line + b"Connection: close\r\n")
            sending = asyncio.create_task(_copy(reader, requests))
            try:
                await _copy(answers, writer)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass bytes on to the end of the source; a source that breaks breaks the target."""
    while True:
        try:
            chunk = await source.read(_READ_BYTES)
        except OSError:
            target.transport.abort()
            return
        try:
            target.write(chunk)
            await target.drain()
            if not chunk:
                target.write_eof()
                return
        except OSError:
            # Whoever answers before a request is complete takes no more of it; its answer is still to be passed on.
            return


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
