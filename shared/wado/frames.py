"""Frames (PS3.18 §10.4.1.1.3): as they are stored, by range; as native pixels; or as JPEG 2000."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from functools import partial

from shared.dicom.elements import DEFLATED_EXPLICIT_LITTLE, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from shared.dicom.pixels import PixelDescription, to_explicit_little, to_jpeg2000
from shared.errors import InvalidRequest, NotAcceptable
from shared.storage.frames import Frames, StoredFrames
from shared.storage.stores import Stores
from shared.wado.conversion import UNCOUNTED_BYTES, Conversion, held, in_pieces
from shared.wado.pictures import PICTURES, check_frames, check_length, is_short, stored_bytes
from shared.wire.call import Call, Reply
from shared.wire.media import AS_STORED, Choice
from shared.wire.multipart import closing, new_boundary, part_head, related_content_type

_OCTETS = "application/octet-stream"
_JPEG_2000 = "image/jp2"
_JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"

# Syntaxes whose native frames are, byte for byte, those of explicit VR little endian (PS3.5 §A.1, A.2, A.5).
_LITTLE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED_EXPLICIT_LITTLE})

# Media types of compressed frames and the syntaxes that are given under them as they are stored (PS3.18 §8.7.3.3.2).
_FAMILIES: dict[str, frozenset[str]] = {
    "image/jpeg": frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70)),
    "image/jls": frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}),
    _JPEG_2000: frozenset({_JPEG_2000_LOSSLESS, "1.2.840.10008.1.2.4.91"}),
    "image/jphc": frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203)),
    "image/jxl": frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (110, 111, 112)),
    "image/dicom-rle": frozenset({"1.2.840.10008.1.2.5"}),
}
_FAMILIES["image/x-jls"] = _FAMILIES["image/jls"]
_FAMILIES["image/x-dicom-rle"] = _FAMILIES["image/dicom-rle"]

_SMALL_BYTES = 1024 * 1024
_AHEAD = 8
_AHEAD_BYTES = 1024 * 1024

_Convert = Callable[[PixelDescription, bytes], bytes]


@dataclass(frozen=True, slots=True)
class _Delivery:
    """How frames are given.

    Attributes:
        media_type: of each of them, without its transfer syntax.
        transfer_syntax: the one they really have.
        multipart: whether they come as parts.
        convert: what is done with each; None for nothing.
    """

    media_type: str
    transfer_syntax: str
    multipart: bool
    convert: _Convert | None

    @property
    def content_type(self) -> str:
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax}"


async def retrieve(call: Call, stores: Stores) -> Reply:
    """The frames a call asks for, in its order and as often as it names them.

    Raises:
        InvalidRequest: several are asked for, and not as parts.
        NotFound: the instance, its pixel data or one of the frames is not there.
        NotAcceptable: they cannot be given as asked.
    """
    parameters = call.parameters
    numbers: tuple[int, ...] = parameters["frames"]
    choices = _possible(call.choice, several=len(numbers) > 1)
    partition = await stores.partition(call.partition)
    stored = await stores.frames.find(
        partition, parameters["study_uid"], parameters["series_uid"], parameters["sop_instance_uid"]
    )
    check_frames(stored, numbers)
    delivery = _chosen(choices, stored)
    if delivery.convert is None:
        return await _as_stored(stores.frames, stored, numbers, delivery)
    return await _converted(stores.frames, stored, numbers, delivery, delivery.convert)


def _possible(choice: Choice | None, *, several: bool) -> list[Choice]:
    """The choices in their order, without those that hold one frame only when several are asked for."""
    assert choice is not None, "the row offers representations"
    possible = [one for one in (choice, *choice.others) if one.multipart or not several]
    if not possible:
        raise InvalidRequest(
            "Several frames are given as parts only. Ask for multipart/related, or for one frame at a time."
        )
    return possible


def _chosen(choices: Sequence[Choice], stored: StoredFrames) -> _Delivery:
    """The first choice that frames which are stored so can be given in."""
    deliveries = [delivery for choice in choices if (delivery := _delivery(choice, stored))]
    if not deliveries:
        raise NotAcceptable(
            f"The frames are stored with transfer syntax {stored.instance.transfer_syntax} and cannot be given as "
            f'asked. Ask for multipart/related; type="{_OCTETS}"; transfer-syntax=* to get them as they are stored.'
        )
    as_stored = next((one for one in deliveries if one.convert is None), None)
    if as_stored is None:
        check_length(stored)
    elif not is_short(stored):
        return as_stored
    return deliveries[0]


def _delivery(choice: Choice, stored: StoredFrames) -> _Delivery | None:
    """How a choice is fulfilled, None when it cannot be."""
    syntax, asked = stored.instance.transfer_syntax, choice.transfer_syntax
    little = syntax in _LITTLE and not stored.encapsulated
    delivered: str | None = None
    convert: _Convert | None = None
    if choice.media_type == _OCTETS:
        if asked == EXPLICIT_LITTLE or (little and syntax == DEFLATED_EXPLICIT_LITTLE):
            # What is deflated is a file; its frames have been inflated to read them.
            delivered, convert = EXPLICIT_LITTLE, None if little else to_explicit_little
        else:
            delivered = syntax
    elif asked in (AS_STORED, syntax) and syntax in _FAMILIES[choice.media_type]:
        delivered = syntax
    elif choice.media_type == _JPEG_2000 and asked == _JPEG_2000_LOSSLESS:
        delivered, convert = _JPEG_2000_LOSSLESS, to_jpeg2000
    return _Delivery(choice.media_type, delivered, choice.multipart, convert) if delivered else None


async def _as_stored(frames: Frames, stored: StoredFrames, numbers: Sequence[int], delivery: _Delivery) -> Reply:
    if delivery.multipart:
        boundary = new_boundary()
        body = _stored_parts(frames, stored, numbers, boundary, delivery.content_type)
        return Reply(200, body, related_content_type(boundary, delivery.media_type))
    (number,) = numbers
    size_bytes = await frames.size_bytes(stored, number)
    if size_bytes <= _SMALL_BYTES:
        return Reply(200, await stored_bytes(frames, stored, number), delivery.content_type)
    # The stored size of an encapsulated frame counts the headers of its items, which are left out.
    length = () if stored.encapsulated else (("Content-Length", str(size_bytes)),)
    return Reply(200, frames.chunks(stored, number), delivery.content_type, length)


async def _converted(
    frames: Frames, stored: StoredFrames, numbers: Sequence[int], delivery: _Delivery, convert: _Convert
) -> Reply:
    picture = await PICTURES.open(frames, stored)
    conversion = Conversion(frames, picture, partial(convert, picture.description))
    if delivery.multipart:
        boundary = new_boundary()
        body = _converted_parts(conversion, numbers, boundary, delivery.content_type)
        return Reply(200, body, related_content_type(boundary, delivery.media_type))
    async with AsyncExitStack() as stack:
        content = await stack.enter_async_context(conversion.one(numbers[0]))
        if len(content) > UNCOUNTED_BYTES:
            return held(content, delivery.content_type, stack.pop_all())
    return Reply(200, content, delivery.content_type)


async def _converted_parts(
    conversion: Conversion, numbers: Sequence[int], boundary: str, content_type: str
) -> AsyncGenerator[bytes, None]:
    head = part_head(boundary, content_type, first=True)
    async with aclosing(conversion.all(numbers)) as contents:
        async for content in contents:
            async for piece in in_pieces(content):
                yield head + piece
                head = b""
            head = part_head(boundary, content_type, first=False)
    yield closing(boundary)


async def _stored_parts(
    frames: Frames, stored: StoredFrames, numbers: Sequence[int], boundary: str, content_type: str
) -> AsyncGenerator[bytes, None]:
    """Frames as they are stored; small ones are fetched a few ahead."""
    first = True
    async with aclosing(_fetched(frames, stored, numbers)) as contents:
        async for content in contents:
            # Head and first content in one chunk: a frame that is gone shows before anything was sent.
            head = part_head(boundary, content_type, first)
            first = False
            if isinstance(content, bytes):
                yield head + content
                continue
            async with aclosing(content) as chunks:
                async for chunk in chunks:
                    yield head + chunk if head else chunk
                    head = b""
    yield closing(boundary)


async def _fetched(
    frames: Frames, stored: StoredFrames, numbers: Sequence[int]
) -> AsyncGenerator[bytes | AsyncGenerator[bytes, None], None]:
    """Frames in order: those that were fetched ahead as bytes, large ones as they arrive."""
    ahead: deque[_Coming] = deque()
    try:
        for number in numbers:
            size_bytes = await frames.size_bytes(stored, number)
            while ahead and (len(ahead) == _AHEAD or sum(one.size_bytes for one in ahead) + size_bytes > _AHEAD_BYTES):
                yield await _arrived(frames, stored, ahead)
            small = size_bytes <= _AHEAD_BYTES
            task = asyncio.create_task(stored_bytes(frames, stored, number)) if small else None
            ahead.append(_Coming(number, size_bytes, task))
        while ahead:
            yield await _arrived(frames, stored, ahead)
    finally:
        for coming in ahead:
            if coming.task is not None:
                coming.task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await coming.task


@dataclass(frozen=True, slots=True)
class _Coming:
    """A frame in the order of the answer; without a task it is read when its turn has come."""

    number: int
    size_bytes: int
    task: asyncio.Task[bytes] | None


async def _arrived(frames: Frames, stored: StoredFrames, ahead: deque[_Coming]) -> bytes | AsyncGenerator[bytes, None]:
    coming = ahead[0]
    content = frames.chunks(stored, coming.number) if coming.task is None else await coming.task
    ahead.popleft()
    return content
