"""What the service answers is what its documents say: statuses, media types, bodies, headers; each version in turn."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import yaml

from shared.api.about import docs
from tests.support.clients import DICOM_JSON, Made, store
from tests.support.documents import Node, Operation, documents, faults, operations, resolved
from tests.support.images import shipped
from tests.support.versions import LABELS
from tests.worklist.made import body, workitem

# Of HTTP itself; no document describes them.
OF_HTTP = {"content-length", "content-type", "date", "keep-alive", "connection", "server", "transfer-encoding"}
NO_PARTITIONS = 400
WORKITEM = "2.25.2001"
SLOWEST_SECONDS = 60.0
# One for each version: the three share a store, and so their tags.
TAGS = ("Occupation", "EthnicGroup", "MilitaryRank", "BranchOfService", "PatientReligiousPreference")


def values_of(instance: Made) -> dict[str, str]:
    """What placeholders stand for; others have the example of the document."""
    return {
        "studyInstanceUid": instance.study_uid,
        "seriesInstanceUid": instance.series_uid,
        "sopInstanceUid": instance.sop_instance_uid,
        "frames": "1",
        "frame": "1",
        "asset": next(asset.name for asset in docs.assets().values()),
    }


def path_of(operation: Operation, values: dict[str, str]) -> str:
    path = operation.path
    for parameter in operation.parameters:
        if parameter["in"] == "path":
            value = values.get(parameter["name"], parameter.get("example"))
            path = path.replace("{" + parameter["name"] + "}", str(value))
    return path


def expect_as_documented(document: Node, operation: Operation, answer: httpx.Response) -> None:
    where = f"{operation.method} {answer.request.url.path} ({operation.id}) answered {answer.status_code}"
    assert str(answer.status_code) in operation.node["responses"], where
    response = operation.node["responses"][str(answer.status_code)]
    described = {name.lower() for name in response["headers"]}
    assert set(answer.headers) - OF_HTTP <= described, where
    for name, reference in response["headers"].items():
        if name in answer.headers:
            header = resolved(document, reference)["schema"]
            value = int(answer.headers[name]) if header["type"] == "integer" else answer.headers[name]
            assert faults(document, header, value) == [], (where, name)
    contents = response.get("content", {})
    if not contents:
        assert answer.content == b"", where
        return
    media_type = answer.headers["Content-Type"].partition(";")[0]
    assert media_type in contents, (where, media_type)
    assert faults(document, contents[media_type]["schema"], value_of(media_type, answer)) == [], where


def value_of(media_type: str, answer: httpx.Response) -> object:
    """A body as its schema speaks of it; bytes are any text."""
    if media_type.endswith("json"):
        return answer.json()
    if media_type == "text/yaml":
        return yaml.load(answer.text, yaml.CSafeLoader)
    return answer.text if media_type.startswith("text/") else "bytes"


@pytest.fixture(scope="module")
async def picture(client: httpx.AsyncClient) -> Made:
    """An instance with a frame that can be drawn."""
    return shipped("CT_small.dcm")


async def tag_and_operation(client: httpx.AsyncClient, version: str) -> dict[str, str]:
    """A tag that can be searched for, and the operation that indexed what was stored, for paths."""
    tag = TAGS[LABELS.index(version) % len(TAGS)]
    begun = await client.post(f"/{version}/extendedquerytags", json=[{"path": tag, "level": "Study"}])
    assert begun.status_code == 202, begun.text
    for _ in range(300):
        if (await client.get(begun.headers["Location"])).status_code == 200:
            break
        await asyncio.sleep(0.2)
    return {"tagPath": tag, "operationId": begun.json()["id"]}


async def test_every_get_answers_as_the_document_says(client, version, picture):
    document = documents()[version]
    stored = await store(client, f"/{version}", [picture.content])
    assert stored.status_code in (200, 202, 409)
    made = await client.post(
        f"/{version}/workitems?{WORKITEM}", content=body(workitem()), headers={"Content-Type": DICOM_JSON}
    )
    assert made.status_code in (201, 409)
    values = {**values_of(picture), **await tag_and_operation(client, version), "workitemInstanceUid": WORKITEM}
    seen = set()
    for operation in operations(document):
        if operation.method != "get":
            continue
        path = path_of(operation, values)
        answer = await client.get(path, params=wanted(operation), timeout=SLOWEST_SECONDS)
        expect_as_documented(document, operation, answer)
        expected = NO_PARTITIONS if "/partitions" in path else 200
        assert answer.status_code == expected, (operation.id, answer.text[:200])
        seen.add(operation.id)
    assert {"searchStudies", "retrieveFrames", "getLatestChange", "checkHealth", "retrieveStudyInPartition"} <= seen


def wanted(operation: Operation) -> dict[str, str]:
    """Queries without which an operation has nothing to answer."""
    return {one["name"]: str(one["example"]) for one in operation.parameters if one["name"] in ("from", "to")}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=1", 200),
        ("Limit=1&OFFSET=0&fuzzyMatching=false&includefield=all", 200),
        ("LIMIT=0", 400),
        ("Offset=999999", 204),
        ("includefield=PatientName&accept=application/json", 200),
        ("accept=text/html", 406),
    ],
)
async def test_parameters_are_read_in_any_case(client, version, picture, query, status):
    document = documents()[version]
    await store(client, f"/{version}", [picture.content])
    found = next(one for one in operations(document) if one.id == "searchStudies")
    headers = {"Accept": "text/html"} if status == 406 else {}
    answer = await client.get(f"/{version}/studies?{query}", headers=headers)
    assert answer.status_code == status
    expect_as_documented(document, found, answer)


async def test_what_writes_answers_as_the_document_says(client, version):
    document = documents()[version]
    found = {one.id: one for one in operations(document)}
    root, instance, refused = f"/{version}", shipped("CT_small.dcm"), b"no DICOM file"
    for content, status in ((instance.content, (200, 202)), (instance.content, (409,)), (refused, (409,))):
        answer = await store(client, root, [content])
        assert answer.status_code in status
        expect_as_documented(document, found["storeInstances"], answer)
    answer = await store(client, root, [refused], study_uid=instance.study_uid)
    expect_as_documented(document, found["storeInstancesInStudy"], answer)
    answer = await client.post(f"{root}/studies", content=b"a", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    expect_as_documented(document, found["storeInstances"], answer)
    unchanged = await client.get(f"{root}/studies/{instance.study_uid}/metadata", headers={"Accept": DICOM_JSON})
    tag = {"If-None-Match": unchanged.headers["ETag"]}
    answer = await client.get(f"{root}/studies/{instance.study_uid}/metadata", headers=tag)
    assert answer.status_code == 304
    expect_as_documented(document, found["retrieveStudyMetadata"], answer)
    for operation, deleted in (("deleteInstance", 204), ("deleteSeries", 404), ("deleteStudy", 404)):
        answer = await client.delete(path_of(found[operation], values_of(instance)))
        assert answer.status_code == deleted
        expect_as_documented(document, found[operation], answer)
