"""Bytes of stored instances on their way out: as they are, or re-encoded, with bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from shared.dicom.elements import DEFLATED_EXPLICIT_LITTLE, EXPLICIT_LITTLE
from shared.dicom.part10 import NotDicom
from shared.dicom.transcoding import ExplicitLittleWriter, can_rewrite
from shared.errors import NotAcceptable, NotFound
from shared.storage.instances import BlobMissing, Instances, StoredInstance
from shared.wire.multipart import closing, part_head

AS_STORED = "*"
MAX_TRANSCODED_BYTES = 100 * 1024 * 1024
"""Contract C1.10: longer files are not transcoded."""

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


def as_single(instances: Instances, instance: StoredInstance, syntax: str) -> SingleInstance:
    """An instance in a transfer syntax.

    Args:
        instances: where it is stored.
        instance: the instance.
        syntax: UID, or `*` for as stored.

    Raises:
        NotAcceptable: it cannot be given in that syntax.
    """
    delivered = _delivered_syntax(instance, syntax)
    if delivered == instance.transfer_syntax:
        return SingleInstance(_media_type(delivered), instance.length_bytes, _stored(instances, instance))
    return SingleInstance(_media_type(delivered), None, _rewritten(instances, instance))


async def as_parts(
    instances: Instances, found: AsyncIterator[StoredInstance], syntax: str, boundary: str
) -> AsyncGenerator[bytes, None]:
    """Instances as the parts of a multipart body, in their order; small ones are fetched a few ahead.

    Raises:
        NotAcceptable: one cannot be given in that syntax.
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
                ahead.append((instance, _fetch_small(instances, instance, syntax)))
            if not ahead:
                break
            instance, fetched = ahead.popleft()
            single = as_single(instances, instance, syntax)
            # Head and first content in one chunk: an instance that is gone shows before anything was sent.
            head = part_head(boundary, single.media_type, first)
            first = False
            if fetched is not None:
                await single.chunks.aclose()
                yield head + await fetched
                continue
            async for chunk in single.chunks:
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
    if syntax != EXPLICIT_LITTLE or not can_rewrite(instance.transfer_syntax):
        raise NotAcceptable(
            f"The instance is stored with transfer syntax {instance.transfer_syntax} and cannot be given as {syntax}. "
            "Ask for transfer-syntax=* to get it as it is stored."
        )
    if instance.length_bytes > MAX_TRANSCODED_BYTES:
        raise NotAcceptable(
            f"The instance is longer than the {MAX_TRANSCODED_BYTES} bytes that are transcoded. "
            "Ask for transfer-syntax=* to get it as it is stored."
        )
    return syntax


def _fetch_small(instances: Instances, instance: StoredInstance, syntax: str) -> asyncio.Task[bytes] | None:
    """Begin to fetch an instance that is given as it is stored and fits into memory beside its neighbours."""
    if instance.length_bytes > _SMALL_BYTES or _delivered_syntax(instance, syntax) != instance.transfer_syntax:
        return None
    return asyncio.create_task(_whole(instances, instance))


async def _whole(instances: Instances, instance: StoredInstance) -> bytes:
    return b"".join([chunk async for chunk in _stored(instances, instance)])


async def _stored(instances: Instances, instance: StoredInstance) -> AsyncGenerator[bytes, None]:
    try:
        async with instances.open(instance) as opened:
            async for chunk in opened.chunks:
                yield chunk
    except BlobMissing as error:
        raise NotFound("The instance was deleted a moment ago.") from error


async def _rewritten(instances: Instances, instance: StoredInstance) -> AsyncGenerator[bytes, None]:
    writer = ExplicitLittleWriter(instance.transfer_syntax)
    fed_bytes = _FED_DEFLATED_BYTES if instance.transfer_syntax == DEFLATED_EXPLICIT_LITTLE else _FED_BYTES
    try:
        async for chunk in _stored(instances, instance):
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
