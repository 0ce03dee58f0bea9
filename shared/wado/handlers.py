"""Retrieve (WADO-RS, PS3.18 §10.4): studies, series, instances, their metadata, frames and renderings."""

from __future__ import annotations

from collections.abc import AsyncIterator

from shared.errors import NotAcceptable, NotFound
from shared.storage.frames import StoredFrames
from shared.storage.instances import StoredInstance
from shared.storage.partitions import DataPartition
from shared.storage.stores import Stores
from shared.wado import frames, metadata, rendered
from shared.wado.instances import as_part, as_parts, as_single, wants_original
from shared.wire.call import Call, Reply
from shared.wire.media import AS_STORED
from shared.wire.multipart import new_boundary, related_content_type


async def retrieve_study(call: Call, stores: Stores) -> Reply:
    """All instances of a study as parts."""
    return await _retrieve_many(call, stores, None)


async def retrieve_series(call: Call, stores: Stores) -> Reply:
    """All instances of a series as parts."""
    return await _retrieve_many(call, stores, call.parameters["series_uid"])


async def retrieve_instance(call: Call, stores: Stores) -> Reply:
    """One instance, alone or as the only part."""
    partition = await stores.partition(call.partition)
    parameters = call.parameters
    found = await stores.instances.find(
        partition,
        parameters["study_uid"],
        parameters["series_uid"],
        parameters["sop_instance_uid"],
        original=wants_original(call),
    )
    return _one(call, stores, partition, found)


async def retrieve_frames(call: Call, stores: Stores) -> Reply:
    """Frames of an instance, in the order of the list."""
    return await frames.retrieve(call, stores)


async def retrieve_rendered_instance(call: Call, stores: Stores) -> Reply:
    """The first frame of an instance as a picture."""
    return await rendered.frame(call, stores, 1)


async def retrieve_rendered_frame(call: Call, stores: Stores) -> Reply:
    """One frame as a picture."""
    return await rendered.frame(call, stores, call.parameters["frame"])


async def retrieve_study_metadata(call: Call, stores: Stores) -> Reply:
    """Metadata of all instances of a study."""
    return await metadata.of_study(call, stores)


async def retrieve_series_metadata(call: Call, stores: Stores) -> Reply:
    """Metadata of all instances of a series."""
    return await metadata.of_series(call, stores)


async def retrieve_instance_metadata(call: Call, stores: Stores) -> Reply:
    """Metadata of one instance, still as an array."""
    return await metadata.of_instance(call, stores)


async def _retrieve_many(call: Call, stores: Stores, series_uid: str | None) -> Reply:
    partition = await stores.partition(call.partition)
    original = wants_original(call)
    found = _flat(stores.instances.pages(partition, call.parameters["study_uid"], series_uid, original=original))
    first, second = await anext(found, None), await anext(found, None)
    if first is None:
        raise NotFound("The study is not stored here." if series_uid is None else "The series is not stored here.")
    if second is None:
        return _one(call, stores, partition, first)
    assert call.choice is not None, "the row offers representations"
    choice = next((one for one in (call.choice, *call.choice.others) if one.transfer_syntax == AS_STORED), None)
    if choice is None:
        # Contract C3.2: several instances are never transcoded in one answer.
        raise NotAcceptable(
            "Several instances are given as they are stored only. "
            'Ask for multipart/related; type="application/dicom"; transfer-syntax=*'
        )

    async def again(one: StoredInstance) -> StoredInstance:
        study_uid: str = call.parameters["study_uid"]
        return await stores.instances.find(
            partition, study_uid, one.series_uid, one.sop_instance_uid, original=original
        )

    boundary = new_boundary()
    body = as_parts(stores.instances, _chained((first, second), found), boundary, again)
    return Reply(200, body, related_content_type(boundary, choice.media_type))


def _one(call: Call, stores: Stores, partition: DataPartition, instance: StoredInstance) -> Reply:
    assert call.choice is not None, "the row offers representations"
    study_uid: str = call.parameters["study_uid"]

    async def frames_of(one: StoredInstance) -> StoredFrames:
        original = wants_original(call)
        return await stores.frames.find(partition, study_uid, one.series_uid, one.sop_instance_uid, original=original)

    single = as_single(stores, instance, call.choice.transfer_syntax or AS_STORED, frames_of)
    if call.choice.multipart:
        boundary = new_boundary()
        return Reply(200, as_part(single, boundary), related_content_type(boundary, call.choice.media_type))
    length = () if single.length_bytes is None else (("Content-Length", str(single.length_bytes)),)
    return Reply(200, single.chunks, single.media_type, length)


async def _flat(pages: AsyncIterator[list[StoredInstance]]) -> AsyncIterator[StoredInstance]:
    async for page in pages:
        for instance in page:
            yield instance


async def _chained(
    first: tuple[StoredInstance, ...], rest: AsyncIterator[StoredInstance]
) -> AsyncIterator[StoredInstance]:
    for instance in first:
        yield instance
    async for instance in rest:
        yield instance
