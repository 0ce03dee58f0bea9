"""Workitems as clients send them, and calls of the room that judges them."""

from __future__ import annotations

from typing import Any

import orjson

from shared.storage.stores import Stores
from shared.wire.call import Reply
from shared.worklist import handlers
from tests.support.calls import bytes_of, call
from tests.support.clients import new_uid

Json = dict[str, Any]

TRANSACTION, STATE = "00081195", "00741000"


def element(vr: str, *values: Any) -> Json:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def code(value: str) -> Json:
    return {
        "00080100": element("SH", value),
        "00080102": element("SH", "99TEST"),
        "00080104": element("LO", f"meaning of {value}"),
    }


def requested(accession: str, procedure: str = "RP-1") -> Json:
    """An item of ReferencedRequestSequence."""
    return {
        "00080050": element("SH", accession),
        "00080051": element("SQ"),
        "0020000D": element("UI", "2.25.5"),
        "00321060": element("LO"),
        "00321064": element("SQ"),
        "00400026": element("SQ"),
        "00400027": element("SQ"),
        "00401001": element("SH", procedure),
    }


def workitem(**changes: Json | None) -> Json:
    """A data set that can be made a workitem. Changes are by tag with a `t` before it; None takes one away."""
    dataset: Json = {
        TRANSACTION: element("UI"),
        "00080081": element("ST", "1 Road"),
        "00081080": element("LO", "diagnosis"),
        "00081084": element("SQ"),
        "00100010": element("PN", {"Alphabetic": "Example^Ada"}),
        "00100020": element("LO", "EX-1"),
        "00100021": element("LO"),
        "00100024": element("SQ"),
        "00100030": element("DA", "19700101"),
        "00100040": element("CS", "F"),
        "00101002": element("SQ"),
        "00380010": element("LO"),
        "00380014": element("SQ"),
        "00400400": element("LT"),
        "00404005": element("DT", "20261122083000"),
        "00404018": element("SQ", code("CT-THORAX")),
        "00404021": element("SQ"),
        "00404025": element("SQ", code("CT1")),
        "00404026": element("SQ", code("CT")),
        "00404027": element("SQ", code("WARD-3")),
        "00404041": element("CS", "READY"),
        "0040A370": element("SQ", requested("ACC-1")),
        "00741002": element("SQ"),
        "00741200": element("CS", "MEDIUM"),
        "00741204": element("LO", "a step"),
        "00741210": element("SQ"),
        "00741216": element("SQ"),
    }
    for name, value in changes.items():
        if value is None:
            dataset.pop(name[1:], None)
        else:
            dataset[name[1:]] = value
    return dataset


def performed() -> Json:
    """Changes after which a workitem can be completed."""
    item = {
        "00404028": element("SQ", code("CT1")),
        "00404050": element("DT", "20261122090000"),
        "00404051": element("DT", "20261122093000"),
        "00404019": element("SQ", code("CT-THORAX")),
        "00404033": element("SQ"),
    }
    return {"00741216": element("SQ", item)}


def discontinued() -> Json:
    """Changes after which a workitem can be canceled by its owner."""
    item = {"00404052": element("DT", "20261122093000"), "0074100E": element("SQ", code("110501"))}
    return {"00741002": element("SQ", item)}


def state_change(state: str, transaction_uid: str) -> Json:
    return {TRANSACTION: element("UI", transaction_uid), STATE: element("CS", state)}


def body(*datasets: Json) -> bytes:
    return orjson.dumps(list(datasets))


async def answer_of(reply: Reply) -> Any:
    """The JSON of a reply; None without a body."""
    content = await bytes_of(reply)
    return orjson.loads(content) if content else None


async def create(stores: Stores, dataset: Json | None = None, uid: str = "", **more: Any) -> Reply:
    keys = ((uid, ""),) if uid else ()
    return await handlers.create_workitem(call(body(dataset or workitem()), matching_keys=keys, **more), stores)


async def created(stores: Stores, dataset: Json | None = None, **more: Any) -> str:
    """The UID of a new workitem."""
    uid = new_uid()
    reply = await create(stores, dataset, uid, **more)
    assert reply.status == 201, await bytes_of(reply)
    return uid


async def retrieve(stores: Stores, uid: str, **more: Any) -> Reply:
    return await handlers.retrieve_workitem(call(workitem_uid=uid, **more), stores)


async def dataset_of(stores: Stores, uid: str) -> Json:
    """A workitem that is there."""
    reply = await retrieve(stores, uid)
    assert reply.status == 200
    found = await answer_of(reply)
    assert isinstance(found, dict)
    return found


async def update(stores: Stores, uid: str, changes: Json, transaction_uid: str = "", **more: Any) -> Reply:
    keys = ((transaction_uid, ""),) if transaction_uid else ()
    request = call(body(changes), workitem_uid=uid, matching_keys=keys, **more)
    return await handlers.update_workitem(request, stores)


async def put_state(stores: Stores, uid: str, state: str, transaction_uid: str, **more: Any) -> Reply:
    request = call(body(state_change(state, transaction_uid)), workitem_uid=uid, **more)
    return await handlers.change_workitem_state(request, stores)


async def cancel(stores: Stores, uid: str, reason: Json | None = None, **more: Any) -> Reply:
    return await handlers.request_cancellation(call(body(reason or {}), workitem_uid=uid, **more), stores)


async def search(stores: Stores, *keys: tuple[str, str], fields: tuple[str, ...] = (), **more: Any) -> Reply:
    parameters = {"fuzzy": False, "offset": 0, "limit": 100, "include_fields": fields, **more}
    return await handlers.search_workitems(call(matching_keys=keys, **parameters), stores)


async def found(stores: Stores, *keys: tuple[str, str], **more: Any) -> list[str]:
    """UIDs of what a search gives, in its order."""
    reply = await search(stores, *keys, **more)
    assert reply.status in (200, 204), reply
    return [one["00080018"]["Value"][0] for one in await answer_of(reply) or []]


async def in_state(stores: Stores, state: str, transaction_uid: str) -> str:
    """The UID of a new workitem in a state, which the Transaction UID holds where one can."""
    uid = await created(stores)
    if state == "SCHEDULED":
        return uid
    assert (await put_state(stores, uid, "IN PROGRESS", transaction_uid)).status == 200
    if state != "IN PROGRESS":
        assert (await update(stores, uid, performed() | discontinued(), transaction_uid)).status == 200
        assert (await put_state(stores, uid, state, transaction_uid)).status == 200
    return uid
