"""Making, retrieving, updating and searching workitems through the room and real storage (contract C7)."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from shared.errors import InvalidParameter, InvalidRequest, PayloadTooLarge
from shared.worklist import handlers
from tests.support.calls import bytes_of, call
from tests.support.clients import new_uid
from tests.support.storage import watched_stores
from tests.worklist.made import (
    TRANSACTION,
    answer_of,
    body,
    cancel,
    code,
    create,
    created,
    dataset_of,
    element,
    found,
    put_state,
    requested,
    retrieve,
    search,
    update,
    workitem,
)

pytestmark = pytest.mark.azurite


async def test_a_create_answers_where_the_workitem_is(stores):
    uid = new_uid()
    reply = await create(stores, uid=uid)
    url = f"http://dicom.example.org/v2/workitems/{uid}"
    assert (reply.status, reply.body) == (201, b"")
    assert reply.headers == (("Location", url), ("Content-Location", url))
    assert reply.about == (uid,)


async def test_the_service_sets_what_is_its_own(stores):
    sent = workitem(
        t00741000=element("CS", "COMPLETED"), t00741202=element("LO", "mine"), t00404010=element("DT", "1999")
    )
    uid = await created(stores, sent)
    made = await dataset_of(stores, uid)
    assert made["00080016"]["Value"] == ["1.2.840.10008.5.1.4.34.6.1"]
    assert made["00080018"]["Value"] == [uid]
    assert made["00741000"]["Value"] == ["SCHEDULED"]
    assert made["00741202"]["Value"] == ["worklist"]
    assert made["00404010"]["Value"][0] > "2026"
    assert TRANSACTION not in made
    own = {"00080016", "00080018", "00741000", "00741202", "00404010", TRANSACTION}
    assert {key: made[key] for key in made if key not in own} == {key: sent[key] for key in sent if key not in own}


@pytest.mark.parametrize("form", ["bare key", "named key", "data set", "both", "alone"])
async def test_the_uid_is_in_the_query_or_in_the_data_set(stores, form):
    uid = new_uid()
    sent = workitem(t00080018=element("UI", uid)) if form in ("data set", "both") else workitem()
    keys = {"bare key": ((uid, ""),), "both": ((uid, ""),), "alone": ((f"{uid} ", ""),)}.get(form, ())
    keys = (("Workitem", uid),) if form == "named key" else keys
    content = orjson.dumps(sent) if form == "alone" else body(sent)
    reply = await handlers.create_workitem(call(content, matching_keys=keys), stores)
    assert reply.status == 201
    assert (await retrieve(stores, uid)).status == 200


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ((), None),
        ((("abc", ""),), None),
        ((("2.25.", ""),), None),
        (((f"1.{'2' * 64}", ""),), None),
        ((("workitem", ""),), None),
        ((("2.25.1", ""),), "2.25.2"),
        ((), "x"),
    ],
)
async def test_a_create_without_one_uid_is_refused(stores, keys, said):
    sent = workitem(t00080018=element("UI", said)) if said else workitem()
    reply = await handlers.create_workitem(call(body(sent), matching_keys=keys), stores)
    assert (reply.status, reply.media_type) == (400, "application/dicom+json")
    assert isinstance(await answer_of(reply), str)


async def test_a_uid_is_made_once(stores):
    uid = await created(stores)
    reply = await create(stores, workitem(t00741204=element("LO", "another")), uid)
    assert (reply.status, reply.media_type) == (409, "application/dicom+json")
    assert "0111" in await answer_of(reply)
    assert (await dataset_of(stores, uid))["00741204"]["Value"] == ["a step"]


async def test_a_refused_workitem_says_what_is_wrong_and_no_value(stores):
    sent = workitem(t00741204=None, t00100020=element("LO", "secret" * 20))
    reply = await create(stores, sent, new_uid())
    text = await answer_of(reply)
    assert reply.status == 400
    assert "ProcedureStepLabel (0074,1204) is missing" in text
    assert "PatientID" in text
    assert "secret" not in text


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"[null]", b"{", b'"x"'])
async def test_a_body_without_a_data_set_is_refused(stores, content):
    uid = await created(stores)
    for handler in (
        handlers.create_workitem,
        handlers.update_workitem,
        handlers.change_workitem_state,
        handlers.request_cancellation,
    ):
        with pytest.raises(InvalidRequest):
            await handler(call(content, matching_keys=(), workitem_uid=uid), stores)


async def test_a_body_that_is_too_long_is_refused(stores):
    with pytest.raises(PayloadTooLarge):
        await handlers.create_workitem(call(b"[" + b" " * 1024 * 1024 + b"]", matching_keys=()), stores)


async def test_what_is_not_there_is_not_found(stores):
    reply = await retrieve(stores, new_uid())
    assert (reply.status, reply.media_type) == (404, "application/dicom+json")
    assert "C307" in await answer_of(reply)


async def test_an_update_replaces_attributes_as_a_whole(stores):
    uid = await created(stores)
    before = await dataset_of(stores, uid)
    changes = {"00404025": element("SQ", code("CT2")), "0020000D": element("UI", "2.25.77")}
    assert (await update(stores, uid, changes)).status == 200
    after = await dataset_of(stores, uid)
    assert after.pop("00404010")["Value"][0] > before.pop("00404010")["Value"][0]
    assert after == before | changes
    station = "ScheduledStationNameCodeSequence.CodeValue"
    assert uid in await found(stores, (station, "ct2"))
    assert uid not in await found(stores, (station, "ct1"))


@pytest.mark.parametrize(
    "changes",
    [
        {"00100010": element("PN", {"Alphabetic": "Other"})},
        {"00741000": element("CS", "COMPLETED")},
        {"00741204": element("LO")},
        {"00404005": element("DT", "tomorrow")},
    ],
)
async def test_an_update_that_breaks_a_rule_changes_nothing(stores, changes):
    uid = await created(stores)
    before = await dataset_of(stores, uid)
    reply = await update(stores, uid, changes)
    assert reply.status == 400
    assert dict(reply.headers)["Warning"].startswith('299 dicom.example.org: "')
    assert await dataset_of(stores, uid) == before


async def test_updates_at_the_same_time_are_done_or_refused(stores):
    uid = await created(stores)
    sent = [{key: element("LO" if key != "00400400" else "LT", "NEW")} for key in ("00741204", "00400400", "00104000")]
    replies = await asyncio.gather(*(update(stores, uid, one) for one in sent))
    after = await dataset_of(stores, uid)
    assert {reply.status for reply in replies} <= {200, 400, 409}
    assert any(reply.status == 200 for reply in replies)
    for reply, change in zip(replies, sent, strict=True):
        (key,) = change
        assert (after.get(key, {}).get("Value") == ["NEW"]) is (reply.status == 200)


async def test_a_transaction_uid_that_is_none_is_refused(stores):
    uid = await created(stores)
    for keys in ((("abc", ""),), (("transaction-uid", "abc"),)):
        request = call(body({"00741204": element("LO", "x")}), workitem_uid=uid, matching_keys=keys)
        assert (await handlers.update_workitem(request, stores)).status == 400


async def test_the_named_key_holds_as_well(stores):
    uid, transaction = await created(stores), new_uid()
    await put_state(stores, uid, "IN PROGRESS", transaction)
    keys = (("Transaction-UID", transaction),)
    request = call(body({"00741204": element("LO", "x")}), workitem_uid=uid, matching_keys=keys)
    assert (await handlers.update_workitem(request, stores)).status == 200


SEARCHES = [
    ("PatientName", "find^me", True),
    ("00100010", "FIND^ME", True),
    ("PatientName", "find", False),
    ("PatientID", "find-1 ", True),
    ("PatientID", "find*", False),
    ("StudyInstanceUID", "2.25.424242", True),
    ("0020000D", "2.25.1\\2.25.424242", True),
    ("ReferencedRequestSequence.AccessionNumber", "find-acc", True),
    ("0040A370.00080050", "other-acc", True),
    ("0040a370.AccessionNumber", "none", False),
    ("0040A370.00401001", "find-rp", True),
    ("ScheduledProcedureStepStartDateTime", "20300101", False),
    ("ScheduledProcedureStepStartDateTime", "203001011200", True),
    ("00404005", "20300101-20300101", True),
    ("00404005", "20300102-", False),
    ("00404005", "-2029", False),
    ("00404025.00080100", "find-name", True),
    ("ScheduledStationClassCodeSequence.CodeValue", "find-class", True),
    ("00404027.CodeValue", "find-place", True),
    ("ProcedureStepState", "SCHEDULED", True),
]


@pytest.fixture(scope="module")
async def searched(stores):
    """A workitem that every key can find."""
    return await created(
        stores,
        workitem(
            t00100010=element("PN", {"Alphabetic": "Find^Mé"}),
            t00100020=element("LO", "Find-1"),
            t0020000D=element("UI", "2.25.424242"),
            t0040A370=element("SQ", requested("FIND-ACC", "FIND-RP"), requested("OTHER-ACC")),
            t00404005=element("DT", "203001011200"),
            t00404025=element("SQ", code("FIND-NAME")),
            t00404026=element("SQ", code("FIND-CLASS")),
            t00404027=element("SQ", code("FIND-PLACE")),
        ),
    )


@pytest.mark.parametrize(("key", "value", "matches"), SEARCHES)
async def test_a_search_by_each_key(stores, searched, key, value, matches):
    assert (searched in await found(stores, (key, value), limit=200)) is matches


async def test_a_search_by_the_beginnings_of_words(stores, searched):
    assert await found(stores, ("PatientName", "fi m"), fuzzy=True) == [searched]
    assert await found(stores, ("PatientName", "*find*"), fuzzy=True) == [searched]
    assert await found(stores, ("PatientName", "ind"), fuzzy=True) == []


async def test_conditions_are_joined(stores, searched):
    assert await found(stores, ("PatientID", "find-1"), ("ProcedureStepState", "SCHEDULED")) == [searched]
    assert await found(stores, ("PatientID", "find-1"), ("ProcedureStepState", "CANCELED")) == []


@pytest.mark.parametrize(
    ("keys", "fields"),
    [
        ([("PatientBirthDate", "19700101")], ()),
        ([("Nothing", "x")], ()),
        ([("0040A370", "x")], ()),
        ([("0040A370.", "x")], ()),
        ([("0040A370.00080050.00080100", "x")], ()),
        ([("PatientID", "")], ()),
        ([("PatientID", "a"), ("00100020", "b")], ()),
        ([("ScheduledProcedureStepStartDateTime", "-")], ()),
        ([("ScheduledProcedureStepStartDateTime", "2026-2025")], ()),
        ([("ScheduledProcedureStepStartDateTime", "20261122083000+0100")], ()),
        ([("StudyInstanceUID", "abc")], ()),
        ([("TransactionUID", "2.25.1")], ()),
        ([("transaction", "2.25.1")], ()),
        ([], ("Nothing",)),
        ([], ("0040A370.00080050",)),
    ],
)
async def test_a_search_that_breaks_a_rule_is_refused(stores, keys, fields):
    with pytest.raises(InvalidParameter):
        await search(stores, *keys, fields=fields)


async def test_a_value_that_nothing_can_have_finds_nothing(stores):
    assert (await search(stores, ("PatientID", "x" * 300))).status == 204


async def test_what_a_match_has(stores, searched):
    by_id = ("PatientID", "find-1")
    (lean,) = await answer_of(await search(stores, by_id))
    whole = await dataset_of(stores, searched)
    assert {"00080018", "00100010", "0040A370", "00741000", "00741204"} <= lean.keys()
    assert "00404010" not in lean
    assert "00400400" not in lean
    assert all(whole[key] == lean[key] for key in lean)
    (more,) = await answer_of(await search(stores, by_id, fields=("00404010,CommentsOnTheScheduledProcedureStep",)))
    assert more.keys() - lean.keys() == {"00404010", "00400400"}
    (everything,) = await answer_of(await search(stores, by_id, fields=("all", "00404010")))
    assert everything == whole


async def test_pages_are_newest_first(azurite):
    async with watched_stores(azurite.connection_string) as (own, _):
        assert (await search(own)).status == 204
        uids = [await created(own) for _ in range(4)]
        await update(own, uids[0], {"00741204": element("LO", "changed last")})
        assert await found(own) == uids[::-1]
        assert await found(own, limit=2, offset=1) == [uids[2], uids[1]]
        reply = await search(own, offset=4)
        assert (reply.status, reply.body) == (204, b"")


async def test_a_page_that_lacks_what_cannot_be_read_says_so(azurite):
    async with watched_stores(azurite.connection_string) as (own, _):
        first, second = await created(own), await created(own)
        broken = await own.workitems.find(await own.partition("Microsoft.Default"), first)
        assert broken is not None
        await own._tables.merge(
            "ups00", "d0~9999999999", f"{9_999_999_999_999 - broken.number:013d}", {"dataset0": b"x"}
        )
        reply = await search(own)
        assert reply.status == 206
        assert [one["00080018"]["Value"] for one in await answer_of(reply)] == [[second]]


async def test_a_large_page_is_written_in_pieces(azurite):
    async with watched_stores(azurite.connection_string) as (own, _):
        long = workitem(t00400400=element("LT", "word " * 2000))
        uids = [await created(own, long) for _ in range(12)]
        reply = await search(own, fields=("all",))
        assert not isinstance(reply.body, bytes)
        pieces = [piece async for piece in reply.body]
        assert len(pieces) > 1
        assert [one["00080018"]["Value"][0] for one in orjson.loads(b"".join(pieces))] == uids[::-1]
        assert reply.about == tuple(uids[::-1])


async def test_partitions_are_made_by_a_create_and_by_nothing_else(azurite):
    async with watched_stores(azurite.connection_string, data_partitions=True) as (own, _):
        elsewhere: dict[str, Any] = {"partition": "clinic-a"}
        uid = new_uid()
        with pytest.raises(InvalidRequest):
            await retrieve(own, uid, **elsewhere)
        for handler in (handlers.update_workitem, handlers.change_workitem_state, handlers.request_cancellation):
            with pytest.raises(InvalidRequest):
                await handler(call(body({}), workitem_uid=uid, matching_keys=(), **elsewhere), own)
        assert (await create(own, workitem(t00741204=None), uid, **elsewhere)).status == 400
        with pytest.raises(InvalidRequest):
            await retrieve(own, uid, **elsewhere)
        assert (await create(own, uid=uid, **elsewhere)).status == 201
        assert (await retrieve(own, uid, **elsewhere)).status == 200
        assert (await retrieve(own, uid)).status == 404
        assert (await cancel(own, uid)).status == 404
        assert (await create(own, uid=uid)).status == 201


async def test_nested_transaction_uids_are_not_kept(stores):
    item = {**requested("N-1"), TRANSACTION: element("UI", "2.25.9")}
    uid = await created(stores, workitem(t0040A370=element("SQ", item)))
    assert TRANSACTION.encode() not in await bytes_of(await retrieve(stores, uid))
