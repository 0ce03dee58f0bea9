"""Extended query tags: add, list, get, enable and disable, delete, and what could not be indexed (contract C9)."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson

from shared.errors import Conflict, InvalidRequest, NotFound, OperationRunning, Superseded
from shared.querytags.bodies import new_tags, query_status, read_json, tag_of
from shared.querytags.reindex import LOCK, beginning
from shared.storage.operations import OperationKind, new_operation_id
from shared.storage.stores import Stores
from shared.storage.tagchanges import check_room
from shared.storage.tags import TagError
from shared.storage.tagset import TagEntry
from shared.wire.call import Call, Reply
from shared.wire.operations import JSON, accepted, operation_url, reference, unpartitioned

_TEXT = "text/plain; charset=utf-8"
_PATH = "extendedquerytags"


async def add_extended_query_tags(call: Call, stores: Stores) -> Reply:
    """Add tags, and begin to index what is stored."""
    tags = new_tags(await read_json(call.body))
    check_room(await stores.tags.load(), tags)
    operation_id = new_operation_id()
    resources = [f"{_PATH}/{tag.path}" for tag in tags]
    try:
        begun = await stores.operations.begin(
            OperationKind.REINDEX, beginning(tags), resources=resources, alone=LOCK, operation_id=operation_id
        )
    except OperationRunning as running:
        where = operation_url(call, running.operation_id)
        return Reply(409, str(running).encode(), _TEXT, (("Location", where),))
    # The operation does that as well, should this worker die here.
    try:
        await stores.tags.install(operation_id, tags)
    except (Conflict, InvalidRequest) as error:
        # Somebody was faster. Nothing may be added behind this answer, should the other's tag be deleted meanwhile.
        with contextlib.suppress(Superseded):
            await stores.operations.fail(begun, str(error))
        raise
    return accepted(call, operation_id)


async def get_extended_query_tags(call: Call, stores: Stores) -> Reply:
    """All tags, in the order in which they came."""
    first = call.parameters["offset"]
    entries = (await stores.tags.current()).entries[first : first + call.parameters["limit"]]
    return _json([await _described(entry, call, stores) for entry in entries])


async def get_extended_query_tag(call: Call, stores: Stores) -> Reply:
    """One tag."""
    return _json(await _described(await _entry(call, stores), call, stores))


async def update_extended_query_tag(call: Call, stores: Stores) -> Reply:
    """Say whether a tag can be searched for."""
    path = f"{tag_of(call.parameters['tag_path']):08X}"
    enabled = query_status(await read_json(call.body))
    return _json(await _described(await stores.tags.set_enabled(path, enabled=enabled), call, stores))


async def delete_extended_query_tag(call: Call, stores: Stores) -> Reply:
    """Delete a tag; what was indexed by it is out of sight at once."""
    entry = await _entry(call, stores)
    operation = await stores.operations.find(entry.operation) if entry.operation else None
    if operation is not None and not operation.finished:
        raise InvalidRequest("The extended query tag is being added; its operation has to finish first.")
    await stores.tags.remove(entry.tag.path, entry.tag.number)
    return Reply(204)


async def get_extended_query_tag_errors(call: Call, stores: Stores) -> Reply:
    """Instances whose value could not be indexed, in the order in which they were found."""
    entry = await _entry(call, stores)
    errors = await stores.tags.errors(entry.tag.number, call.parameters["limit"], call.parameters["offset"])
    return _json([_error(error) for error in errors])


async def _entry(call: Call, stores: Stores) -> TagEntry:
    entry = (await stores.tags.current()).find(f"{tag_of(call.parameters['tag_path']):08X}")
    if entry is None:
        raise NotFound("There is no such extended query tag.")
    return entry


async def _described(entry: TagEntry, call: Call, stores: Stores) -> dict[str, Any]:
    """A tag as clients see it (contract C9.2)."""
    members: dict[str, Any] = {"path": entry.tag.path, "vr": entry.tag.vr}
    if entry.tag.creator:
        members["privateCreator"] = entry.tag.creator
    members["level"] = entry.tag.level.value
    members["status"] = "ready" if entry.ready else "adding"
    members["queryStatus"] = "enabled" if entry.enabled else "disabled"
    if entry.erroneous:
        where = f"{unpartitioned(call)}/{_PATH}/{entry.tag.path}/errors"
        members["errors"] = {"count": await stores.tags.count_errors(entry.tag.number), "href": where}
    if entry.operation:
        members["operation"] = reference(call, entry.operation)
    return members


def _error(error: TagError) -> dict[str, str]:
    return {
        "partitionName": error.partition,
        "studyInstanceUid": error.study_uid,
        "seriesInstanceUid": error.series_uid,
        "sopInstanceUid": error.sop_instance_uid,
        # Without a zone, as the original has it; it is UTC.
        "createdTime": error.created.partition("+")[0],
        "errorMessage": error.text,
    }


def _json(value: Any) -> Reply:
    return Reply(200, orjson.dumps(value), JSON)
