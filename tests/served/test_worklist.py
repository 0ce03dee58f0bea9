"""The worklist through real HTTP: in every version from one end to the other, claims at once, and what is refused."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.support.clients import DICOM_JSON, new_uid
from tests.worklist.made import body, element, performed, state_change, workitem

pytestmark = [pytest.mark.served, pytest.mark.azurite]

SENT = {"Content-Type": DICOM_JSON, "Accept": DICOM_JSON}


async def made(client: httpx.AsyncClient, root: str, **changes) -> str:
    uid = new_uid()
    answer = await client.post(f"{root}/workitems?{uid}", content=body(workitem(**changes)), headers=SENT)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{str(client.base_url).rstrip('/')}{root}/workitems/{uid}"
    assert answer.headers["content-location"] == answer.headers["location"]
    return uid


async def test_a_workitem_goes_from_one_end_to_the_other(client, version):
    root, transaction, patient = f"/{version}", new_uid(), f"P{new_uid()[-20:]}"
    uid = await made(client, root, t00100020=element("LO", patient))
    item = f"{root}/workitems/{uid}"
    search = {"PatientID": patient, "ProcedureStepState": "SCHEDULED"}
    answer = await client.get(f"{root}/workitems", params=search, headers={"Accept": DICOM_JSON})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == DICOM_JSON
    assert [one["00080018"]["Value"] for one in answer.json()] == [[uid]]
    claim = body(state_change("IN PROGRESS", transaction))
    assert (await client.put(f"{item}/state", content=claim, headers=SENT)).status_code == 200
    assert (await client.get(f"{root}/workitems", params=search)).status_code == 204
    update = await client.post(f"{item}?{transaction}", content=body(performed()), headers=SENT)
    assert (update.status_code, update.headers["content-location"].rpartition("/")[2]) == (200, uid)
    finish = body(state_change("COMPLETED", transaction))
    assert (await client.put(f"{item}/state", content=finish, headers=SENT)).status_code == 200
    again = await client.put(f"{item}/state", content=finish, headers=SENT)
    assert again.status_code == 200
    assert again.headers["warning"].startswith('299 127.0.0.1: "B306')
    whole = await client.get(item, headers={"Accept": DICOM_JSON})
    assert whole.json()["00741000"]["Value"] == ["COMPLETED"]
    everything = await client.get(f"{root}/workitems", params={"PatientID": patient, "includefield": "all"})
    assert everything.json() == [whole.json()]
    assert transaction not in whole.text + everything.text


async def test_of_many_claimants_one_wins(client):
    uid = await made(client, "/v2")
    claims = [body(state_change("IN PROGRESS", new_uid())) for _ in range(16)]
    answers = await asyncio.gather(
        *(client.put(f"/v2/workitems/{uid}/state", content=claim, headers=SENT) for claim in claims)
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    assert set(statuses[1:]) <= {400, 409}


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        ("application/json", body(workitem()), 415),
        ("", body(workitem()), 415),
        ("multipart/related; boundary=x", body(workitem()), 415),
        (DICOM_JSON, b"", 400),
        (DICOM_JSON, b"[]", 400),
        (DICOM_JSON, b"[" * 100_000, 400),
        (DICOM_JSON, b'[{"0040A370":{"vr":"SQ","Value":[' * 300, 400),
        (DICOM_JSON, b"[" + b"{}," * 200_000 + b"{}]", 400),
        (DICOM_JSON, b"[" + b" " * (1024 * 1024) + b"]", 413),
        (DICOM_JSON, body(workitem(t00100020=element("LO", "secret" * 1000))), 400),
    ],
    ids=["json", "none", "multipart", "empty", "no item", "deep", "deep items", "many", "long", "value"],
)
async def test_bad_bodies_are_refused(client, kind, content, status):
    headers = {"Accept": DICOM_JSON} | ({"Content-Type": kind} if kind else {})
    answer = await client.post(f"/v2/workitems?{new_uid()}", content=content, headers=headers)
    assert answer.status_code == status
    assert "secret" not in answer.text


@pytest.mark.parametrize("path", ["/subscribers/AET", "/subscribers/AET/suspend", ""])
async def test_there_are_no_subscriptions(client, path):
    answer = await client.post(f"/v2/workitems/1.2.840.10008.5.1.4.34.5{path}", content=body({}), headers=SENT)
    assert answer.status_code == 404


async def test_a_search_asks_for_what_can_be_given(client):
    answer = await client.get("/v2/workitems", headers={"Accept": "application/dicom"})
    assert answer.status_code == 406
    answer = await client.get("/v2/workitems?limit=0")
    assert answer.status_code == 400
