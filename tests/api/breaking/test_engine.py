"""What belongs to what in two documents, and what is followed on the way."""

from __future__ import annotations

import copy
import itertools
import time
from typing import Any

import pytest

from shared.api.breaking import engine, walk
from shared.api.breaking.documents import Document, DocumentError
from shared.api.breaking.findings import Level
from tests.api.breaking import made

PET: dict[str, Any] = {
    "Pet": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "friend": {"$ref": "#/components/schemas/Pet"}},
    }
}


def schemas(pet):
    return {"schemas": {"Pet": pet}}


def with_pet(kind, pet, **more):
    return made.document(kind, {"$ref": "#/components/schemas/Pet"}, components=schemas(pet), **more)


def test_a_change_behind_a_cycle_of_references_is_found_once():
    changed = copy.deepcopy(PET["Pet"])
    changed["properties"]["name"]["type"] = "integer"
    (finding,) = made.found(with_pet("response", PET["Pet"]), with_pet("response", changed))
    assert finding.id == "response-type-changed"
    assert finding.path.endswith("/schema/properties/name/type")


def test_a_cycle_of_references_alone_says_nothing():
    assert made.ids(with_pet("response", PET["Pet"]), with_pet("response", {**PET["Pet"], "title": "T"})) == []


def test_a_schema_written_out_equals_its_reference():
    inline = {"type": "object", "properties": {"name": {"type": "string"}}}
    assert made.ids(made.document("response", inline), with_pet("response", inline)) == []


def test_a_component_that_changed_is_found_at_every_operation_that_uses_it():
    def document(type_):
        reference = {"$ref": "#/components/schemas/Pet"}
        operation = {
            "responses": {"200": {"description": "ok", "content": {"application/json": {"schema": reference}}}}
        }
        return made.document(
            "paths", {"/a": {"get": operation}, "/b": {"get": operation}}, components=schemas({"type": type_})
        )

    found = made.found(document("string"), document("integer"))
    assert [finding.operation for finding in found] == ["GET /a", "GET /b"]


def test_a_reference_is_followed_where_the_same_text_says_another_thing():
    """Nothing at the operation changed; what it refers to did."""
    base, revision = with_pet("response", {"type": "string"}), with_pet("response", {"type": "integer"})
    assert base["paths"] == revision["paths"]
    assert made.ids(base, revision) == ["response-type-changed"]


def test_parameters_of_a_path_hold_for_its_operations_and_theirs_win():
    shared = [{"name": "q", "in": "query", "schema": {"type": "string"}}]
    own = [{"name": "q", "in": "query", "schema": {"type": "integer"}}]
    base = made.document("paths", {"/a": {"get": {"parameters": own}}})
    revision = copy.deepcopy(base)
    revision["paths"]["/a"]["parameters"] = shared
    assert made.ids(base, revision) == []
    del revision["paths"]["/a"]["get"]["parameters"]
    assert made.ids(base, revision) == ["request-type-changed"]


def test_referred_parameters_bodies_responses_and_headers_are_followed():
    components = {
        "parameters": {"q": {"name": "q", "in": "query", "schema": {"type": "string"}}},
        "requestBodies": {"b": {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        "headers": {"h": {"schema": {"type": "string"}}},
        "responses": {"r": {"description": "ok", "headers": {"X-H": {"$ref": "#/components/headers/h"}}}},
    }
    operation = {
        "parameters": [{"$ref": "#/components/parameters/q"}],
        "requestBody": {"$ref": "#/components/requestBodies/b"},
        "responses": {"200": {"$ref": "#/components/responses/r"}},
    }
    base = made.document("operation", operation, components=components)
    for group, place in (("parameters", "request"), ("headers", "response")):
        revision = copy.deepcopy(base)
        next(iter(revision["components"][group].values()))["schema"] = {"type": "integer"}
        assert made.ids(base, revision) == [f"{place}-type-changed"]
    revision = copy.deepcopy(base)
    revision["components"]["requestBodies"]["b"]["content"]["text/plain"]["schema"] = {"type": "integer"}
    assert made.ids(base, revision) == ["request-type-changed"]


def test_servers_do_not_count():
    base = made.document("document", {"servers": [{"url": "/a"}]})
    assert made.ids(base, made.document("document", {"servers": [{"url": "/b"}]})) == []


def test_headers_that_openapi_leaves_to_others_do_not_count():
    base = made.document(
        "operation", {"parameters": [{"name": "Accept", "in": "header", "schema": {"type": "string"}}]}
    )
    assert made.ids(base, made.document("operation", {})) == []


def test_a_new_status_has_to_fit_what_was_said_of_the_others():
    """`default` spoke of 404 already."""

    def answers(**types):
        return {
            "responses": {
                status: {"description": "d", "content": {"text/plain": {"schema": {"type": type_}}}}
                for status, type_ in types.items()
            }
        }

    base = made.document("operation", answers(default="string"))
    fitting = {"responses": {**answers(default="string")["responses"], "404": answers(x="string")["responses"]["x"]}}
    other = {"responses": {**answers(default="string")["responses"], "404": answers(x="integer")["responses"]["x"]}}
    assert made.ids(base, made.document("operation", fitting)) == ["response-error-status-added"]
    assert made.ids(base, made.document("operation", other)) == ["response-error-status-added", "response-type-changed"]


def test_what_the_service_calls_sends_to_clients():
    """A request body of a webhook is received, its answer is sent."""

    def webhook(body, answer):
        operation = {
            "requestBody": {"content": {"application/json": {"schema": {"type": body}}}},
            "responses": {"200": {"description": "d", "content": {"application/json": {"schema": {"type": answer}}}}},
        }
        return made.document("document", {"webhooks": {"w": {"post": operation}}}, openapi="3.1.0")

    base = webhook("integer", "number")
    assert made.ids(base, webhook("number", "number")) == ["response-type-widened"]
    assert made.ids(base, webhook("integer", "integer")) == ["request-type-narrowed"]


def test_a_security_scheme_may_change_its_name():
    base = made.document("operation", {"security": [{"key": []}]})
    revision = copy.deepcopy(base)
    schemes = revision["components"]["securitySchemes"]
    schemes["another"] = schemes.pop("key")
    revision["paths"]["/things"]["get"]["security"] = [{"another": []}]
    assert made.ids(base, revision) == []


def test_security_of_the_document_holds_for_operations_that_say_nothing():
    base = made.document("operation", {})
    revision = copy.deepcopy(base)
    revision["security"] = [{"key": []}]
    assert made.ids(base, revision) == ["security-required", "security-required"]
    revision["paths"]["/things"]["get"]["security"] = []
    revision["paths"]["/fixed"]["get"]["security"] = [{}]
    assert made.ids(base, revision) == []


def test_a_document_of_3_0_equals_its_translation_to_3_1():
    old = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "nullable": True},
            "b": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
            "c": {"type": "number", "maximum": 9, "exclusiveMaximum": True},
            "d": {"enum": ["x"], "type": "string"},
            "e": {"nullable": True, "allOf": [{"$ref": "#/components/schemas/Pet"}]},
            "f": {"type": "string", "format": "byte"},
        },
    }
    new = {
        "type": "object",
        "properties": {
            "a": {"type": ["string", "null"]},
            "b": {"type": "integer", "exclusiveMinimum": 0},
            "c": {"type": "number", "exclusiveMaximum": 9},
            "d": {"const": "x"},
            "e": {"anyOf": [{"$ref": "#/components/schemas/Pet"}, {"type": "null"}]},
            "f": {"type": "string", "contentEncoding": "base64"},
        },
    }
    for kind in ("request", "response"):
        base = made.document(kind, old, components=schemas({"type": "object"}))
        revision = made.document(kind, new, openapi="3.1.0", components=schemas({"type": "object"}))
        assert made.ids(base, revision) == []
        assert made.ids(revision, base) == []


def test_what_stands_beside_a_reference_counts_in_3_1_only():
    beside = {"$ref": "#/components/schemas/Pet", "maxLength": 5}
    for openapi, found in (("3.0.3", []), ("3.1.0", ["request-max-length-set"])):
        base = with_pet("request", {"type": "string"}, openapi=openapi)
        revision = made.document("request", beside, openapi=openapi, components=schemas({"type": "string"}))
        assert made.ids(base, revision) == found


def test_order_is_worst_first_and_the_same_every_time():
    base = made.document("operation", {"operationId": "a", "tags": ["x"], "parameters": []})
    revision = made.document(
        "operation", {"operationId": "b", "tags": ["y"], "parameters": [{"name": "n", "in": "query", "schema": {}}]}
    )
    first = made.found(base, revision)
    assert [finding.level for finding in first] == sorted((one.level for one in first), key=list(Level).index)
    assert made.found(copy.deepcopy(base), copy.deepcopy(revision)) == first


@pytest.mark.parametrize(
    "part",
    [
        {"paths": []},
        {"paths": {"/a": {"get": []}}},
        {"paths": {"/a": {"get": {"parameters": {}}}}},
        {"paths": {"/a": {"get": {"parameters": [{"name": "q"}]}}}},
        {"paths": {"/a": {"get": {"parameters": [{"$ref": "#/nowhere"}]}}}},
        {"paths": {"/a": {"get": {"responses": {"200": {"$ref": "other.yaml#/a"}}}}}},
        {"paths": {"/a": {"get": {"responses": {"200": {"$ref": "#/paths/~1a/get/responses/200"}}}}}},
        {"paths": {"/a": {"get": {"security": [1]}}}},
        {"paths": {"/a/{x}": {"get": {}}, "/a/{y}": {"get": {}}}},
        {"paths": {"/a": {"get": {"requestBody": {"content": {"a/b": {"schema": 5}}}}}}},
        {"info": "text"},
    ],
    ids=str,
)
def test_a_document_of_the_wrong_form_is_refused_with_a_sentence(part):
    broken = Document({"openapi": "3.0.3", **part})
    with pytest.raises(DocumentError):
        engine.compare(Document({"openapi": "3.0.3"}), broken)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "texts"},
        {"type": 5},
        {"maximum": "5"},
        {"enum": "a"},
        {"required": "a"},
        {"required": [1]},
        {"properties": []},
        {"properties": {"a": 5}},
        {"allOf": {}},
        {"oneOf": []},
        {"anyOf": [5]},
        {"items": [{}]},
        {"pattern": 5},
        {"$ref": "#/components/schemas/Nobody"},
        {"patternProperties": {"a": 1}},
    ],
    ids=str,
)
def test_a_schema_of_the_wrong_form_is_refused_with_a_sentence(schema):
    base = Document(made.document("request", {"type": "object", "properties": {"a": {"type": "string"}}}))
    with pytest.raises(DocumentError):
        engine.compare(base, Document(made.document("request", schema)))


def test_a_comparison_that_is_cut_short_promises_nothing(monkeypatch):
    monkeypatch.setattr(walk, "_PLACE_LIMIT", 1)
    base = made.document("request", {"type": "array", "items": {"type": "array", "items": {"type": "string"}}})
    revision = made.document("request", {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}})
    (finding,) = made.found(base, revision)
    assert (finding.id, finding.level) == ("comparison-cut-short", Level.ERR)


def test_a_chain_of_references_longer_than_python_calls_is_followed():
    def chain(last):
        names = [f"S{number}" for number in range(1100)]
        found = {
            name: {"allOf": [{"$ref": f"#/components/schemas/{after}"}]} for name, after in itertools.pairwise(names)
        }
        found[names[-1]] = {"type": last}
        return made.document("response", {"$ref": "#/components/schemas/S0"}, components={"schemas": found})

    assert made.ids(chain("string"), chain("integer")) == ["response-type-changed"]


def test_properties_deeper_than_python_calls_are_followed():
    def chain(last):
        found = {
            f"S{number}": {"type": "object", "properties": {"p": {"$ref": f"#/components/schemas/S{number + 1}"}}}
            for number in range(1100)
        }
        found["S1100"] = {"type": last}
        return made.document("response", {"$ref": "#/components/schemas/S0"}, components={"schemas": found})

    assert made.ids(chain("string"), chain("integer")) == ["response-type-changed"]


def test_choices_that_multiply_come_to_an_end():
    """Each of thirty schemas may be one of two others: a billion alternatives when written out."""

    def tower(last):
        found = {
            f"S{number}": {
                "oneOf": [
                    {"allOf": [{"$ref": f"#/components/schemas/S{number + 1}"}, {"title": word}]} for word in ("a", "b")
                ]
            }
            for number in range(30)
        }
        found["S30"] = {"type": last}
        return made.document("response", {"$ref": "#/components/schemas/S0"}, components={"schemas": found})

    began = time.process_time()
    assert made.ids(tower("string"), tower("integer")) == ["schema-undecided"]
    assert time.process_time() - began < 5


def test_trees_that_refer_to_each_other_everywhere_come_to_an_end():
    """Twenty schemas of which each has each as a property: endless when written out."""

    def web(last):
        names = [f"S{number}" for number in range(20)]
        found: dict[str, Any] = {
            name: {"type": "object", "properties": {to: {"$ref": f"#/components/schemas/{to}"} for to in names}}
            for name in names
        }
        found["S19"]["properties"]["end"] = {"type": last}
        return made.document("response", {"$ref": "#/components/schemas/S0"}, components={"schemas": found})

    assert made.ids(web("string"), web("integer")) == ["response-type-changed"]
