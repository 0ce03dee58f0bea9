"""Every cell of the tables of states, through the room and real storage (contract C7.4 to C7.6)."""

from __future__ import annotations

import asyncio

import pytest

from shared.dicom.workitemstates import CANCELLATIONS, CHANGES, UPDATES, Key, State
from shared.worklist import handlers
from tests.support.calls import bytes_of, call
from tests.support.clients import new_uid
from tests.worklist.made import (
    TRANSACTION,
    answer_of,
    body,
    cancel,
    created,
    dataset_of,
    element,
    found,
    in_state,
    put_state,
    retrieve,
    search,
    update,
)

pytestmark = pytest.mark.azurite

# Requested, current, whether the Transaction UID is the right one: status and code.
CELLS = {
    ("IN PROGRESS", "SCHEDULED", True): (200, ""),
    ("IN PROGRESS", "SCHEDULED", False): (200, ""),
    ("IN PROGRESS", "IN PROGRESS", True): (400, "C302"),
    ("IN PROGRESS", "IN PROGRESS", False): (400, "C301"),
    ("IN PROGRESS", "COMPLETED", True): (400, "C300"),
    ("IN PROGRESS", "COMPLETED", False): (400, "C301"),
    ("IN PROGRESS", "CANCELED", True): (400, "C300"),
    ("IN PROGRESS", "CANCELED", False): (400, "C301"),
    # A scheduled one is held by nobody, so no UID is the right one.
    ("COMPLETED", "SCHEDULED", True): (400, "C301"),
    ("COMPLETED", "SCHEDULED", False): (400, "C301"),
    ("COMPLETED", "IN PROGRESS", True): (400, "0121"),
    ("COMPLETED", "IN PROGRESS", False): (400, "C301"),
    ("COMPLETED", "COMPLETED", True): (200, "B306"),
    ("COMPLETED", "COMPLETED", False): (400, "C301"),
    ("COMPLETED", "CANCELED", True): (400, "C300"),
    ("COMPLETED", "CANCELED", False): (400, "C301"),
    ("CANCELED", "SCHEDULED", True): (400, "C301"),
    ("CANCELED", "SCHEDULED", False): (400, "C301"),
    ("CANCELED", "IN PROGRESS", True): (400, "0121"),
    ("CANCELED", "IN PROGRESS", False): (400, "C301"),
    ("CANCELED", "COMPLETED", True): (400, "C300"),
    ("CANCELED", "COMPLETED", False): (400, "C301"),
    ("CANCELED", "CANCELED", True): (200, "B304"),
    ("CANCELED", "CANCELED", False): (400, "C301"),
}


def test_the_tables_have_every_cell():
    assert set(CHANGES) == {
        (wanted, now, key)
        for wanted in State
        for now in State
        for key in (Key.RIGHT, Key.OTHER)
        if wanted != "SCHEDULED"
    }
    assert set(UPDATES) == {(now, key) for now in State for key in Key}
    assert set(CANCELLATIONS) == set(State)
    assert set(CELLS) == {(wanted.value, now.value, key is Key.RIGHT) for wanted, now, key in CHANGES}


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell[1]} to {cell[0]} {'right' if cell[2] else 'other'}")
async def test_a_change_of_state_is_answered_by_its_cell(stores, cell):
    requested, current, right = cell
    status, said = CELLS[cell]
    transaction = new_uid()
    uid = await in_state(stores, current, transaction)
    reply = await put_state(stores, uid, requested, transaction if right else new_uid())
    text = await answer_of(reply)
    warning = dict(reply.headers).get("Warning")
    assert reply.status == status
    if said:
        assert said in text
        assert warning is not None
        assert said in warning
    else:
        assert (text, warning) == (None, None)
    done = status == 200 and not said
    assert (await dataset_of(stores, uid))["00741000"]["Value"] == [requested if done else current]


@pytest.mark.parametrize(
    ("state", "key", "status", "said"),
    [
        ("SCHEDULED", "absent", 200, ""),
        ("SCHEDULED", "other", 400, "C301"),
        ("IN PROGRESS", "right", 200, ""),
        ("IN PROGRESS", "absent", 400, "C302"),
        ("IN PROGRESS", "other", 400, "C301"),
        *(("COMPLETED", key, 400, "C306") for key in ("right", "absent", "other")),
        *(("CANCELED", key, 409, "C304") for key in ("right", "absent", "other")),
    ],
)
async def test_an_update_is_answered_by_state_and_key(stores, state, key, status, said):
    transaction = new_uid()
    uid = await in_state(stores, state, transaction)
    given = {"right": transaction, "absent": "", "other": new_uid()}[key]
    reply = await update(stores, uid, {"00741204": element("LO", "another label")}, given)
    assert reply.status == status
    headers = dict(reply.headers)
    if said:
        assert said in await answer_of(reply)
        assert said in headers["Warning"]
    else:
        assert headers == {"Content-Location": f"http://dicom.example.org/v2/workitems/{uid}"}
    label = (await dataset_of(stores, uid))["00741204"]["Value"]
    assert label == (["another label"] if status == 200 else ["a step"])


@pytest.mark.parametrize(
    ("state", "status", "said"),
    [("SCHEDULED", 202, ""), ("IN PROGRESS", 400, "C312"), ("COMPLETED", 400, "C311"), ("CANCELED", 409, "B304")],
)
async def test_a_cancellation_is_answered_by_the_state(stores, state, status, said):
    uid = await in_state(stores, state, new_uid())
    reply = await cancel(stores, uid, {"00741238": element("LT", "no patient")})
    assert reply.status == status
    if said:
        assert said in await answer_of(reply)
        assert dict(reply.headers)["Warning"].startswith("299 dicom.example.org: ")
    now = (await dataset_of(stores, uid))["00741000"]["Value"]
    assert now == ["CANCELED" if status == 202 else state]


async def test_a_cancellation_says_why_and_who_asked(stores):
    uid = await created(stores)
    sent = {
        "00741238": element("LT", "no patient"),
        "0074100A": element("UR", "tel:5550123"),
        "0074100C": element("LO", "Ward 3"),
    }
    assert (await cancel(stores, uid, sent)).status == 202
    (progress,) = (await dataset_of(stores, uid))["00741002"]["Value"]
    assert progress["00741238"]["Value"] == ["no patient"]
    assert progress["00741008"]["Value"] == [{"0074100A": sent["0074100A"], "0074100C": sent["0074100C"]}]
    assert progress["0074100E"]["Value"][0]["00080100"]["Value"] == ["110513"]
    assert progress["00404052"]["Value"][0].endswith("+0000")


@pytest.mark.parametrize("state", ["COMPLETED", "CANCELED"])
async def test_the_owner_brings_a_workitem_to_its_end(stores, state):
    uid = await in_state(stores, state, new_uid())
    assert (await dataset_of(stores, uid))["00741000"]["Value"] == [state]


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {TRANSACTION: element("UI", "2.25.1")},
        {TRANSACTION: element("UI"), "00741000": element("CS", "IN PROGRESS")},
        {TRANSACTION: element("UI", "abc"), "00741000": element("CS", "IN PROGRESS")},
        {TRANSACTION: element("UI", "2.25.1"), "00741000": element("CS", "SCHEDULED")},
        {TRANSACTION: element("UI", "2.25.1"), "00741000": element("CS", "in progress")},
        {TRANSACTION: element("UI", "2.25.1"), "00741000": element("CS", "DONE")},
    ],
)
async def test_a_change_of_state_needs_a_transaction_uid_and_a_state(stores, sent):
    uid = await created(stores)
    assert (await handlers.change_workitem_state(call(body(sent), workitem_uid=uid), stores)).status == 400
    assert (await dataset_of(stores, uid))["00741000"]["Value"] == ["SCHEDULED"]


async def test_of_many_claimants_one_wins(stores):
    uid = await created(stores)
    claimants = [new_uid() for _ in range(20)]
    replies = await asyncio.gather(*(put_state(stores, uid, "IN PROGRESS", one) for one in claimants))
    statuses = [reply.status for reply in replies]
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 400, 409}
    winner = claimants[statuses.index(200)]
    updated = [await update(stores, uid, {"00741204": element("LO", "mine")}, one) for one in claimants]
    assert [reply.status for reply in updated] == [200 if one == winner else 400 for one in claimants]


async def test_unknown_workitems_are_not_found(stores):
    uid = new_uid()
    for reply in (
        await update(stores, uid, {"00741204": element("LO", "x")}),
        await put_state(stores, uid, "IN PROGRESS", new_uid()),
        await cancel(stores, uid),
    ):
        assert reply.status == 404
        assert "C307" in await answer_of(reply)


async def test_a_search_finds_a_state_at_once(stores):
    transaction = new_uid()
    uid = await created(stores)
    assert uid in await found(stores, ("ProcedureStepState", "scheduled"))
    await put_state(stores, uid, "IN PROGRESS", transaction)
    assert uid not in await found(stores, ("00741000", "SCHEDULED"))
    assert uid in await found(stores, ("00741000", "IN PROGRESS"))
    assert uid in await found(stores, ("00741000", "SCHEDULED,IN PROGRESS"))


async def test_no_answer_has_the_transaction_uid(stores):
    transaction = new_uid()
    uid = await created(stores)
    replies = [
        await put_state(stores, uid, "IN PROGRESS", transaction),
        await put_state(stores, uid, "IN PROGRESS", transaction),
        await update(
            stores, uid, {"00741204": element("LO", "x"), TRANSACTION: element("UI", transaction)}, transaction
        ),
        await search(stores, fields=("all",)),
        await search(stores, fields=(TRANSACTION,)),
    ]
    replies.append(await retrieve(stores, uid))
    for reply in replies:
        said = await bytes_of(reply) + repr(reply.headers).encode()
        assert transaction.encode() not in said
        assert TRANSACTION.encode() not in said
