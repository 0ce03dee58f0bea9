"""Bytes of stored instances on their way out: as they are, or re-encoded, with bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

from shared.dicom.elements import DEFLATED_EXPLICIT_LITTLE, EXPLICIT_LITTLE
from shared.dicom.part10 import NotDicom
from shared.dicom.transcoding import ExplicitLittleWriter, can_rewrite
from shared.errors import NotAcceptable, ReplacedMeanwhile
from shared.storage.frames import StoredFrames
from shared.storage.instances import BlobMissing, Instances, StoredInstance
from shared.storage.stores import Stores
from shared.wado.pictures import HINT, MAX_CONVERTED_BYTES
from shared.wado.recoded import recoded
from shared.wire.call import Call
from shared.wire.media import AS_STORED
from shared.wire.multipart import closing, part_head

FramesOf = Callable[[StoredInstance], Awaitable[StoredFrames]]
Again = Callable[[StoredInstance], Awaitable[StoredInstance]]
"""Finds an instance again that was replaced after it was found."""

_SMALL_BYTES = 1024 * 1024
_FED_BYTES = 64 * 1024
_FED_DEFLATED_BYTES = 8 * 1024  # these may grow a thousandfold
_AHEAD = 8


@dataclass(frozen=True, slots=True)
class SingleInstance:
    """One instance as a body of its own.

    Attributes:
        media_type: Content-Type with the transfer syntax that is really delivered.
        length_bytes: of the body; None when it is not known in advance.
        chunks: the body.
    """

    media_type: str
    length_bytes: int | None
    chunks: AsyncGenerator[bytes, None]


def wants_original(call: Call) -> bool:
    """Whether instances are wanted as they were before they were updated (contract C3.7)."""
    return bool(call.parameters.get("request_original"))


def as_single(stores: Stores, instance: StoredInstance, syntax: str, frames_of: FramesOf) -> SingleInstance:
    """An instance in a transfer syntax.

    Args:
        stores: where it is stored.
        instance: the instance.
        syntax: UID, or `*` for as stored.
        frames_of: finds the frames of an instance; asked when they have to be re-encoded.

    Raises:
        NotAcceptable: it cannot be given in that syntax.
    """
    delivered = _delivered_syntax(instance, syntax)
    if delivered == instance.transfer_syntax:
        return SingleInstance(_media_type(delivered), instance.length_bytes, _stored(stores.instances, instance))
    if delivered == EXPLICIT_LITTLE and can_rewrite(instance.transfer_syntax):
        chunks = _rewritten(stores.instances, instance)
    else:
        chunks = _re_encoded(stores, instance, delivered, frames_of)
    return SingleInstance(_media_type(delivered), None, chunks)


async def as_part(single: SingleInstance, boundary: str) -> AsyncGenerator[bytes, None]:
    """An instance as the only part of a multipart body."""
    head = part_head(boundary, single.media_type, first=True)
    async with aclosing(single.chunks) as chunks:
        async for chunk in chunks:
            yield head + chunk if head else chunk
            head = b""
    yield closing(boundary)


async def as_parts(
    instances: Instances, found: AsyncIterator[StoredInstance], boundary: str, again: Again | None = None
) -> AsyncGenerator[bytes, None]:
    """Instances as they are stored, in their order, as the parts of a multipart body.

    Small ones are fetched a few ahead. One that is updated again between the two is given in its newest version.
    """
    ahead: deque[tuple[StoredInstance, asyncio.Task[bytes] | None]] = deque()
    first = True
    try:
        more = True
        while more or ahead:
            while more and len(ahead) < _AHEAD:
                instance = await anext(found, None)
                if instance is None:
                    more = False
                    break
                ahead.append((instance, _fetch_small(instances, instance, again)))
            if not ahead:
                break
            instance, fetched = ahead.popleft()
            # Head and first content in one chunk: an instance that is gone shows before anything was sent.
            head = part_head(boundary, _media_type(instance.transfer_syntax), first)
            first = False
            if fetched is not None:
                yield head + await fetched
                continue
            async with aclosing(_newest(instances, instance, again)) as chunks:
                async for chunk in chunks:
                    yield head + chunk if head else chunk
                    head = b""
        yield closing(boundary)
    finally:
        for _, task in ahead:
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task


def _delivered_syntax(instance: StoredInstance, syntax: str) -> str:
    if syntax in (AS_STORED, instance.transfer_syntax):
        return instance.transfer_syntax
    if instance.length_bytes > MAX_CONVERTED_BYTES:
        raise NotAcceptable(f"The instance is longer than the {MAX_CONVERTED_BYTES} bytes that are re-encoded. {HINT}")
    return syntax


def _fetch_small(instances: Instances, instance: StoredInstance, again: Again | None) -> asyncio.Task[bytes] | None:
    """Begin to fetch an instance that fits into memory beside its neighbours."""
    return asyncio.create_task(_whole(instances, instance, again)) if instance.length_bytes <= _SMALL_BYTES else None


async def _whole(instances: Instances, instance: StoredInstance, again: Again | None) -> bytes:
    async with aclosing(_newest(instances, instance, again)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def _newest(instances: Instances, instance: StoredInstance, again: Again | None) -> AsyncGenerator[bytes, None]:
    """The bytes of an instance, or of what has come in its place before the first of them was read."""
    begun = False
    try:
        async with aclosing(_stored(instances, instance)) as chunks:
            async for chunk in chunks:
                begun = True
                yield chunk
        return
    except ReplacedMeanwhile:
        if begun or again is None:
            raise
    async with aclosing(_stored(instances, await again(instance))) as chunks:
        async for chunk in chunks:
            yield chunk


async def _stored(instances: Instances, instance: StoredInstance) -> AsyncGenerator[bytes, None]:
    try:
        async with instances.open(instance) as opened:
            async for chunk in opened.chunks:
                yield chunk
    except BlobMissing as error:
        raise ReplacedMeanwhile from error


async def _re_encoded(
    stores: Stores, instance: StoredInstance, syntax: str, frames_of: FramesOf
) -> AsyncGenerator[bytes, None]:
    stored = await frames_of(instance)
    if stored.has_pixels:
        chunks = recoded(stores.frames, stored, syntax)
    elif syntax == EXPLICIT_LITTLE:
        # Apart from pixel data, compressed syntaxes are explicit little endian already (PS3.5 §A.4).
        chunks = _rewritten(stores.instances, instance)
    else:
        raise NotAcceptable(f"The instance has no pixel data that could be given as {syntax}. {HINT}")
    async with aclosing(chunks):
        async for chunk in chunks:
            yield chunk


async def _rewritten(instances: Instances, instance: StoredInstance) -> AsyncGenerator[bytes, None]:
    writer = ExplicitLittleWriter(instance.transfer_syntax)
    fed_bytes = _FED_DEFLATED_BYTES if instance.transfer_syntax == DEFLATED_EXPLICIT_LITTLE else _FED_BYTES
    try:
        async with aclosing(_stored(instances, instance)) as chunks:
            async for chunk in chunks:
                for start in range(0, len(chunk), fed_bytes):
                    # The byte order of a piece, or its share of the header, is work for another thread.
                    rewritten = await asyncio.to_thread(writer.feed, chunk[start : start + fed_bytes])
                    if rewritten:
                        yield rewritten
        yield await asyncio.to_thread(writer.finish)
    except NotDicom as error:
        raise NotAcceptable(f"The instance cannot be given with transfer syntax {EXPLICIT_LITTLE}: {error}") from error


def _media_type(syntax: str) -> str:
    return f"application/dicom; transfer-syntax={syntax}"
