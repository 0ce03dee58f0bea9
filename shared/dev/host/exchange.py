"""One request and its answer on the wire: counts what is read, bounds the body, holds nothing back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# A client that is still uploading sees an early answer only if somebody goes on reading for a while.
_DRAIN_BYTES = 64 * 1024 * 1024
_DRAIN_SECONDS = 5.0
_CLOSE = (b"connection", b"close")


class Exchange:
    """Stands between the server and a function.

    Args:
        headers: lower-cased names.
        receive: the server's.
        send: the server's.
        limit_bytes: the largest body that is let through.
    """

    def __init__(self, headers: list[tuple[bytes, bytes]], receive: Receive, send: Send, limit_bytes: int) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit_bytes
        self._count = 0
        names = dict(headers)
        self.declared_bytes = int(names.get(b"content-length", b"0"))
        self._waits_for_continue = names.get(b"expect", b"").lower() == b"100-continue"
        self._ended = not (self.declared_bytes or b"transfer-encoding" in names)
        self.started = False
        self.complete = False
        self.refused = False
        self.client_gone = False
        self.left_unread = False

    async def receive(self) -> Message:
        """The next piece of the body; a body over the limit looks to the function like a client that went away."""
        if self.refused:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._note(message)
        if self._count > self._limit:
            await self.refuse_body()
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        """Pass a piece of the answer on; after a refusal nothing more goes out."""
        if self.refused:
            return
        if message["type"] == "http.response.start":
            self.started = True
            if not self._ended:
                message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
        elif not message.get("more_body", False):
            if not self._ended:
                self.left_unread = True
                await self._send({**message, "more_body": True})
                await self._drain()
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            self.complete = True
        await self._send(message)

    async def answer(self, status: int, text: str = "", media_type: str = "text/plain", *, close: bool = False) -> None:
        """A whole answer of the host's own."""
        body = text.encode()
        headers = [(b"content-length", str(len(body)).encode())]
        if body:
            headers.append((b"content-type", media_type.encode()))
        if close and self._ended:
            headers.append(_CLOSE)
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def refuse_body(self) -> None:
        """413, unless an answer has begun; then the connection is cut."""
        if not self.started:
            await self.answer(413, close=True)
        self.refused = True

    def _note(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            # After the answer the server says the same of a client that is still there.
            self.client_gone = not self.complete
            self._ended = True
        else:
            self._count += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)

    async def _drain(self) -> None:
        if self._waits_for_continue and not self._count:
            return  # The client holds its body back until it is asked for.
        limit = self._count + _DRAIN_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self._ended and self._count < limit:
                    self._note(await self._receive())
