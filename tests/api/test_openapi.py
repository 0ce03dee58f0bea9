from __future__ import annotations

import functools
import json

import pytest
import yaml
from openapi_spec_validator import OpenAPIV30SpecValidator

from shared.api import manifest, openapi, pipeline
from shared.api.params import Place
from tests.api import made

LABELS = ("v1.0-prerelease", "v1", "v2")
FAREWELL = {"Deprecation", "Sunset", "Link", "Warning"}


@functools.cache
def documents():
    return documents_of(made.loaded())


def documents_of(manifests):
    return {version.label.text: openapi.document(version, manifests) for version in manifests.versions}


def from_yaml(text):
    return yaml.load(text, Loader=yaml.CSafeLoader)


def operations(document):
    """Path, method and operation, the responses of the operation being looked up."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            responses = {status: resolved(document, one) for status, one in operation["responses"].items()}
            yield path, method, {**operation, "responses": responses}


def resolved(document, node):
    if "$ref" not in node:
        return node
    _, _, group, name = node["$ref"].split("/")
    return document["components"][group][name]


@pytest.mark.parametrize("label", LABELS)
def test_the_document_is_valid(label):
    document = documents()[label]
    assert list(OpenAPIV30SpecValidator(document).iter_errors()) == []


@pytest.mark.parametrize("label", LABELS)
def test_yaml_and_json_are_the_same_document(label):
    document = documents()[label]
    assert from_yaml(openapi.as_yaml(document)) == json.loads(openapi.as_json(document)) == document


@pytest.mark.parametrize("label", LABELS)
def test_keys_are_sorted_and_nothing_is_an_anchor(label):
    written = openapi.as_yaml(documents()[label]).decode()
    assert [line for line in written.splitlines() if line[:1].isalpha()] == sorted(
        line for line in written.splitlines() if line[:1].isalpha()
    )
    assert "&id" not in written


def test_two_writings_are_equal():
    assert openapi.as_yaml(documents_of(made.loaded())["v2"]) == openapi.as_yaml(documents()["v2"])


@pytest.mark.parametrize("label", LABELS)
def test_paths_and_methods_are_those_that_are_served(label):
    served = {
        ("/" + endpoint.pattern.template.replace(endpoint.pattern.template.split("/")[0], label, 1), method.lower())
        for endpoint in made.bound().values()
        if endpoint.version == label and endpoint.operation != "fallback"
        for method in endpoint.methods
    }
    assert {(path, method) for path, method, _ in operations(documents()[label])} == served


@pytest.mark.parametrize("label", LABELS)
def test_operation_ids_are_unique_and_those_of_the_functions(label):
    slug = label.replace(".", "_").replace("-", "_")
    names = [f"{slug}_{operation['operationId']}" for _, _, operation in operations(documents()[label])]
    assert len(set(names)) == len(names)
    assert set(names) == set(made.bound()) & {
        name for name in made.bound() if name.startswith(f"{slug}_") and (slug != "v1" or "v1_0" not in name)
    }


def test_parameters_are_those_the_front_door_reads():
    document = documents()["v2"]
    for path, method, operation in operations(document):
        endpoint = made.bound()[f"v2_{operation['operationId']}"]
        described = {(one["name"], one["in"]) for one in operation.get("parameters", [])}
        read = {(one.name, one.place.value) for one in made.service(endpoint).parameters}
        if "partitionName" in path:
            read.add(("partitionName", Place.PATH.value))
        assert described == read, (path, method)


def test_statuses_are_those_a_row_may_answer():
    for _, _, operation in operations(documents()["v1"]):
        endpoint = made.bound()[f"v1_{operation['operationId']}"]
        assert {int(status) for status in operation["responses"]} == set(made.service(endpoint).statuses)


@pytest.mark.parametrize(
    ("operation", "status", "media_types"),
    [
        ("storeInstances", "200", {"application/dicom+json", "application/json"}),
        ("storeInstances", "409", {"application/dicom+json", "application/json"}),
        ("storeInstances", "204", set()),
        ("storeInstances", "415", {"text/plain"}),
        ("retrieveStudy", "200", {"multipart/related"}),
        ("retrieveInstance", "200", {"multipart/related", "application/dicom"}),
        ("retrieveRenderedInstance", "200", {"image/jpeg", "image/png"}),
        ("retrieveRenderedFrame", "200", {"image/jpeg", "image/png"}),
        ("retrieveRenderedFrame", "406", {"text/plain"}),
        ("retrieveInstanceMetadata", "304", set()),
        ("retrieveInstanceMetadata", "200", {"application/dicom+json", "application/json"}),
        ("getChangeFeed", "200", {"application/json"}),
        ("getLatestChange", "204", set()),
        ("getOpenApi", "200", {"text/yaml"}),
        ("getOpenApiJson", "200", {"application/json"}),
    ],
)
def test_bodies_of_answers_are_described_by_media_type(operation, status, media_types):
    found = {one["operationId"]: one for _, _, one in operations(documents()["v2"])}[operation]
    assert set(found["responses"][status].get("content", {})) == media_types


def test_frames_are_described_with_their_list_and_all_their_media_types():
    found = {one["operationId"]: one for _, _, one in operations(documents()["v1"])}["retrieveFrames"]
    (frames,) = [one for one in found["parameters"] if one["name"] == "frames"]
    assert (frames["in"], frames["required"], frames["schema"]["type"]) == ("path", True, "array")
    assert frames["schema"]["items"] == {"type": "integer", "minimum": 1}
    media_types = set(found["responses"]["200"]["content"])
    assert {"application/octet-stream", "multipart/related", "image/jp2", "image/jpeg", "image/jls"} <= media_types


def test_quality_is_described_with_its_limits():
    found = {one["operationId"]: one for _, _, one in operations(documents()["v2"])}["retrieveRenderedFrame"]
    (quality,) = [one for one in found["parameters"] if one["name"] == "quality"]
    assert quality["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 100}


def test_every_answer_describes_the_headers_it_carries():
    always = {name for name, _ in pipeline.BASE_HEADERS} | {"api-supported-versions", "api-deprecated-versions"}
    found = {one["operationId"]: one for _, _, one in operations(documents()["v2"])}
    for operation in found.values():
        for response in operation["responses"].values():
            assert always <= set(response["headers"])
    assert "ETag" in found["retrieveStudyMetadata"]["responses"]["200"]["headers"]
    assert "Retry-After" in found["retrieveStudy"]["responses"]["503"]["headers"]
    assert "Warning" in found["storeInstances"]["responses"]["202"]["headers"]


def test_store_describes_both_forms_of_its_body():
    found = {one["operationId"]: one for _, _, one in operations(documents()["v1"])}
    assert set(found["storeInstancesInStudy"]["requestBody"]["content"]) == {"multipart/related", "application/dicom"}


def test_the_three_documents_differ_in_label_stability_conduct_and_summary():
    prerelease, v1, v2 = (documents()[label] for label in LABELS)
    assert [one["info"]["version"] for one in (prerelease, v1, v2)] == ["1.0-prerelease", "1", "2"]
    assert [one["info"]["x-stability-level"] for one in (prerelease, v1, v2)] == ["prerelease", "stable", "stable"]
    assert prerelease["info"]["x-behaviours"] == v1["info"]["x-behaviours"]
    assert v1["info"]["x-behaviours"]["warned_store_status"] == "ok_200"
    assert v2["info"]["x-behaviours"]["warned_store_status"] == "accepted_202"
    assert prerelease["components"] == v1["components"] == v2["components"]
    bare = [{path.split("/", 2)[2]: item for path, item in one["paths"].items()} for one in (prerelease, v1, v2)]
    assert bare[0] == bare[1]
    # The change feed has other parameters.
    assert [path for path in bare[1] if bare[1][path] != bare[2][path]] == ["changefeed"]
    assert bare[1].keys() == bare[2].keys()


def test_a_deprecated_version_says_so_at_every_operation(tmp_path):
    found = documents_of(manifest.load(made.folder(tmp_path, v1=made.deprecate)))
    assert all(one["deprecated"] is True and one["x-sunset"] == "2028-01-02" for _, _, one in operations(found["v1"]))
    assert found["v2"] == documents()["v2"]
    assert list(OpenAPIV30SpecValidator(found["v1"]).iter_errors()) == []


def test_only_a_deprecated_version_describes_the_headers_about_its_end_and_at_every_answer(tmp_path):
    found = documents_of(manifest.load(made.folder(tmp_path, v1=made.deprecate)))
    for _, _, operation in operations(found["v1"]):
        for response in operation["responses"].values():
            assert set(response["headers"]) >= FAREWELL
    described = found["v1"]["components"]["headers"]
    assert "several values" in described["Warning"]["description"]
    assert "deprecated" in described["Warning"]["description"]
    staying = found["v2"]["components"]["headers"]
    assert set(described) - set(staying) == {"Deprecation", "Sunset", "Link"}
    assert "deprecated" not in staying["Warning"]["description"]


def test_but_for_its_end_a_deprecated_document_is_the_same(tmp_path):
    document = documents_of(manifest.load(made.folder(tmp_path, v1=made.deprecate)))["v1"]
    for item in document["paths"].values():
        for operation in item.values():
            assert (operation.pop("deprecated"), operation.pop("x-sunset")) == (True, "2028-01-02")
    before = json.loads(json.dumps(documents()["v1"]))
    for one in (document, before):
        del one["components"]["headers"]
        for item in one["paths"].values():
            for operation in item.values():
                for response in operation["responses"].values():
                    response.get("headers", {}).clear()
        for response in one["components"]["responses"].values():
            response["headers"].clear()
    assert document == before


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("v2_getOpenApi", "text/yaml; charset=utf-8"), ("v2_getOpenApiJson", "application/json; charset=utf-8")],
)
async def test_the_document_is_served_below_its_version_and_written_once(name, media_type):
    endpoint = made.bound()[name]
    reply = await made.ask(endpoint, made.arrival(headers={"Accept": None}))
    again = await made.ask(endpoint, made.arrival())
    assert (reply.status, reply.media_type) == (200, media_type)
    assert from_yaml(made.whole(reply)) == documents()["v2"]
    assert again.body is reply.body
    assert made.headers_of(reply)["api-supported-versions"] == "1.0-prerelease, 1, 2"


def test_every_schema_and_header_of_the_document_is_used():
    for document in documents().values():
        text = json.dumps(document)
        for group, parts in document["components"].items():
            for name in parts:
                assert f"#/components/{group}/{name}" in text
