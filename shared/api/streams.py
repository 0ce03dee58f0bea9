"""Streamed answers: started before the status is decided, counted, logged at their end, closed when the client goes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from shared.storage.meter import current, metered
from shared.wire.call import Reply

COMPLETE = "complete"
FAILED = "failed"
LEFT = "client left"

Finished = Callable[[int, str, BaseException | None], None]


class StreamedBody:
    """An answer's body that has begun.

    Args:
        first: the first chunk, already taken.
        rest: where further chunks come from.
    """

    __slots__ = ("_ended", "_finished", "_first", "_meter", "_rest", "sent_bytes")

    def __init__(self, first: bytes, rest: AsyncIterator[bytes]) -> None:
        self._first: bytes | None = first
        self._rest = rest
        # Whoever sends it does so in another context.
        self._meter = current()
        self._ended = False
        self._finished: Finished | None = None
        self.sent_bytes = 0

    def on_end(self, finished: Finished) -> None:
        """Have `finished` called once, with bytes sent, how it ended, and the error if one ended it."""
        self._finished = finished

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            if self._first is not None:
                chunk, self._first = self._first, None
            else:
                with metered(self._meter):
                    chunk = await anext(self._rest)
        except StopAsyncIteration:
            self._end(COMPLETE, None)
            raise
        except Exception as error:
            self._end(FAILED, error)
            raise
        self.sent_bytes += len(chunk)
        return chunk

    async def aclose(self) -> None:
        """Close what gives the chunks; a second call does nothing."""
        self._end(LEFT, None)
        self._first = None
        close = getattr(self._rest, "aclose", None)
        if close is not None:
            await close()

    def _end(self, how: str, error: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        if self._finished is not None:
            self._finished(self.sent_bytes, how, error)


async def begun(reply: Reply) -> Reply:
    """The reply with its stream begun, so that what fails at the first chunk still becomes an error with a status."""
    if isinstance(reply.body, bytes):
        return reply
    try:
        first = await anext(reply.body)
    except StopAsyncIteration:
        return replace(reply, body=b"")
    except BaseException:
        await discarded(reply)
        raise
    return replace(reply, body=StreamedBody(first, reply.body))


async def discarded(reply: Reply) -> None:
    """Close a reply's stream that will not be sent."""
    close = getattr(reply.body, "aclose", None)
    if close is not None:
        with contextlib.suppress(Exception):
            await close()
