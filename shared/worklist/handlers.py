"""The worklist (UPS-RS, PS3.18 §11): make, retrieve, update, claim, finish, cancel and search workitems (contract C7).

What is wrong with a workitem, or with what somebody wants to do to it, is told as a JSON text (contract C1.3). The
Transaction UID is the key that holds a workitem: it is in no answer and no message.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any
from urllib.parse import urlsplit

from shared.dicom.workitemstates import CANCELLATIONS, CHANGES, UPDATES, Key, Outcome, State, Verdict
from shared.errors import Conflict, InvalidRequest, NotFound, Superseded
from shared.storage.partitions import DataPartition
from shared.storage.stores import Stores
from shared.storage.workitemrows import Workitem, lock_of
from shared.storage.workitemsearch import FoundWorkitems
from shared.wire.call import Call, Reply
from shared.wire.dicomjson import Json, dumps
from shared.worklist import making
from shared.worklist.query import Query, parse
from shared.worklist.requests import bare_uid, read_dataset

_DICOM_JSON = "application/dicom+json"
_CHUNK_BYTES = 64 * 1024
_STATUSES = {Outcome.REFUSE: 400, Outcome.CONFLICT: 409, Outcome.DONE_BEFORE: 200}


async def create_workitem(call: Call, stores: Stores) -> Reply:
    """Make a workitem."""
    sent = await read_dataset(call)
    return await _answered(_create(call, stores, sent))


async def retrieve_workitem(call: Call, stores: Stores) -> Reply:
    """One workitem."""
    partition = await stores.partition(call.partition)
    return await _answered(_retrieve(call, stores, partition))


async def update_workitem(call: Call, stores: Stores) -> Reply:
    """Change attributes of a workitem."""
    partition, sent = await stores.partition(call.partition), await read_dataset(call)
    return await _answered(_update(call, stores, partition, sent), call)


async def change_workitem_state(call: Call, stores: Stores) -> Reply:
    """Claim a workitem, complete it, or cancel it as its owner."""
    partition, sent = await stores.partition(call.partition), await read_dataset(call)
    return await _answered(_change_state(call, stores, partition, sent), call)


async def request_cancellation(call: Call, stores: Stores) -> Reply:
    """Ask for a workitem to be canceled; one that nobody has claimed is at once."""
    partition, sent = await stores.partition(call.partition), await read_dataset(call)
    return await _answered(_cancel(call, stores, partition, sent), call)


async def search_workitems(call: Call, stores: Stores) -> Reply:
    """Workitems, newest first."""
    assert call.choice is not None, "the row offers representations"
    partition, query = await stores.partition(call.partition), parse(call)
    if query.conditions is None:
        return Reply(204)
    found = await stores.workitems.search(
        partition, query.conditions, call.parameters["offset"], call.parameters["limit"]
    )
    if not found.rows and not found.unreadable:
        return Reply(204)
    uids = tuple(row["uid"] for row in found.rows)
    return Reply(206 if found.unreadable else 200, _matches(found, query), call.choice.media_type, about=uids)


async def _create(call: Call, stores: Stores, sent: Json) -> Reply:
    uid, dataset = making.new_workitem(sent, bare_uid(call, "workitem"))
    partition = await stores.partition_or_new(call.partition)
    if not await stores.workitems.create(partition, uid, dataset):
        raise Conflict("0111: There is a workitem of this UID already.")
    url = f"{call.service_root}/workitems/{uid}"
    return Reply(201, headers=(("Location", url), ("Content-Location", url)), about=(uid,))


async def _retrieve(call: Call, stores: Stores, partition: DataPartition) -> Reply:
    assert call.choice is not None, "the row offers representations"
    workitem = await _existing(call, stores, partition)
    return Reply(200, dumps(workitem.dataset), call.choice.media_type)


async def _update(call: Call, stores: Stores, partition: DataPartition, sent: Json) -> Reply:
    transaction_uid = bare_uid(call, "transaction-uid")
    workitem = await _existing(call, stores, partition)
    verdict = UPDATES[workitem.state, _key(workitem, transaction_uid)]
    if verdict.outcome is not Outcome.DO:
        return _told(call, verdict)
    await stores.workitems.change(workitem, making.updated(workitem.dataset, sent), workitem.state)
    return Reply(200, headers=(("Content-Location", f"{call.service_root}/workitems/{workitem.uid}"),))


async def _change_state(call: Call, stores: Stores, partition: DataPartition, sent: Json) -> Reply:
    state, transaction_uid = making.state_request(sent)
    workitem = await _existing(call, stores, partition)
    verdict = CHANGES[state, workitem.state, _key(workitem, transaction_uid)]
    if verdict.outcome not in (Outcome.DO, Outcome.DO_IF_FINAL):
        return _told(call, verdict)
    dataset = making.in_state(workitem.dataset, state)
    if verdict.outcome is Outcome.DO_IF_FINAL:
        making.check_final(dataset, state)
    await stores.workitems.change(workitem, dataset, state, transaction_uid)
    return Reply(200)


async def _cancel(call: Call, stores: Stores, partition: DataPartition, sent: Json) -> Reply:
    workitem = await _existing(call, stores, partition)
    verdict = CANCELLATIONS[workitem.state]
    if verdict.outcome is not Outcome.DO_IF_FINAL:
        return _told(call, verdict)
    dataset = making.canceled(workitem.dataset, sent)
    making.check_final(dataset, State.CANCELED)
    await stores.workitems.change(workitem, dataset, State.CANCELED)
    return Reply(202)


async def _existing(call: Call, stores: Stores, partition: DataPartition) -> Workitem:
    workitem = await stores.workitems.find(partition, call.parameters["workitem_uid"])
    if workitem is None:
        raise NotFound("C307: There is no workitem of this UID.")
    return workitem


def _key(workitem: Workitem, transaction_uid: str) -> Key:
    """How a Transaction UID stands to the one that holds a workitem."""
    if not transaction_uid:
        return Key.ABSENT
    return Key.RIGHT if lock_of(workitem.uid, transaction_uid) == workitem.lock else Key.OTHER


async def _answered(work: Awaitable[Reply], warned: Call | None = None) -> Reply:
    """The answer that work comes to; what is wrong with it becomes a JSON text.

    Args:
        work: what the request asks for.
        warned: the call, when faults are said in a header as well.
    """
    try:
        return await work
    except InvalidRequest as error:
        status, text = 400, str(error)
    except NotFound as error:
        status, text = 404, str(error)
    except (Conflict, Superseded) as error:
        status, text = 409, str(error)
    return _text(status, text, warned)


def _told(call: Call, verdict: Verdict) -> Reply:
    return _text(_STATUSES[verdict.outcome], verdict.text, call)


def _text(status: int, text: str, warned: Call | None) -> Reply:
    headers: tuple[tuple[str, str], ...] = ()
    if warned is not None:
        said = text.encode("ascii", "replace").decode().replace('"', "'")
        headers = (("Warning", f'299 {urlsplit(warned.service_root).hostname}: "{said}"'),)
    return Reply(status, dumps(text), _DICOM_JSON, headers)


async def _matches(found: FoundWorkitems, query: Query) -> AsyncIterator[bytes]:
    """The matches as one array, written while it is sent."""
    chunk, separator = bytearray(b"["), b""
    for dataset in found.datasets():
        chosen: Mapping[str, Any] = query.chosen(dataset)
        chunk += separator + dumps(chosen)
        separator = b","
        if len(chunk) > _CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk + b"]")
