"""A request as the front door sees it, before it is a Call: nothing in it is checked yet. Its body is counted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from shared.errors import ClientGone, InvalidParameter, PayloadTooLarge
from shared.wire.call import Headers

# A body nobody wants is read and dropped before the answer, because the platform, which is still sending it, fails the
# invocation otherwise. Up to the limit it costs no more than a body that is wanted; this much more covers what the
# platform lets through above the limit, so that a 413 arrives as one.
BEYOND_LIMIT_BYTES = 16 * 1024 * 1024
UNWANTED_SECONDS = 120.0

_HOST = re.compile(r"(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def is_host(text: str) -> bool:
    """Whether a text is the name or address of a host, with or without a port, and nothing else."""
    return _HOST.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request, raw.

    Attributes:
        method: upper case.
        scheme: http or https, as the client used it.
        path_values: route values, percent-decoded by the host.
        query: raw query string without the question mark.
        headers: the request's headers.
        body: the body as it arrives; iterating raises `ClientGone` when the client goes away.
        outer_host: the host that the client used, where a proxy that is trusted said it.
        outer_prefix: path that a proxy which is trusted shows in place of version and data partition.
    """

    method: str
    scheme: str
    path_values: Mapping[str, str]
    query: str
    headers: Headers
    body: AsyncIterator[bytes]
    outer_host: str | None = None
    outer_prefix: str | None = None

    @property
    def host(self) -> str:
        """Host and port the client used; it becomes part of URLs in answers, so it has to be one.

        Raises:
            InvalidParameter: the header is missing or is no host.
        """
        text = self.outer_host or self.headers.get("Host") or ""
        if not is_host(text):
            raise InvalidParameter("Host", "must be the name or address of a host, with its port where it has one")
        return text

    @property
    def service_root(self) -> str:
        """What URLs in answers begin with (contract C1.11).

        The version is as the caller spelled it, and the data partition is there when the path has one; a proxy that is
        trusted may show another path in place of both.

        Raises:
            InvalidParameter: the Host header is no host.
        """
        root = f"{self.scheme}://{self.host}"
        if "version" not in self.path_values:
            return root
        if self.outer_prefix is not None:
            return f"{root}{self.outer_prefix}"
        root = f"{root}/{self.path_values['version']}"
        partition = self.path_values.get("partitionName")
        return root if partition is None else f"{root}/partitions/{partition}"

    @property
    def declared_bytes(self) -> int | None:
        """The value of Content-Length, or None when the length is not known in advance."""
        text = self.headers.get("Content-Length") or ""
        return int(text) if text.isascii() and text.isdecimal() else None

    @property
    def has_body(self) -> bool:
        """Whether the client said that a body follows (RFC 9112 §6)."""
        return bool(self.declared_bytes) or self.headers.get("Transfer-Encoding") is not None


class CountedBody:
    """A request body that refuses to grow over a limit."""

    __slots__ = ("_ended", "_limit", "_source", "received")

    def __init__(self, source: AsyncIterator[bytes], limit: int) -> None:
        self._source = source
        self._limit = limit
        self._ended = False
        self.received = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.received > self._limit:
            raise PayloadTooLarge(self._limit)
        chunk = await self._take()
        if self.received > self._limit:
            raise PayloadTooLarge(self._limit)
        return chunk

    async def _take(self) -> bytes:
        try:
            chunk = await anext(self._source)
        except (StopAsyncIteration, ClientGone):
            self._ended = True
            raise
        self.received += len(chunk)
        return chunk

    async def read_on(self) -> None:
        """Read and drop what the handler left, up to a bound in bytes and in time."""
        most = self._limit + BEYOND_LIMIT_BYTES
        try:
            async with asyncio.timeout(UNWANTED_SECONDS):
                while not self._ended and self.received < most:
                    await self._take()
        except (StopAsyncIteration, ClientGone, TimeoutError):
            self._ended = True
