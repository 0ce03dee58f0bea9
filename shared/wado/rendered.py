"""Rendered frames (PS3.18 §10.4.1.1.4): pictures that any browser shows."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from shared.dicom.pixels import CannotDecode, PixelDescription
from shared.dicom.recoding import parse_header
from shared.errors import NotAcceptable
from shared.storage.stores import Stores
from shared.wado.conversion import UNCOUNTED_BYTES, held
from shared.wado.pictures import PICTURES, check_frames, check_length, frame_cost, stored_bytes
from shared.wado.pixelwork import WORK
from shared.wire.call import Call, Reply


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A frame and the picture that is made of it."""

    number: int
    media_type: str
    quality: int


async def frame(call: Call, stores: Stores, number: int) -> Reply:
    """One frame as a picture.

    Args:
        call: says of which instance, in which media type and quality.
        stores: where it is.
        number: of the frame, 1 for the first.

    Raises:
        NotFound: the instance, its pixel data or the frame is not there.
        NotAcceptable: no picture can be made of it.
    """
    assert call.choice is not None, "the row offers representations"
    parameters = call.parameters
    wanted = _Wanted(number, call.choice.media_type, parameters["quality"])
    partition = await stores.partition(call.partition)
    stored = await stores.frames.find(
        partition, parameters["study_uid"], parameters["series_uid"], parameters["sop_instance_uid"]
    )
    check_frames(stored, (number,))
    check_length(stored)
    picture = await PICTURES.open(stores.frames, stored)
    cost_bytes = frame_cost(picture.description, await stores.frames.size_bytes(stored, number))
    async with AsyncExitStack() as stack:
        room = await stack.enter_async_context(WORK.room(cost_bytes + picture.reading_cost_bytes))
        header = picture.header or await stores.frames.header(stored)
        content = await stored_bytes(stores.frames, stored, number)
        try:
            made = await room.run(_rendered, header, picture.description, content, wanted)
        except CannotDecode as error:
            raise NotAcceptable(f"The frame cannot be rendered: {error}") from error
        if len(made) > UNCOUNTED_BYTES:
            room.shrink(len(made))
            return held(made, wanted.media_type, stack.pop_all())
    return Reply(200, made, wanted.media_type)


def _rendered(header: bytes, description: PixelDescription, content: bytes, wanted: _Wanted) -> bytes:
    # Loaded here, in the thread: it brings numpy, which a worker that renders nothing does not need.
    from shared.dicom.rendering import render

    data_set = parse_header(header)
    return render(data_set, description, content, wanted.number, wanted.media_type, wanted.quality)
