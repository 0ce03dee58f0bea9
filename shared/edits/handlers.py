"""Changing what is stored, delete (contract C4) and bulk update (contract C11), and copying it out (contract C12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.dicom.reasons import error_comment
from shared.dicom.validation import Finding
from shared.edits import export, export_request
from shared.edits.bulk_update import beginning
from shared.edits.change_set import ChangeRefused, parse
from shared.errors import InvalidRequest, PayloadTooLarge
from shared.storage.destinations import DestinationClosed, DestinationUnreachable
from shared.storage.operations import OperationKind, new_operation_id
from shared.storage.stores import Stores
from shared.wire.call import Call, Reply
from shared.wire.dicomjson import dumps
from shared.wire.operations import JSON, accepted, reference

FAILED_ATTRIBUTES_SEQUENCE, ERROR_COMMENT = "00741048", "00000902"
_MOST_BYTES = 1024 * 1024


async def delete_study(call: Call, stores: Stores) -> Reply:
    """Delete a study."""
    await stores.deletion.study(await stores.partition(call.partition), call.parameters["study_uid"])
    return Reply(204)


async def delete_series(call: Call, stores: Stores) -> Reply:
    """Delete a series."""
    partition, uids = await stores.partition(call.partition), call.parameters
    await stores.deletion.series(partition, uids["study_uid"], uids["series_uid"])
    return Reply(204)


async def delete_instance(call: Call, stores: Stores) -> Reply:
    """Delete an instance."""
    partition, uids = await stores.partition(call.partition), call.parameters
    await stores.deletion.instance(partition, uids["study_uid"], uids["series_uid"], uids["sop_instance_uid"])
    return Reply(204)


async def bulk_update_studies(call: Call, stores: Stores) -> Reply:
    """Begin to change attributes of all instances of some studies."""
    partition = await stores.partition(call.partition)
    try:
        request = parse(await _whole_body(call))
    except ChangeRefused as refused:
        return Reply(400, dumps(_refusal(refused.findings)), JSON)
    state = beginning(partition, request, await stores.feed.last_number())
    begun = await stores.operations.begin(OperationKind.UPDATE, state, alone=f"update~{partition.number}")
    return Reply(202, dumps(reference(call, begun.id)), JSON)


async def export_studies(call: Call, stores: Stores) -> Reply:
    """Begin to copy instances into a container."""
    if not stores.destinations.enabled:
        return Reply(404)
    partition = await stores.partition(call.partition)
    request = export_request.parse(await _whole_body(call), stores.destinations.rules)
    operation_id = new_operation_id()
    try:
        async with stores.destinations.open(request.target) as container:
            await container.create_log(export.log_name(operation_id))
    except DestinationClosed as closed:
        why = f"{closed.status} {closed.code}".strip()
        raise InvalidRequest(f"destination: nothing can be written to the container ({why}).") from closed
    except DestinationUnreachable as error:
        raise InvalidRequest("destination: the container cannot be reached.") from error
    await stores.operations.begin(OperationKind.EXPORT, export.beginning(partition, request), operation_id=operation_id)
    return accepted(call, operation_id)


async def _whole_body(call: Call) -> bytes:
    content = bytearray()
    async for chunk in call.body:
        content += chunk
        if len(content) > _MOST_BYTES:
            raise PayloadTooLarge(_MOST_BYTES)
    return bytes(content)


def _refusal(findings: Sequence[Finding]) -> dict[str, Any]:
    """What is wrong with attributes, as a data set (contract C11)."""
    items = [{ERROR_COMMENT: {"vr": "LO", "Value": [error_comment(finding.tag, finding.text)]}} for finding in findings]
    return {FAILED_ATTRIBUTES_SEQUENCE: {"vr": "SQ", "Value": items}}
