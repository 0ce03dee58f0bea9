"""Which version answers what, and what every answer below a version says about versions (contract section a)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import httpx
import pytest
import yaml
from openapi_spec_validator import OpenAPIV30SpecValidator

from tests.support.clients import (
    DICOM_JSON,
    SUPPORTED,
    VERSIONS,
    failure_reasons,
    head_of,
    made,
    new_uid,
    raw,
    related,
    related_type,
    store,
    stored_items,
)
from tests.support.served import Service, started
from tests.support.storage import fresh_account
from tests.support.versions import DEPRECATED, MANIFESTS, behaves, is_known, of, spellings

pytestmark = [pytest.mark.served, pytest.mark.azurite]

NOWHERE = "v7999"
SPELLINGS = {text: version.label.text for version in MANIFESTS.versions for text in spellings(version.label)}


def retrieve_urls(answer: httpx.Response) -> list[str]:
    return [item["00081190"]["Value"][0] for item in stored_items(answer.json())]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_spelling_reaches_its_version_and_is_kept_in_urls(client, service, spelling):
    instance = made(patient_id="")
    answer = await store(client, f"/{spelling}", [instance.content])
    if behaves(SPELLINGS[spelling], patient_id="must_have_a_value"):
        assert (answer.status_code, failure_reasons(answer.json())) == (409, [43264])
        instance = made()
        answer = await store(client, f"/{spelling}", [instance.content], instance.study_uid)
        assert answer.json()["00081190"]["Value"] == [f"{service.url}/{spelling}/studies/{instance.study_uid}"]
    assert retrieve_urls(answer) == [f"{service.url}/{spelling}{instance.path}"]
    assert answer.headers["api-supported-versions"] == SUPPORTED
    assert (await client.get(retrieve_urls(answer)[0])).status_code == 200


async def test_urls_carry_the_host_the_caller_used(client, version):
    instance = made()
    answer = await store(client, f"/{version}", [instance.content], Host="pacs.example.org:8443")
    assert retrieve_urls(answer) == [f"http://pacs.example.org:8443/{version}{instance.path}"]


async def test_paths_ignore_case_and_a_trailing_slash(client, version):
    instance = made()
    await store(client, f"/{version}", [instance.content])
    for path in (f"{instance.path}/metadata/", f"{instance.path}/METADATA".replace("/studies", "/Studies")):
        assert (await client.get(f"/{version}{path}")).status_code == 200


UNKNOWN = ["v3", "v0", "v2.1", "v1beta", "v2-prerelease", "v1.1", "v2024-01-01", "v99.9-x", NOWHERE]


@pytest.mark.parametrize("text", [text for text in UNKNOWN if not is_known(text)])
async def test_a_version_that_does_not_exist_is_400_json(client, text):
    for answer in (
        await client.get(f"/{text}/studies/{new_uid()}?secret=1"),
        await client.get(f"/{text}/studies/{new_uid()}", headers={"Accept": "image/png"}),
        await store(client, f"/{text}", [made().content]),
    ):
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.headers["api-supported-versions"] == SUPPORTED
        error = answer.json()["error"]
        assert error["code"] == "UnsupportedApiVersion"
        assert text.removeprefix("v") in error["message"]
        assert "secret" not in error["message"]


@pytest.mark.parametrize("text", ["vX", "vfoo", "v", "v1-", "v1.0.0", "v-1", "1", "2.0", "version1", "v1 ", "v१"])
async def test_a_segment_that_is_no_version_is_404_without_version_headers(client, text):
    answer = await client.get(f"/{text}/studies/{new_uid()}")
    assert answer.status_code == 404
    assert "api-supported-versions" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/studies", "/studies/1.2", "/partitions/a/studies", "/api.yaml", "/v2/../studies/1.2"]
)
async def test_no_version_is_404(client, path):
    answer = await client.get(path)
    assert answer.status_code == 404
    assert "api-supported-versions" not in answer.headers


async def test_an_unknown_path_is_404_with_body_and_version_headers(client, version):
    for path in ("", "/", "/nothing", "/studies/1.2/what", "/studies/1.2/series/1.3/what"):
        answer = await client.get(f"/{version}{path}")
        assert answer.status_code == 404
        assert answer.text
        assert answer.headers["api-supported-versions"] == SUPPORTED


STUDY, SERIES = "/studies/{studyInstanceUid}", "/studies/{studyInstanceUid}/series/{seriesInstanceUid}"


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("PUT", "/studies", "/studies"),
        ("PATCH", "/studies", "/studies"),
        ("PUT", "/studies/1.2", STUDY),
        ("POST", "/studies/1.2/metadata", f"{STUDY}/metadata"),
        ("PATCH", "/studies/1.2/series/1.3", SERIES),
        ("POST", "/api.yaml", "/api.yaml"),
    ],
)
async def test_another_method_is_405_with_allow_body_and_version_headers(client, version, method, path, template):
    document = (await client.get(f"/{version}/api.json")).json()
    (item,) = [item for found, item in document["paths"].items() if found.removeprefix(f"/{version}") == template]
    allow = sorted(name.upper() for name in item if name in ("get", "post", "put", "patch", "delete"))
    assert allow
    assert method not in allow
    answer = await client.request(method, f"/{version}{path}", content=b"x" * 1000)
    assert (answer.status_code, answer.headers["allow"]) == (405, ", ".join(allow))
    assert method in answer.text
    assert answer.headers["api-supported-versions"] == SUPPORTED


async def test_every_answer_below_a_version_carries_the_headers(client, version):
    instance = made()
    root, dicom = f"/{version}", {"Content-Type": "application/dicom"}
    answers = {
        200: await client.post(f"{root}/studies", content=instance.content, headers=dicom),
        204: await client.post(f"{root}/studies", content=b"", headers=dicom),
        409: await client.post(f"{root}/studies", content=instance.content, headers=dicom),
        400: await client.get(f"{root}/studies/abc"),
        404: await client.get(f"{root}/studies/{new_uid()}"),
        405: await client.put(f"{root}/studies"),
        406: await client.get(f"{root}{instance.path}", headers={"Accept": "image/png"}),
        415: await client.post(f"{root}/studies", content=b"x", headers={"Content-Type": "text/plain"}),
    }
    etag = (await client.get(f"{root}{instance.path}/metadata")).headers["etag"]
    answers[304] = await client.get(f"{root}{instance.path}/metadata", headers={"If-None-Match": etag})
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["api-supported-versions"] == SUPPORTED
        assert answer.headers.get("api-deprecated-versions", "") == DEPRECATED
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert answer.headers["content-security-policy"] == "frame-src 'self';"


async def test_unversioned_answers_carry_none(client):
    for path in ("/health/live", "/health/ready", "/health/check"):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert "api-supported-versions" not in answer.headers


async def test_the_document_is_valid_and_the_same_in_both_forms(client, version):
    as_yaml = await client.get(f"/{version}/api.yaml")
    as_json = await client.get(f"/{version}/api.json")
    assert as_yaml.headers["content-type"].startswith("text/yaml")
    assert as_json.headers["content-type"].startswith("application/json")
    document = yaml.safe_load(as_yaml.text)
    assert document == as_json.json()
    assert list(OpenAPIV30SpecValidator(document).iter_errors()) == []
    assert document["info"]["version"] == version.removeprefix("v")


async def test_both_spellings_of_the_prerelease_have_the_same_document(client):
    documents = [(await client.get(f"/{text}/api.json")).content for text in ("v1-prerelease", "v1.0-prerelease")]
    assert documents[0] == documents[1]


async def test_documents_differ_where_versions_differ(client):
    documents = {label: (await client.get(f"/{label}/api.json")).json() for label in VERSIONS}
    told = {
        label: document["info"].get("x-behaviours") or document.get("x-behaviours")
        for label, document in documents.items()
    }
    assert all(told.values())
    for one, other in itertools.combinations(VERSIONS, 2):
        assert (told[one] == told[other]) == (of(one).behaviours == of(other).behaviours)


async def test_what_is_answered_is_documented(client, version):
    """Each status seen here is in the document, and so is its media type."""
    document = (await client.get(f"/{version}/api.json")).json()
    seen = [one async for one in _observed(client, f"/{version}")]
    assert {answer.status_code for _, answer in seen} >= {200, 204, 304, 400, 404, 406, 409, 415}
    for path, answer in seen:
        (operation,) = [
            item[answer.request.method.lower()]
            for template, item in document["paths"].items()
            if template.endswith(path) and "partitions" not in template
        ]
        responses = operation["responses"]
        assert str(answer.status_code) in responses, (path, answer.status_code)
        if answer.content:
            described = _resolved(document, responses[str(answer.status_code)])
            assert answer.headers["content-type"].partition(";")[0] in {
                kind.partition(";")[0] for kind in described["content"]
            }


async def _observed(client, root):
    """Path template and answer of calls that bring out many statuses."""
    instance = made()
    dicom = {"Content-Type": "application/dicom"}
    study = "/studies/{studyInstanceUid}"
    single = study + "/series/{seriesInstanceUid}/instances/{sopInstanceUid}"
    for content, headers in (
        (instance.content, dicom),
        (instance.content, dicom),
        (b"", dicom),
        (b"x", {"Content-Type": "text/plain"}),
        (b"x", {**dicom, "Accept": "image/png"}),
        (b"x", {"Content-Type": 'multipart/related; boundary="b"'}),
        (related([made().content, b"x"]), {"Content-Type": related_type()}),
    ):
        yield "/studies", await client.post(f"{root}/studies", content=content, headers=headers)
    yield study, await client.post(f"{root}/studies/{new_uid()}", content=instance.content, headers=dicom)
    for accept in ("*/*", 'multipart/related; type="application/dicom"', "application/dicom", "image/png"):
        yield study, await client.get(f"{root}/studies/{instance.study_uid}", headers={"Accept": accept})
        yield single, await client.get(f"{root}{instance.path}", headers={"Accept": accept})
    yield study, await client.get(f"{root}/studies/abc")
    yield single, await client.get(f"{root}{made().path}")
    metadata = await client.get(f"{root}{instance.path}/metadata")
    yield f"{single}/metadata", metadata
    etag = {"If-None-Match": metadata.headers["etag"]}
    yield f"{single}/metadata", await client.get(f"{root}{instance.path}/metadata", headers=etag)
    yield f"{study}/metadata", await client.get(f"{root}/studies/{new_uid()}/metadata")


def _resolved(document, node):
    if "$ref" not in node:
        return node
    _, _, group, name = node["$ref"].split("/")
    return document["components"][group][name]


@pytest.fixture(scope="module")
def partitioned(azurite) -> Iterator[Service]:
    """A host that serves version 2 only, with data partitions."""
    account = fresh_account(azurite.connection_string)
    settings = {"DICOM_STORAGE": account, "DICOM_DATA_PARTITIONS": "on", "DICOM_API_VERSIONS": "v2"}
    with started(settings) as running:
        yield running


@pytest.fixture(scope="module")
async def partition_client(partitioned):
    async with httpx.AsyncClient(base_url=partitioned.url, timeout=30, trust_env=False) as opened:
        yield opened


async def test_an_app_for_one_version_serves_that_one_and_headers_name_all(partition_client):
    instance = made()
    answer = await store(partition_client, "/v2/partitions/one", [instance.content])
    assert (answer.status_code, answer.headers["api-supported-versions"]) == (200, SUPPORTED)
    for spelling in (text for text, label in SPELLINGS.items() if label != "v2"):
        other = await partition_client.get(f"/{spelling}/partitions/one{instance.path}")
        assert (other.status_code, other.headers["api-supported-versions"]) == (404, SUPPORTED)
    unknown = await partition_client.get(f"/{NOWHERE}/studies/1.2")
    assert (unknown.status_code, unknown.headers["api-supported-versions"]) == (400, SUPPORTED)


async def test_urls_carry_the_partition(partition_client, partitioned):
    instance = made()
    answer = await store(partition_client, "/V2.0/partitions/Ward-7_b.x", [instance.content])
    assert retrieve_urls(answer) == [f"{partitioned.url}/V2.0/partitions/Ward-7_b.x{instance.path}"]
    assert (await partition_client.get(retrieve_urls(answer)[0])).status_code == 200


async def test_the_same_uids_in_two_partitions_are_two_instances(partition_client):
    one = made()
    other = made(
        study_uid=one.study_uid,
        series_uid=one.series_uid,
        sop_instance_uid=one.sop_instance_uid,
        patient_name="Other^Patient",
    )
    for name, instance in (("left", one), ("right", other)):
        assert (await store(partition_client, f"/v2/partitions/{name}", [instance.content])).status_code == 200
    for name, instance in (("left", one), ("right", other)):
        headers = {"Accept": "application/dicom; transfer-syntax=*"}
        answer = await partition_client.get(f"/v2/partitions/{name}{one.path}", headers=headers)
        assert answer.content == instance.content


async def test_a_data_route_without_its_partition_is_400_and_so_is_an_unknown_or_impossible_one(partition_client):
    for path in (
        "/v2/studies/1.2",
        "/v2/partitions/nobody-made-it/studies/1.2",
        "/v2/partitions/a%20b/studies/1.2",
        "/v2/partitions/" + "a" * 65 + "/studies/1.2",
    ):
        answer = await partition_client.get(path)
        assert (answer.status_code, answer.headers["api-supported-versions"]) == (400, SUPPORTED)
    answer = await store(partition_client, "/v2", [made().content])
    assert answer.status_code == 400


async def test_partition_routes_are_400_where_partitions_are_off(client, version):
    assert (await client.get(f"/{version}/partitions/one/studies/1.2")).status_code == 400
    assert (await store(client, f"/{version}/partitions/one", [made().content])).status_code == 400


async def test_a_request_of_http_1_0_is_answered(service, version):
    head = head_of(service, f"/{version}/api.json", method="GET").replace(b"HTTP/1.1", b"HTTP/1.0")
    answer = await raw(service, head)
    assert answer.status == 200


async def test_json_is_what_errors_of_versions_are_whatever_is_accepted(client):
    for accept in (DICOM_JSON, "image/png", ""):
        answer = await client.get(f"/{NOWHERE}/studies", headers={"Accept": accept})
        assert answer.json()["error"]["code"] == "UnsupportedApiVersion"
