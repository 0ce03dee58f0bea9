"""One instance with other values: as much of its file is read as is needed, and a new begin is put beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from shared.dicom.elements import DEFLATED_EXPLICIT_LITTLE
from shared.dicom.updating import (
    MAX_REWRITTEN_BYTES,
    CannotUpdate,
    Change,
    FileBegin,
    MoreNeeded,
    NewBegin,
    new_begin,
    new_deflated,
)
from shared.storage.files import StoredInstance, stored_instance
from shared.storage.instances import Instances
from shared.storage.keys import uids_of_row
from shared.storage.rows import packed_metadata
from shared.storage.stores import Stores
from shared.storage.tables import Entity
from shared.storage.updates import PixelPlace, Place, Refusal, UpdatedInstance, pixel_place
from shared.storage.uploads import RequestUploads

FIRST_BYTES = 8 * 1024
"""So much of a file is read first. Patient and study stand in it, unless private data lie between."""

_GROWTH = 4
_IN_THREAD_BYTES = 128 * 1024
_CHARACTER_SET = {"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What every instance of an update shall say.

    Attributes:
        changes: what attributes shall be.
        elements: the same in the DICOM JSON model.
    """

    changes: Sequence[Change]
    elements: Mapping[str, Any]


async def rewritten(
    stores: Stores, uploads: RequestUploads, place: Place, row: Entity, wanted: Wanted
) -> UpdatedInstance | Refusal:
    """Put the new begin of an instance into a blob.

    Args:
        stores: where it is.
        uploads: of the request that does it.
        place: its study.
        row: the instance's row, as `subjects` gives it.
        wanted: what it shall say.

    Raises:
        NotFound: its series is gone.
        BlobMissing: it is gone.
    """
    series_uid, sop_instance_uid = uids_of_row(row["RowKey"])
    before, dictionary = await stores.instances.unpacked(place.partition, place.study_uid, series_uid, row)
    metadata = orjson.loads(before)
    known = {change.tag for change in wanted.changes if f"{change.tag:08X}" in metadata}
    try:
        begin = await _begin(stores.instances, stored_instance(row), pixel_place(row), wanted.changes, known)
    except CannotUpdate as error:
        return Refusal(row, str(error))
    metadata |= wanted.elements
    if begin.in_utf8:
        metadata |= _CHARACTER_SET
    gone = {f"{tag:08X}" for tag in begin.dropped}
    after = orjson.dumps({key: metadata[key] for key in sorted(metadata.keys() - gone)})
    upload = uploads.begin()
    await upload.write(begin.content)
    await (await uploads.finish(upload, place.study_uid, series_uid, sop_instance_uid))
    return UpdatedInstance(
        row=row,
        head=upload.name,
        head_bytes=len(begin.content),
        replaced_bytes=begin.replaced_bytes,
        metadata=after,
        packed=packed_metadata(after, dictionary),
    )


async def _begin(
    instances: Instances, instance: StoredInstance, pixels: PixelPlace, changes: Sequence[Change], known: set[int]
) -> NewBegin:
    """The new begin of a file, from as little of the old one as will do."""
    if instance.transfer_syntax == DEFLATED_EXPLICIT_LITTLE:
        content = await _read(instances, instance, 0, instance.length_bytes)
        return await asyncio.to_thread(new_deflated, content, changes)
    content, trailer = b"", None
    # What an earlier update wrote is read as a whole: behind it the file goes on as it was stored.
    size_bytes = min(max(FIRST_BYTES, instance.head_bytes), pixels.start)
    while True:
        content += await _read(instances, instance, len(content), size_bytes)
        begin = FileBegin(content, len(content) == pixels.start, trailer, instance.transfer_syntax)
        try:
            if len(content) > _IN_THREAD_BYTES:
                new = await asyncio.to_thread(new_begin, begin, changes, known)
            else:
                new = new_begin(begin, changes, known)
        except MoreNeeded as more:
            if more.everything:
                trailer = await _read(instances, instance, pixels.stop, instance.length_bytes)
            size_bytes = pixels.start if more.everything else min(len(content) * _GROWTH, pixels.start)
        else:
            return _with_whole_head(new, content, instance.head_bytes)


def _with_whole_head(new: NewBegin, content: bytes, head_bytes: int) -> NewBegin:
    """A begin that stands at least for what the last update wrote: the blob with that is going to go."""
    if new.replaced_bytes >= head_bytes:
        return new
    return replace(new, content=new.content + content[new.replaced_bytes : head_bytes], replaced_bytes=head_bytes)


async def _read(instances: Instances, instance: StoredInstance, start: int, stop: int) -> bytes:
    if stop <= start:
        return b""
    if stop - start > MAX_REWRITTEN_BYTES:
        raise CannotUpdate(f"More than {MAX_REWRITTEN_BYTES} bytes of the file would have to be rewritten.")
    async with instances.open(instance, start, stop) as opened:
        return b"".join([chunk async for chunk in opened.chunks])
