"""Chromium without a window, told what to do by its DevTools protocol over a socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from shared.dev.host.settings import environment
from shared.dev.peers import programs
from shared.dev.processes import Child, Guard

_START_SECONDS = 60.0
_CALL_SECONDS = 60.0
_STOP_SECONDS = 10.0
_PORT_FILE = "DevToolsActivePort"
_OPTIONS = (
    *("--headless=new", "--no-first-run", "--no-default-browser-check", "--disable-extensions", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
    # Software draws what a graphics card would; in a container there is no more shared memory than 64 MiB.
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"),
    # The user of a container may not make sandboxes of its own; only pages of this machine are opened.
    "--no-sandbox",
    *("--remote-debugging-port=0", "--remote-allow-origins=*", "--window-size=1280,900"),
)

LEFT = "left"
"""Fault of a request that the page itself has given up, for example because it was left."""

# Any: values of the protocol are JSON.
Json = dict[str, Any]


class BrowserFailed(Exception):
    """It did not start, or did not do what it was told."""


@dataclass(slots=True)
class Request:
    """A request of a page.

    Attributes:
        status: of its answer; 0 before there is one.
        fault: why there is none, in Chromium's words.
    """

    method: str
    url: str
    headers: Json
    status: int = 0
    fault: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether it has been answered, or never will be."""
        return bool(self.status or self.fault)


@dataclass(slots=True)
class Page:
    """An open page.

    Attributes:
        requests: everything it has asked for, preflights too, by the protocol's number, in order.
        faults: uncaught errors of its scripts, and what it wrote to the console as errors.
    """

    _socket: aiohttp.ClientWebSocketResponse
    requests: dict[str, Request] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _calls: dict[int, asyncio.Future[Json]] = field(default_factory=dict)
    _count: int = 0

    async def call(self, method: str, **parameters: Any) -> Json:
        """Have a method of the protocol called.

        Raises:
            BrowserFailed: it refuses.
        """
        self._count += 1
        answer = asyncio.get_running_loop().create_future()
        self._calls[self._count] = answer
        await self._socket.send_json({"id": self._count, "method": method, "params": parameters})
        return await asyncio.wait_for(answer, _CALL_SECONDS)

    async def open(self, url: str) -> None:
        """Go to an address."""
        told = await self.call("Page.navigate", url=url)
        if told.get("errorText"):
            raise BrowserFailed(f"{url}: {told['errorText']}")

    async def value(self, script: str) -> Any:
        """What an expression is in the page; promises are waited for.

        Raises:
            BrowserFailed: it throws.
        """
        told = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise BrowserFailed(str(told["exceptionDetails"].get("exception", {}).get("description", told)))
        return told["result"].get("value")

    async def until(self, script: str, seconds: float = 60.0) -> Any:
        """Wait until an expression is true; gives its value.

        Raises:
            BrowserFailed: it does not become so.
        """
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(BrowserFailed):
                if found := await self.value(script):
                    return found
            if time.monotonic() > end:
                raise BrowserFailed(f"after {seconds:.0f} s this is not true of the page: {script}")
            await asyncio.sleep(0.1)

    async def click(self, x: float, y: float, count: int = 1) -> None:
        """Press the left button at a point of the page, once or twice."""
        for number in range(1, count + 1):
            for kind in ("mousePressed", "mouseReleased"):
                await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=number)

    async def picture(self, file: Path) -> bytes:
        """What it looks like, as PNG, written to a file."""
        told = await self.call("Page.captureScreenshot", format="png")
        content = base64.b64decode(told["data"])
        await asyncio.to_thread(_write, file, content)
        return content

    async def read(self) -> None:
        """Take in what the browser tells, until the socket is closed."""
        async for message in self._socket:
            told = message.json()
            waiting = self._calls.pop(told.get("id", 0), None)
            if waiting is None:
                self._note(told.get("method", ""), told.get("params", {}))
            elif "error" in told:
                waiting.set_exception(BrowserFailed(told["error"]["message"]))
            else:
                waiting.set_result(told["result"])

    def _note(self, method: str, about: Json) -> None:
        if method == "Network.requestWillBeSent":
            asked = about["request"]
            # A redirect has the number of what it comes from, and is a request of its own.
            self.requests[f"{about['requestId']}.{len(self.requests)}"] = Request(
                asked["method"], asked["url"], asked["headers"]
            )
        elif method == "Network.responseReceived":
            self._request(about["requestId"]).status = about["response"]["status"]
        elif method == "Network.loadingFailed":
            fault = LEFT if about.get("canceled") else about["errorText"]
            self._request(about["requestId"]).fault = fault
        elif method == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.faults.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.faults.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")

    def _request(self, number: str) -> Request:
        mine = [one for key, one in self.requests.items() if key.rpartition(".")[0] == number]
        return mine[-1] if mine else Request("", "", {})


@asynccontextmanager
async def opened_page() -> AsyncIterator[Page]:
    """A browser of its own with an empty page, for the length of a block; it has no profile and leaves none.

    Raises:
        MissingPeer: Chromium is not installed.
        BrowserFailed: it does not start.
    """
    program = programs.program("chromium")
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        guard = Guard(environment())
        command = [program, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"]
        process = Child("Chromium", command, {**environment(), "HOME": name}, folder=folder)
        guard.watch(process.pid)
        try:
            port = await _port(folder / _PORT_FILE, process)
            async with aiohttp.ClientSession() as session, _page(session, port) as page:
                yield page
        finally:
            await asyncio.to_thread(process.stop, _STOP_SECONDS)
            guard.dismiss()


async def _port(file: Path, process: Child) -> int:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.exit_code() is None:
        if port := _written_port(file):
            return port
        await asyncio.sleep(0.05)
    raise BrowserFailed(f"Chromium did not start:\n{process.last_lines()}")


def _written_port(file: Path) -> int:
    """The port that Chromium listens on; 0 while it has not written it down."""
    lines = file.read_text().splitlines() if file.exists() else []
    return int(lines[0]) if len(lines) > 1 else 0


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


@asynccontextmanager
async def _page(session: aiohttp.ClientSession, port: int) -> AsyncIterator[Page]:
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        targets = await answer.json()
    address = next(one["webSocketDebuggerUrl"] for one in targets if one["type"] == "page")
    async with session.ws_connect(address, max_msg_size=0) as socket:
        page = Page(socket)
        reading = asyncio.create_task(page.read())
        try:
            for domain in ("Page", "Network", "Runtime", "Log"):
                await page.call(f"{domain}.enable")
            yield page
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
