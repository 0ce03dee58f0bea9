"""Changing what is stored, delete (contract C4) and bulk update (contract C11), and copying it out (contract C12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.dicom.reasons import error_comment
from shared.dicom.validation import Finding
from shared.edits import export, export_request
from shared.edits.bulk_update import beginning
from shared.edits.change_set import ChangeRefused, parse
from shared.errors import InvalidRequest, StoreUnavailable
from shared.storage.destinations import DestinationClosed, DestinationUnreachable
from shared.storage.operations import OperationKind, new_operation_id
from shared.storage.stores import Stores
from shared.wire.call import Call, Reply
from shared.wire.datasets import whole_body
from shared.wire.dicomjson import dumps
from shared.wire.operations import JSON, accepted

FAILED_ATTRIBUTES_SEQUENCE, ERROR_COMMENT = "00741048", "00000902"
MOST_BYTES = 1024 * 1024


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
        request = parse(await whole_body(call.body, MOST_BYTES))
    except ChangeRefused as refused:
        return Reply(400, dumps(_refusal(refused.findings)), JSON)
    state = beginning(partition, request, await stores.feed.last_number())
    begun = await stores.operations.begin(OperationKind.UPDATE, state, alone=f"update~{partition.number}")
    return accepted(call, begun.id, request.study_uids)


async def export_studies(call: Call, stores: Stores) -> Reply:
    """Begin to copy instances into a container."""
    if not stores.destinations.enabled:
        return Reply(404)
    partition = await stores.partition(call.partition)
    request = export_request.parse(await whole_body(call.body, MOST_BYTES), stores.destinations.rules)
    operation_id = new_operation_id()
    log = export.log_name(operation_id)
    try:
        async with stores.destinations.open(request.target) as container:
            etag = await container.create_log(log)
    except DestinationClosed as closed:
        why = f"{closed.status} {closed.code}".strip()
        raise InvalidRequest(f"destination: nothing can be written to the container ({why}).") from closed
    except DestinationUnreachable as error:
        raise InvalidRequest("destination: the container cannot be reached.") from error
    state = export.beginning(partition, request)
    try:
        await stores.operations.begin(OperationKind.EXPORT, state, operation_id=operation_id)
    except StoreUnavailable:
        # The caller gets no id, and asks again.
        if etag:
            async with stores.destinations.open(request.target) as container:
                await container.drop_log(log, etag)
        raise
    return accepted(call, operation_id, request.values or ())


def _refusal(findings: Sequence[Finding]) -> dict[str, Any]:
    """What is wrong with attributes, as a data set (contract C11)."""
    items = [{ERROR_COMMENT: {"vr": "LO", "Value": [error_comment(finding.tag, finding.text)]}} for finding in findings]
    return {FAILED_ATTRIBUTES_SEQUENCE: {"vr": "SQ", "Value": items}}
