"""Whole instances in another transfer syntax: header and frames are read by range and re-encoded one by one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from shared.dicom.pixels import CannotDecode, PixelDescription
from shared.dicom.recoding import Recoder
from shared.errors import NotAcceptable
from shared.storage.frames import Frames, StoredFrames
from shared.wado.conversion import Conversion, in_pieces
from shared.wado.pictures import HINT, PICTURES, check_frames, refused
from shared.wado.pixelwork import WORK


async def recoded(frames: Frames, stored: StoredFrames, syntax: str) -> AsyncGenerator[bytes, None]:
    """The file in that transfer syntax. What cannot be decoded shows before the first chunk.

    Raises:
        NotAcceptable: it cannot be given in that syntax.
    """
    check_frames(stored, (1,))
    picture = await PICTURES.open(frames, stored)
    if picture.description.frames != stored.count:
        raise NotAcceptable(f"The instance has not as many frames as its NumberOfFrames says. {HINT}")
    async with WORK.room(picture.copying_cost_bytes) as room:
        header = picture.header or await frames.header(stored)
        trailer = await frames.trailer(stored)
        try:
            recoder, head = await room.run(_begun, header, trailer, picture.description, syntax)
        except CannotDecode as error:
            raise refused(error) from error
    del header, trailer
    conversion = Conversion(frames, picture, recoder.frame)
    async with aclosing(conversion.all(range(1, stored.count + 1))) as contents:
        async for content in contents:
            async for piece in in_pieces(content):
                yield head + piece if head else piece
                head = b""
    yield recoder.tail()


def _begun(header: bytes, trailer: bytes, description: PixelDescription, syntax: str) -> tuple[Recoder, bytes]:
    recoder = Recoder(header, trailer, description, syntax)
    return recoder, recoder.head()
