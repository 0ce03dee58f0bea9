"""Frames that are worked on while they are on their way out: one after the other, with bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from shared.dicom.pixels import CannotDecode
from shared.storage.frames import Frames
from shared.wado.pictures import Picture, frame_cost, refused, stored_bytes
from shared.wado.pixelwork import WORK
from shared.wire.call import Reply

_AHEAD = 2
_CHUNK_BYTES = 1024 * 1024
UNCOUNTED_BYTES = 1024 * 1024
"""A result up to this size waits for its client without a share of the budget, so that slow clients hold up nobody."""


class Conversion:
    """Work on frames of one instance.

    Args:
        frames: where frames are read.
        picture: the instance.
        convert: what is done with the bytes of a frame, in a thread; for one frame at a time and in their order.
    """

    def __init__(self, frames: Frames, picture: Picture, convert: Callable[[bytes], bytes]) -> None:
        self._frames = frames
        self._picture = picture
        self._convert = convert

    @asynccontextmanager
    async def one(self, number: int) -> AsyncIterator[bytes]:
        """A frame, converted; large ones keep their share of the budget until the block ends.

        Raises:
            NotAcceptable: it cannot be converted.
        """
        content, stack = await self._converted(number, None)
        async with stack:
            yield content

    async def all(self, numbers: Iterable[int]) -> AsyncGenerator[bytes, None]:
        """Frames in the order of the numbers, converted; the next one is fetched while one is used.

        Raises:
            NotAcceptable: one cannot be converted.
        """
        coming = deque(numbers)
        ahead: deque[asyncio.Task[tuple[bytes, AsyncExitStack]]] = deque()
        try:
            while coming or ahead:
                while coming and len(ahead) < _AHEAD:
                    before = ahead[-1] if ahead else None
                    ahead.append(asyncio.create_task(self._converted(coming.popleft(), before)))
                content, stack = await ahead[0]
                ahead.popleft()
                async with stack:
                    yield content
        finally:
            for task in ahead:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    _, stack = await task
                    await stack.aclose()

    async def _converted(self, number: int, before: asyncio.Task[object] | None) -> tuple[bytes, AsyncExitStack]:
        """A frame with what it still holds of the budget."""
        size_bytes = await self._frames.size_bytes(self._picture.stored, number)
        cost_bytes = frame_cost(self._picture.description, size_bytes)
        async with AsyncExitStack() as stack:
            # Room is given in the order in which it is asked for, so the frame before has its own already.
            room = await stack.enter_async_context(WORK.room(cost_bytes))
            stored = await stored_bytes(self._frames, self._picture.stored, number)
            if before is not None:
                await asyncio.wait([before])
            try:
                content = await room.run(self._convert, stored)
            except CannotDecode as error:
                raise refused(error) from error
            room.shrink(len(content) if len(content) > UNCOUNTED_BYTES else 0)
            return content, stack.pop_all()


def held(content: bytes, media_type: str, share: AsyncExitStack) -> Reply:
    """An answer that keeps its share of the budget until it was sent."""
    return Reply(200, _until_sent(content, share), media_type, (("Content-Length", str(len(content))),))


async def _until_sent(content: bytes, share: AsyncExitStack) -> AsyncGenerator[bytes, None]:
    async with share:
        async for piece in in_pieces(content):
            yield piece


async def in_pieces(content: bytes) -> AsyncIterator[bytes]:
    """A long value in chunks that are handed on one by one."""
    for start in range(0, len(content), _CHUNK_BYTES):
        yield content[start : start + _CHUNK_BYTES]
