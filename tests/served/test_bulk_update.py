"""Bulk update over HTTP, through the local host's queue: by clients, and with workers that are killed."""

from __future__ import annotations

import httpx
import pytest

from shared.settings import Settings
from tests.edits.made import Desk, desk, name_is, named
from tests.support.azurite import running_azurite
from tests.support.calls import multipart
from tests.support.files import synthetic_instance
from tests.support.jobs import KilledWorkers, wait_for
from tests.support.storage import fresh_account

pytestmark = [pytest.mark.azurite, pytest.mark.served]

BULK_UPDATE = "/v2/studies/$bulkUpdate"


def files(study: str, count: int) -> list[bytes]:
    return [
        synthetic_instance(study_uid=study, series_uid=f"{study}.{n % 2}", sop_instance_uid=f"{study}.9.{n}", columns=4)
        for n in range(count)
    ]


async def stored(client: httpx.AsyncClient, contents: list[bytes]) -> None:
    body, headers = multipart(contents)
    answer = await client.post("/v2/studies", content=body, headers=[*headers, ("Accept", "application/dicom+json")])
    assert answer.status_code in (200, 202), answer.text


@pytest.fixture
async def client(service):
    async with httpx.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as opened:
        yield opened


async def test_an_update_runs_behind_its_answer_and_its_operation_tells_of_it(client):
    await stored(client, files("1.2.77.1", 3))
    body = {"studyInstanceUids": ["1.2.77.1"], "changeDataset": name_is("Neu^Anna")}
    answer = await client.post(BULK_UPDATE, json=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Location"] == answer.json()["href"]
    assert answer.json().keys() == {"id", "href"}
    assert answer.headers["api-supported-versions"] == "2"
    state = await wait_for(client, answer.json()["id"])
    assert (state["type"], state["status"], state["percentComplete"]) == ("update", "succeeded", 100)
    counts = {"studyProcessed": 1, "studyUpdated": 1, "studyFailed": 0, "instanceUpdated": 3}
    assert state["results"] == counts
    assert (await client.get(answer.json()["href"])).json() == state
    assert (await client.get(f"/v1/operations/{answer.json()['id']}")).json()["status"] == "completed"
    for version in ("v1", "v2"):
        metadata = (await client.get(f"/{version}/studies/1.2.77.1/metadata")).json()
        assert {named(one) for one in metadata} == {"Neu^Anna"}
        asked = {"msdicom-request-original": "True"}
        metadata = (await client.get(f"/{version}/studies/1.2.77.1/metadata", headers=asked)).json()
        assert {named(one) for one in metadata} == {"Synthetic^Instance"}


async def test_a_version_without_it_has_nothing_there(client):
    body = {"studyInstanceUids": ["1.2.77.1"], "changeDataset": name_is("Neu^Anna")}
    for spelling in ("v1", "V1.0", "v1.0-prerelease", "v1-prerelease"):
        for path in ("studies/$bulkUpdate", "studies/%24bulkupdate/", "partitions/p/studies/$bulkUpdate"):
            for sent in ({"json": body}, {"content": b"x", "headers": {"Content-Type": "application/dicom"}}, {}):
                answer = await client.post(f"/{spelling}/{path}", **sent)
                assert (answer.status_code, answer.content) == (404, b""), (spelling, path, sent)
                assert "1" in answer.headers["api-supported-versions"].split(", ")


async def test_an_etag_of_the_new_version_is_none_of_the_original(client):
    await stored(client, files("1.2.77.2", 1))
    url = "/v2/studies/1.2.77.2/series/1.2.77.2.0/instances/1.2.77.2.9.0/metadata"
    before = (await client.get(url)).headers["ETag"]
    body = {"studyInstanceUids": ["1.2.77.2"], "changeDataset": name_is("Neu")}
    await wait_for(client, (await client.post(BULK_UPDATE, json=body)).json()["id"])
    after = (await client.get(url)).headers["ETag"]
    original = (await client.get(url, headers={"msdicom-request-original": "true"})).headers["ETag"]
    assert len({before, after, original}) == 3
    asked = {"msdicom-request-original": "true", "If-None-Match": after}
    assert (await client.get(url, headers=asked)).status_code == 200
    assert (await client.get(url, headers={**asked, "If-None-Match": original})).status_code == 304


@pytest.mark.parametrize(
    ("body", "media_type", "status", "told"),
    [
        (b'{"studyInstanceUids": [], "changeDataset": {}}', "application/json", 400, "text/plain"),
        (b"nothing", "application/json", 400, "text/plain"),
        (b'{"studyInstanceUids": ["1.2"], "changeDataset": {"0020000D": {"vr": "UI", "Value": ["1"]}}}',
         "application/json", 400, "application/json"),
        (b"{}", "text/plain", 415, "text/plain"),
        (b" " * 1_100_000, "application/json", 413, "text/plain"),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_for_is_refused(client, body, media_type, status, told):
    answer = await client.post(BULK_UPDATE, content=body, headers={"Content-Type": media_type})
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith(told)
    if told == "application/json":
        (item,) = answer.json()["00741048"]["Value"]
        assert item["00000902"]["Value"][0].startswith("DICOM100: (0020,000d) - ")


@pytest.mark.parametrize("times", [10, pytest.param(100, marks=pytest.mark.slow)])
async def test_updates_whose_workers_are_killed_end_complete_and_once(times):
    account = fresh_account(running_azurite().connection_string)
    killed = KilledWorkers(account, seconds=(0.05, 0.9))
    studies, instances = ["1.2.78.1", "1.2.78.2"], 50
    names: list[str] = []

    async def begin(client: httpx.AsyncClient) -> str:
        if not names:
            for study in studies:
                await stored(client, files(study, instances))
        names.append(f"Name^{len(names)}")
        body = {"studyInstanceUids": studies, "changeDataset": name_is(names[-1])}
        answer = await client.post(BULK_UPDATE, json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    ended = await killed.run(times, begin)
    assert killed.kills_at_work, "no worker was killed while it had something to do"
    counts = {"studyProcessed": 2, "studyUpdated": 2, "studyFailed": 0, "instanceUpdated": 100}
    assert [(one["status"], one["results"]) for one in ended] == [("succeeded", counts)] * len(names)
    async with desk(account, Settings(storage_connection=account)) as at:
        await _expect(at, studies, names, instances)


async def _expect(at: Desk, studies: list[str], names: list[str], instances: int) -> None:
    seen: dict[str, int] = {}
    number = 0
    while changes := await at.stores.changes.after(number, 1000):
        number = changes[-1].number
        for change in changes:
            seen[change.event.sop_instance_uid] = seen.get(change.event.sop_instance_uid, 0) + 1
    # One for the store, and one for each update.
    assert seen == {f"{study}.9.{n}": 1 + len(names) for study in studies for n in range(instances)}
    for study in studies:
        assert {named(one) for one in await at.metadata(study)} == {names[-1]}
