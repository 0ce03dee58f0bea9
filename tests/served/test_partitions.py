"""Data partitions over HTTP (contract C13): what is stored in one is in no answer, job or change of another."""

from __future__ import annotations

import httpx
import pytest

from tests.edits.exporting import destination, wanted
from tests.served.test_documents import expect_as_documented
from tests.support.calls import multipart
from tests.support.clients import DICOM_JSON
from tests.support.documents import by_id, documents
from tests.support.files import synthetic_instance
from tests.support.jobs import wait_for
from tests.support.served import served
from tests.support.storage import fresh_account
from tests.support.versions import LABELS, MANIFESTS, of
from tests.worklist.made import body, element, state_change, workitem

pytestmark = [pytest.mark.azurite, pytest.mark.served]

OURS, THEIRS = "clinic-a", "..b_B-2."
"""The second name would leave a folder if names were ever parts of a path; it is a name as any other."""
SHARED = "2.25.700"
ONLY_THEIRS = "2.25.701"
MARKER = "PartitionMarker"


@pytest.fixture(scope="module")
def account(azurite):
    return fresh_account(azurite.connection_string)


@pytest.fixture(scope="module")
async def client(account):
    settings = {"DICOM_STORAGE": account, "DICOM_DATA_PARTITIONS": "on"}
    async with (
        served(settings) as running,
        httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as opened,
    ):
        for partition, studies in ((OURS, [SHARED]), (THEIRS, [SHARED, ONLY_THEIRS])):
            files = [instance(study, number, partition) for study in studies for number in (1, 2)]
            await stored(opened, partition, files)
        yield opened


def instance(study: str, number: int, partition: str) -> bytes:
    """An instance of which every version of a partition says whose it is."""
    return synthetic_instance(
        study_uid=study,
        series_uid=f"{study}.1",
        sop_instance_uid=f"{study}.1.{number}",
        patient_name=f"{MARKER if partition == THEIRS else 'Own'}^{number}",
        patient_id="SAME",
    )


async def stored(client: httpx.AsyncClient, partition: str, files: list[bytes], label: str = "v2") -> None:
    body, headers = multipart(files)
    lines = [*headers, ("Accept", "application/dicom+json")]
    answer = await client.post(f"/{label}/partitions/{partition}/studies", content=body, headers=lines)
    assert answer.status_code == 200, answer.text


async def names_in(client: httpx.AsyncClient, partition: str) -> list[str]:
    """Patients' names of all instances that a partition has, one each instance."""
    path = f"/v2/partitions/{partition}/instances?includefield=PatientName&limit=200"
    answer = await client.get(path, headers={"Accept": "application/dicom+json"})
    return sorted(one["00100010"]["Value"][0]["Alphabetic"] for one in answer.json())


def paths_of(label: str) -> list[str]:
    """Every path that a version reads instances by, once with UIDs that both have and once with those of one."""
    rows = [row for row in of(label).rows if row.partitioned and row.handler.startswith(("wado.", "qido."))]
    assert len(rows) >= 15
    paths = []
    for study in (SHARED, ONLY_THEIRS):
        values = {"studyInstanceUid": study, "seriesInstanceUid": f"{study}.1", "sopInstanceUid": f"{study}.1.1"}
        paths += [row.path.format(**values, frames="1", frame="1") for row in rows]
    return list(dict.fromkeys(paths))


@pytest.mark.parametrize("label", LABELS)
async def test_no_answer_of_a_partition_has_anything_of_another(client, label):
    accept = "multipart/related; type=application/dicom; transfer-syntax=*, application/dicom+json, */*"
    statuses: dict[str, tuple[int, int]] = {}
    for path in paths_of(label):
        ours, theirs = [
            await client.get(f"/{label}/partitions/{name}/{path}", headers={"Accept": accept})
            for name in (OURS, THEIRS)
        ]
        assert MARKER.encode() not in ours.content, path
        assert b"Own" not in theirs.content, path
        statuses[path] = (ours.status_code, theirs.status_code)
    by_study = [pair for path, pair in statuses.items() if ONLY_THEIRS in path]
    assert {theirs for _, theirs in statuses.values()} == {200}
    assert {ours for ours, _ in by_study} <= {204, 404}
    assert {ours for path, (ours, _) in statuses.items() if ONLY_THEIRS not in path} == {200}


async def test_a_search_by_uids_of_another_partition_finds_nothing(client):
    for key in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        uid = {"StudyInstanceUID": "", "SeriesInstanceUID": ".1", "SOPInstanceUID": ".1.1"}[key]
        path = {"StudyInstanceUID": "studies", "SeriesInstanceUID": "series", "SOPInstanceUID": "instances"}[key]
        for name, status in ((OURS, 204), (THEIRS, 200)):
            answer = await client.get(f"/v2/partitions/{name}/{path}?{key}={ONLY_THEIRS}{uid}")
            assert answer.status_code == status


async def test_a_delete_stays_in_its_partition(client):
    await stored(client, "deletes-a", [instance("2.25.710", number, OURS) for number in (1, 2, 3)])
    await stored(client, "deletes-b", [instance("2.25.710", number, THEIRS) for number in (1, 2, 3)])
    for path in (f"studies/{ONLY_THEIRS}", f"studies/{ONLY_THEIRS}/series/{ONLY_THEIRS}.1"):
        assert (await client.delete(f"/v2/partitions/deletes-a/{path}")).status_code == 404
    left = 3
    for path in ("series/2.25.710.1/instances/2.25.710.1.2", "series/2.25.710.1", ""):
        whole = f"/v2/partitions/deletes-a/studies/2.25.710/{path}".rstrip("/")
        left = {3: 2}.get(left, 0)
        answer = await client.delete(whole)
        assert answer.status_code == (204 if path else 404), whole
        assert len(await names_in(client, "deletes-b")) == 3
        listed = await client.get("/v2/partitions/deletes-a/instances")
        assert (len(listed.json()) if listed.status_code == 200 else 0) == left
    assert (await client.get(f"/v2/partitions/{THEIRS}/studies/{ONLY_THEIRS}/metadata")).status_code == 200


async def test_an_update_stays_in_its_partition(client):
    for name in ("updates-a", "updates-b"):
        await stored(client, name, [instance("2.25.720", number, OURS) for number in (1, 2)])
    change = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Changed^One"}]}}
    body = {"studyInstanceUids": ["2.25.720", ONLY_THEIRS], "changeDataset": change}
    answer = await client.post("/v2/partitions/updates-a/studies/$bulkUpdate", json=body)
    assert answer.status_code == 202, answer.text
    state = await wait_for(client, answer.json()["id"])
    assert (state["results"]["studyUpdated"], state["results"]["instanceUpdated"]) == (1, 2), state
    assert await names_in(client, "updates-a") == ["Changed^One"] * 2
    assert await names_in(client, "updates-b") == ["Own^1", "Own^2"]
    assert await names_in(client, THEIRS) == sorted([f"{MARKER}^1", f"{MARKER}^2"] * 2)


@pytest.mark.parametrize("values", [(), (SHARED, ONLY_THEIRS)])
async def test_an_export_takes_from_its_partition_only(client, azurite, values):
    async with destination(azurite.connection_string) as out:
        body = wanted({"blobContainerUri": f"{out.url}?{out.sas()}"}, *values)
        answer = await client.post(f"/v2/partitions/{OURS}/export", json=body)
        assert answer.status_code == 202, answer.text
        state = await wait_for(client, answer.json()["id"])
        assert state["results"]["exported"] == 2, state
        copied = await out.results(answer.json()["id"])
        assert sorted(copied.values()) == sorted(instance(SHARED, number, OURS) for number in (1, 2))


async def test_workitems_stay_in_their_partition(client):
    uid = "2.25.750"
    sent = {"Content-Type": DICOM_JSON, "Accept": DICOM_JSON}
    places = {name: f"/v2/partitions/{name}/workitems" for name in ("worklist-a", "worklist-b")}
    for name, place in places.items():
        content = body(workitem(t00100020=element("LO", name)))
        assert (await client.post(f"{place}?{uid}", content=content, headers=sent)).status_code == 201
    other = body(workitem(t00100020=element("LO", "worklist-b")))
    assert (await client.post(f"{places['worklist-b']}?{uid}.1", content=other, headers=sent)).status_code == 201
    claim = body(state_change("IN PROGRESS", "2.25.751"))
    assert (await client.put(f"{places['worklist-a']}/{uid}/state", content=claim, headers=sent)).status_code == 200
    states = {"worklist-a": "IN PROGRESS", "worklist-b": "SCHEDULED"}
    for name, place in places.items():
        whole = (await client.get(f"{place}/{uid}")).json()
        assert whole["00100020"]["Value"] == [name]
        assert whole["00741000"]["Value"] == [states[name]]
        found = (await client.get(f"{place}?includefield=PatientID")).json()
        assert {one["00100020"]["Value"][0] for one in found} == {name}
    here, gone = f"{places['worklist-a']}/{uid}.1", {"Accept": DICOM_JSON}
    assert (await client.get(here, headers=gone)).status_code == 404
    assert (await client.post(here, content=body({}), headers=sent)).status_code == 404
    assert (await client.put(f"{here}/state", content=claim, headers=sent)).status_code == 404
    assert (await client.post(f"{here}/cancelrequest", content=body({}), headers=sent)).status_code == 404
    for path in ("workitems", f"workitems/{uid}"):
        assert (await client.get(f"/v2/partitions/worklist-c/{path}")).status_code == 400


async def test_search_by_an_extended_query_tag_stays_in_its_partition(client):
    answer = await client.post("/v2/extendedquerytags", json=[{"path": "00200013", "level": "Instance"}])
    assert answer.status_code == 202, answer.text
    await wait_for(client, answer.json()["id"])
    for name, count in ((OURS, 2), (THEIRS, 4)):
        found = await client.get(f"/v2/partitions/{name}/instances?00200013=1&includefield=PatientName")
        assert found.status_code == 200, found.text
        assert len(found.json()) == count
        assert (MARKER in found.text) == (name == THEIRS)


async def test_the_feed_names_the_partition_of_every_change(client):
    entries = (await client.get("/v2/changefeed?limit=200")).json()
    assert {OURS, THEIRS} <= {one["partitionName"] for one in entries}
    for one in entries:
        if one.get("metadata") and one["studyInstanceUid"] in (SHARED, ONLY_THEIRS):
            name = one["metadata"]["00100010"]["Value"][0]["Alphabetic"]
            assert name.startswith(MARKER if one["partitionName"] == THEIRS else "Own")


@pytest.mark.parametrize("label", LABELS)
async def test_partitions_are_listed_once_they_are_stored_into(client, label):
    name = f"listed-{label}"
    unknown = await client.get(f"/{label}/partitions/{name}/studies")
    assert unknown.status_code == 400
    before = (await client.get(f"/{label}/partitions")).json()
    assert name not in [one["partitionName"] for one in before]
    await stored(client, name, [instance("2.25.730", 1, OURS)], label)
    answer = await client.get(f"/{label}/partitions")
    expect_as_documented(documents()[label], by_id(documents()[label])["listPartitions"], answer)
    listed = answer.json()
    assert [one["partitionKey"] for one in listed] == list(range(1, len(listed) + 1))
    assert {"Microsoft.Default", OURS, THEIRS, name} <= {one["partitionName"] for one in listed}


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(
    "name", ["a b", "a%2Fb", "%2e%2e%2fclinic-a", "clinic-a%00", "clinic-a%0a", "ä", "a*", "a'b", "x" * 65, "%20"]
)
async def test_a_name_of_other_characters_is_refused(client, label, name):
    for path in ("studies", f"studies/{SHARED}/metadata"):
        answer = await client.get(f"/{label}/partitions/{name}/{path}")
        # What the host decodes to another path is the answer of that path, which is none.
        assert answer.status_code in (400, 404), answer.text
        assert "Own" not in answer.text


@pytest.mark.parametrize("label", LABELS)
async def test_with_partitions_a_path_must_name_one_and_without_them_none(client, service, label):
    assert (await client.get(f"/{label}/studies")).status_code == 400
    async with httpx.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as without:
        for path in (f"/{label}/partitions", f"/{label}/partitions/Microsoft.Default/studies"):
            answer = await without.get(path)
            assert answer.status_code == 400
            assert "partitions" in answer.text


async def test_names_differ_by_case(client):
    await stored(client, "Case", [instance("2.25.740", 1, OURS)])
    assert (await client.get("/v2/partitions/case/studies")).status_code == 400


async def test_a_service_without_partitions_does_not_pass_over_what_is_in_them(client, account):
    async with (
        served({"DICOM_STORAGE": account, "DICOM_API_VERSIONS": "v2"}) as running,
        httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as without,
    ):
        answer = await without.get("/v2/studies")
        assert answer.status_code == 503
        assert "DICOM_DATA_PARTITIONS" in answer.text
        assert (await without.get("/health/ready")).status_code == 503
        assert (await without.get("/v2/changefeed")).status_code == 503
    assert (await client.get("/health/ready")).status_code == 200


def test_every_row_that_reads_or_writes_data_is_served_below_partitions():
    """Feed, tags and operations are shared by all partitions; documents are about none."""
    shared = ("changefeed.", "querytags.", "operations.", "partitions.", "api.")
    for version in MANIFESTS.versions:
        outside = [row.handler for row in version.rows if not row.partitioned]
        assert all(handler.startswith(shared) for handler in outside), outside
