from __future__ import annotations

import functools
import json
from itertools import pairwise

import pytest
import yaml
from openapi_spec_validator import OpenAPIV30SpecValidator

from shared.api import browser, manifest, openapi
from shared.api.breaking import loading
from shared.api.endpoints import Service
from shared.api.params import Place
from tests.api import made
from tests.support import versions
from tests.support.clients import DICOM_JSON
from tests.support.documents import by_id, documents, examples_of, faults, operations, resolved, versioned
from tests.support.versions import LABELS

FAREWELL = {"Deprecation", "Sunset", "Link", "Warning"}
UNVERSIONED = {f"/{row.path}" for row in made.loaded().service.rows}
GUARDED, UNSERVED = {401, 403}, {404, 405, 410}


def documents_of(manifests):
    return {version.label.text: openapi.document(version, manifests) for version in manifests.versions}


@functools.cache
def bound():
    return made.bound()


def from_yaml(text):
    return yaml.load(text, Loader=yaml.CSafeLoader)


def endpoint_of(label, operation):
    """The function of an operation, of a version or outside any."""
    slug = label.replace(".", "_").replace("-", "_")
    return bound()[f"{'service' if operation.path in UNVERSIONED else slug}_{operation.id}"]


def is_open(operation):
    """Whether access control leaves it alone."""
    return operation.node.get("security") == []


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
def test_readers_of_yaml_1_2_take_no_tag_for_a_number(label):
    """PyYAML reads and writes YAML 1.1, to which 00081190 is a text."""
    document = documents()[label]
    assert "00081190" in document["components"]["schemas"]["StoreReport"]["properties"]
    assert loading.read(openapi.as_yaml(document)).root == json.loads(openapi.as_json(document))


@pytest.mark.parametrize("label", LABELS)
def test_paths_and_methods_are_those_that_are_served(label):
    served = {
        ("/" + endpoint.pattern.template.replace(endpoint.pattern.template.split("/")[0], label, 1), method.lower())
        for endpoint in bound().values()
        if endpoint.version == label and isinstance(endpoint.work, Service)
        for method in endpoint.methods
    }
    assert {(one.path, one.method) for one in versioned(documents()[label], label)} == served


def test_operations_outside_any_version_are_in_every_document():
    for label, document in documents().items():
        others = [one for one in operations(document) if one not in versioned(document, label)]
        assert {one.path for one in others} == UNVERSIONED
        assert all(is_open(one) for one in others)


@pytest.mark.parametrize("label", LABELS)
def test_operation_ids_are_unique_and_those_of_the_functions(label):
    found = list(operations(documents()[label]))
    assert len({one.id for one in found}) == len(found)
    served = {
        name
        for name, endpoint in bound().items()
        if (endpoint.version == label and isinstance(endpoint.work, Service)) or name.startswith("service_")
    }
    assert {endpoint_of(label, one).name for one in found} == served


@pytest.mark.parametrize("label", LABELS)
def test_parameters_are_those_the_front_door_reads(label):
    for operation in operations(documents()[label]):
        described = {(one["name"], one["in"]) for one in operation.parameters}
        read = {(one.name, one.place.value) for one in made.service(endpoint_of(label, operation)).parameters}
        if "partitionName" in operation.path:
            read.add(("partitionName", Place.PATH.value))
        assert described == read, operation.id


@pytest.mark.parametrize("label", LABELS)
def test_statuses_are_those_a_row_may_answer_and_those_that_are_met_before_it(label):
    for operation in operations(documents()[label]):
        before = set() if operation.path in UNVERSIONED else UNSERVED | (set() if is_open(operation) else GUARDED)
        expected = set(made.service(endpoint_of(label, operation)).statuses) | before
        assert {int(status) for status in operation.node["responses"]} == expected, operation.id


@pytest.mark.parametrize("label", LABELS)
def test_every_operation_says_what_it_is(label):
    document = documents()[label]
    tags = {one["name"]: one.get("description") for one in document["tags"]}
    for operation in operations(document):
        assert operation.node["summary"]
        assert all(tags[tag] for tag in operation.node["tags"]), operation.id
        assert all(one["description"] for one in operation.parameters)
        if not is_open(operation):
            assert operation.node["description"], operation.id


@pytest.mark.parametrize("label", LABELS)
def test_every_parameter_has_a_type_and_an_example_that_it_takes(label):
    document = documents()[label]
    for operation in operations(document):
        for parameter in operation.parameters:
            assert "type" in parameter["schema"]
            assert faults(document, parameter["schema"], parameter["example"]) == [], (operation.id, parameter["name"])


@pytest.mark.parametrize("label", LABELS)
def test_every_body_but_bytes_has_examples_that_fit_its_schema(label):
    document = documents()[label]
    for operation in operations(document):
        bodies = {status: response.get("content", {}) for status, response in operation.node["responses"].items()}
        bodies["request"] = operation.node.get("requestBody", {}).get("content", {})
        for status, contents in bodies.items():
            for media_type, content in contents.items():
                found = examples_of(document, content)
                where = (operation.id, status, media_type)
                assert found or content["schema"]["$ref"].endswith(("/Binary", "/Document")), where
                assert [faults(document, content["schema"], value) for value in found] == [[]] * len(found), where


@pytest.mark.parametrize("label", LABELS)
def test_a_value_that_breaks_its_schema_is_seen(label):
    """What the other tests say of examples means something."""
    document = documents()[label]
    datasets = {"$ref": "#/components/schemas/DicomDatasets"}
    for value, fits in (
        ([{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A"}, None]}}], True),
        ([{"00081199": {"vr": "SQ", "Value": [{}, {"00080060": {"vr": "CS", "Value": ["CT"]}}]}}], True),
        ([{"00280010": {"vr": "DS", "Value": [1, 0.5, "1.00000000000000001"]}}], True),
        ([{"00100010": {"vr": "PN", "Value": [{"Alphabetical": "A"}]}}], False),
        ([{"00100010": {"VR": "PN"}}], False),
        ([{"00081199": {"vr": "SQ", "Value": [[]]}}], False),
        ({}, False),
    ):
        assert (faults(document, datasets, value) == []) is fits, value


def test_store_reports_in_examples_are_those_of_the_version():
    for label, document in documents().items():
        store = by_id(document)["storeInstances"].node["responses"]
        values = {status: examples_of(document, store[status]["content"][DICOM_JSON]) for status in ("200", "202")}
        stored = [item for value in values["200"] for item in value["00081199"]["Value"]]
        assert stored
        says_more = versions.behaves(label, stored_item_attributes="always")
        assert all(("00741048" in item) is says_more for item in stored)
        warned = values[str(versions.warned_status(label))]
        assert any("00081196" in item for value in warned for item in value["00081199"]["Value"])


def test_search_results_in_examples_have_the_default_attributes_of_the_version():
    for label, document in documents().items():
        search = by_id(document)["searchSeriesOfStudy"].node["responses"]["200"]["content"][DICOM_JSON]
        ((match,),) = examples_of(document, search)
        assert {"0020000D", "0020000E", "00080060"} <= match.keys()
        assert ("00081090" in match) is versions.behaves(label, search_return_set="lean")
        assert "00100010" not in match


def test_a_token_is_optional_and_documents_need_none():
    for label, document in documents().items():
        assert document["security"] == [{}, {"bearer": []}]
        assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
        open_rows = {row.operation for row in versions.of(label).rows if row.handler.startswith("api.")}
        assert {one.id for one in versioned(document, label) if is_open(one)} == open_rows


def test_a_number_without_a_largest_one_has_64_bits():
    found = {one["name"]: one["schema"] for one in by_id(documents()["v1"])["getChangeFeed"].parameters}
    assert found["offset"] == {"type": "integer", "format": "int64", "minimum": 0, "default": 0}
    assert found["limit"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 10}


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
    found = by_id(documents()["v2"])[operation]
    assert set(found.node["responses"][status].get("content", {})) == media_types


def test_frames_are_described_with_their_list_and_all_their_media_types():
    found = by_id(documents()["v1"])["retrieveFrames"]
    (frames,) = [one for one in found.parameters if one["name"] == "frames"]
    assert (frames["in"], frames["required"], frames["schema"]["type"]) == ("path", True, "array")
    assert frames["schema"]["items"] == {"type": "integer", "minimum": 1}
    media_types = set(found.node["responses"]["200"]["content"])
    assert {"application/octet-stream", "multipart/related", "image/jp2", "image/jpeg", "image/jls"} <= media_types


def test_quality_is_described_with_its_limits():
    found = by_id(documents()["v2"])["retrieveRenderedFrame"]
    (quality,) = [one for one in found.parameters if one["name"] == "quality"]
    assert quality["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 100}


def test_every_answer_describes_the_headers_it_carries():
    always = {name for name, _ in browser.headers(made.arrival(), ())}
    always |= {"api-supported-versions", "api-deprecated-versions"}
    for operation in operations(documents()["v2"]):
        for response in operation.node["responses"].values():
            assert always <= set(response["headers"])


@pytest.mark.parametrize(
    ("operation", "status", "names"),
    [
        ("retrieveStudyMetadata", "200", {"ETag", "Vary", "Content-Encoding"}),
        ("retrieveStudyMetadata", "304", {"ETag"}),
        ("retrieveStudy", "200", {"Content-Type"}),
        ("retrieveStudy", "401", {"WWW-Authenticate"}),
        ("retrieveStudy", "405", {"Allow"}),
        ("retrieveStudy", "410", {"Link"}),
        ("retrieveStudy", "503", {"Retry-After"}),
        ("storeInstances", "202", {"Warning"}),
    ],
)
def test_headers_of_single_answers_are_described_with_an_example(operation, status, names):
    document = documents()["v2"]
    headers = by_id(document)[operation].node["responses"][status]["headers"]
    assert names <= set(headers)
    for name in names:
        header = resolved(document, headers[name])
        assert header["description"]
        assert faults(document, header["schema"], header["example"]) == []


def test_store_describes_both_forms_of_its_body():
    found = by_id(documents()["v1"])["storeInstancesInStudy"]
    assert set(found.node["requestBody"]["content"]) == {"multipart/related", "application/dicom"}


def test_the_three_documents_differ_in_label_stability_conduct_and_summary():
    prerelease, v1, v2 = (documents()[label] for label in ("v1.0-prerelease", "v1", "v2"))
    assert [one["info"]["version"] for one in (prerelease, v1, v2)] == ["1.0-prerelease", "1", "2"]
    assert [one["info"]["x-stability-level"] for one in (prerelease, v1, v2)] == ["prerelease", "stable", "stable"]
    assert prerelease["info"]["x-behaviours"] == v1["info"]["x-behaviours"]
    assert v1["info"]["x-behaviours"]["warned_store_status"] == "ok_200"
    assert v2["info"]["x-behaviours"]["warned_store_status"] == "accepted_202"
    assert prerelease["components"]["securitySchemes"] == v1["components"]["securitySchemes"]
    schemas = [one["components"]["schemas"] for one in (prerelease, v1, v2)]
    for before, after in pairwise(schemas):
        assert [name for name in before if before[name] != after.get(name)] == []
    assert schemas[1].keys() - schemas[0].keys() == {"ExportSpecification", "ExportContainer"}
    bare = [
        {path.removeprefix(f"/v{one['info']['version']}"): item for path, item in one["paths"].items()}
        for one in (prerelease, v1, v2)
    ]
    assert {path: bare[1][path] for path in bare[0]} == bare[0]
    assert bare[1].keys() - bare[0].keys() == {"/export", "/partitions/{partitionName}/export"}
    # The change feed has other parameters, and the same store other examples.
    differing = {path.removeprefix("/partitions/{partitionName}") for path in bare[1] if bare[1][path] != bare[2][path]}
    assert differing == {"/changefeed", "/studies", "/studies/{studyInstanceUid}"}
    assert bare[1].keys() <= bare[2].keys()
    assert {path.removeprefix("/partitions/{partitionName}") for path in bare[2].keys() - bare[1].keys()} == {
        "/studies/$bulkUpdate"
    }


def test_a_deprecated_version_says_so_at_every_operation(tmp_path):
    found = documents_of(manifest.load(made.folder(tmp_path, v1=made.deprecate)))
    for one in operations(found["v1"]):
        said = (one.node.get("deprecated"), one.node.get("x-sunset"))
        assert said == ((None, None) if one.path in UNVERSIONED else (True, "2028-01-02"))
    assert found["v2"] == documents_of(made.loaded())["v2"]
    assert list(OpenAPIV30SpecValidator(found["v1"]).iter_errors()) == []


def test_only_a_deprecated_version_describes_the_headers_about_its_end_and_at_every_answer(tmp_path):
    found = documents_of(manifest.load(made.folder(tmp_path, v1=made.deprecate)))
    for operation in versioned(found["v1"], "v1"):
        for response in operation.node["responses"].values():
            assert set(response["headers"]) >= FAREWELL
    described = found["v1"]["components"]["headers"]
    assert "several values" in described["Warning"]["description"]
    assert "deprecated" in described["Warning"]["description"]
    staying = found["v2"]["components"]["headers"]
    assert set(described) - set(staying) == {"Deprecation", "Sunset"}
    assert "deprecated" not in staying["Warning"]["description"]


def test_but_for_its_end_a_deprecated_document_is_the_same(tmp_path):
    document = documents_of(manifest.load(made.folder(tmp_path, v1=made.deprecate)))["v1"]
    for path, item in document["paths"].items():
        for operation in item.values() if path not in UNVERSIONED else ():
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
    endpoint = bound()[name]
    reply = await made.ask(endpoint, made.arrival(headers={"Accept": None}))
    again = await made.ask(endpoint, made.arrival())
    assert (reply.status, reply.media_type) == (200, media_type)
    assert from_yaml(made.whole(reply)) == documents()["v2"]
    assert again.body is reply.body
    assert made.headers_of(reply)["api-supported-versions"] == versions.SUPPORTED


def test_every_schema_and_header_of_the_document_is_used():
    for document in documents().values():
        text = json.dumps(document)
        for group, parts in document["components"].items():
            for name in parts.keys() - {"bearer"}:
                assert f'#/components/{group}/{name}"' in text
