"""Stored files: where the bytes of each are, and any range of them.

An instance that was updated has a new begin in a blob of its own; behind it the file goes on in the blob of the
original. Whoever reads a file reads it here, and need not know.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from shared.storage.blobs import Blobs, OpenBlob
from shared.storage.keys import uids_of_row
from shared.storage.tables import Entity, whole

HEAD = "head"
"""Column with the name of the blob that an updated instance begins with."""


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """Where a stored instance is.

    Attributes:
        series_uid: SeriesInstanceUID.
        sop_instance_uid: SOPInstanceUID.
        blob: name of the blob it was stored as.
        offset_bytes: where it begins in that blob.
        length_bytes: how long it is.
        transfer_syntax: as stored.
        version: its version number.
        head: name of the blob with its begin, when it was updated; else empty.
        head_bytes: how long that is.
        tail_bytes: where it goes on behind that, counted from `offset_bytes`.
    """

    series_uid: str
    sop_instance_uid: str
    blob: str
    offset_bytes: int
    length_bytes: int
    transfer_syntax: str
    version: int
    head: str = ""
    head_bytes: int = 0
    tail_bytes: int = 0


class _Piece(NamedTuple):
    blob: str
    offset: int
    length: int


def stored_instance(row: Entity) -> StoredInstance:
    """The instance that a row with the columns of `PLACE` describes."""
    series_uid, sop_instance_uid = uids_of_row(row.get("RowKey", "!"))
    return StoredInstance(
        series_uid=series_uid,
        sop_instance_uid=sop_instance_uid,
        blob=row.get("blob", ""),
        offset_bytes=whole(row, "offset"),
        length_bytes=whole(row, "length"),
        transfer_syntax=row.get("syntax", ""),
        version=whole(row, "version"),
        head=row.get(HEAD, ""),
        head_bytes=whole(row, "headLength"),
        tail_bytes=whole(row, "tail"),
    )


@asynccontextmanager
async def open_file(
    blobs: Blobs, instance: StoredInstance, start: int = 0, stop: int | None = None
) -> AsyncIterator[OpenBlob]:
    """Read an instance, or its bytes from `start` to before `stop`, as they arrive; at least one byte.

    Raises:
        BlobMissing: the instance, or this version of it, is gone: from here, or while the bytes are read.
    """
    pieces = _pieces(instance, start, instance.length_bytes if stop is None else stop)
    async with blobs.open(*pieces[0]) as first:
        if len(pieces) == 1:
            yield first
            return
        async with aclosing(_chained(blobs, first, pieces[1:])) as chunks:
            yield OpenBlob(sum(piece.length for piece in pieces), first.metadata, chunks)


def _pieces(instance: StoredInstance, start: int, stop: int) -> list[_Piece]:
    """The ranges of blobs that make a range of a file."""
    pieces = []
    if start < instance.head_bytes:
        pieces.append(_Piece(instance.head, start, min(stop, instance.head_bytes) - start))
    if stop > instance.head_bytes:
        behind = max(start, instance.head_bytes)
        offset = instance.offset_bytes + instance.tail_bytes + behind - instance.head_bytes
        pieces.append(_Piece(instance.blob, offset, stop - behind))
    return pieces


async def _chained(blobs: Blobs, first: OpenBlob, pieces: Sequence[_Piece]) -> AsyncGenerator[bytes, None]:
    async for chunk in first.chunks:
        yield chunk
    for piece in pieces:
        async with blobs.open(*piece) as opened:
            async for chunk in opened.chunks:
                yield chunk
