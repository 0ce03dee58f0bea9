"""What calls to storage somebody's work makes: their number, their bytes, and how long it waited for them.

A context variable finds the meter, because it is no part of what anybody does: only logs and `Server-Timing` read it.
Tasks get a copy of the variable, and so the same meter. Work that is done for several requests at once counts with the
one that does it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest


@dataclass(slots=True)
class Meter:
    """Counts for one piece of work, such as a request.

    Attributes:
        calls: sent to storage, each try of one.
        read_bytes: of bodies that came from storage and were read.
        written_bytes: of bodies that were sent there.
        waited_seconds: while at least one call had no answer yet; calls at the same time count once.
    """

    calls: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    waited_seconds: float = 0.0
    _open: int = field(default=0, repr=False)
    _since: float = field(default=0.0, repr=False)

    @contextmanager
    def call(self, written_bytes: int) -> Iterator[None]:
        """Around one try of a call."""
        self.calls += 1
        self.written_bytes += written_bytes
        if not self._open:
            self._since = time.perf_counter()
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self.waited_seconds += time.perf_counter() - self._since

    def line(self) -> str:
        """Its part of a line of the log."""
        return (
            f"storage_ms={self.waited_seconds * 1000:.0f} storage_calls={self.calls}"
            f" storage_read_bytes={self.read_bytes} storage_written_bytes={self.written_bytes}"
        )


_meter: ContextVar[Meter | None] = ContextVar("storage_meter", default=None)


@contextmanager
def metered(meter: Meter | None) -> Iterator[None]:
    """Have calls inside counted by this meter; None for by nobody."""
    before = _meter.get()
    _meter.set(meter)
    try:
        yield
    finally:
        # Not by its token: an answer that nobody wants any more is closed in whatever context the collector has.
        _meter.set(before)


def current() -> Meter | None:
    """The meter of the work that is under way."""
    return _meter.get()


def note_read(size_bytes: int) -> None:
    """Count bytes that came in while an answer was read as it arrived."""
    meter = _meter.get()
    if meter is not None:
        meter.read_bytes += size_bytes


class MeterPolicy(AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Counts each try. What is read as it arrives counts itself with `note_read`."""

    async def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        """Pass the request on."""
        meter = _meter.get()
        if meter is None:
            return await self.next.send(request)
        with meter.call(int(request.http_request.headers.get("Content-Length") or 0)):
            response = await self.next.send(request)
        if not request.context.options.get("stream"):
            meter.read_bytes += len(response.http_response.content)
        return response
