"""allOf, oneOf, anyOf and not are compared by what they allow, not by how they are written."""

from __future__ import annotations

import pytest

from tests.api.breaking import made

CAT = {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string", "enum": ["cat"]}}}
DOG = {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string", "enum": ["dog"]}}}
COMPONENTS: dict[str, dict[str, object]] = {"schemas": {"Cat": CAT, "Dog": DOG, "Word": {"type": "string"}}}
REF_CAT, REF_DOG, REF_WORD = ({"$ref": f"#/components/schemas/{name}"} for name in ("Cat", "Dog", "Word"))

SAME = {
    "order of alternatives": ({"oneOf": [CAT, DOG]}, {"oneOf": [DOG, CAT]}),
    "one alternative": (CAT, {"oneOf": [CAT]}),
    "a schema that all hold": ({"type": "string", "maxLength": 5}, {"allOf": [{"type": "string"}, {"maxLength": 5}]}),
    "the tighter of two limits": (
        {"type": "string", "maxLength": 5},
        {"allOf": [{"type": "string", "maxLength": 9}, {"maxLength": 5}]},
    ),
    "properties of all parts": (
        {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "string"}}},
                {"required": ["a"], "properties": {"b": {"type": "string"}}},
            ]
        },
    ),
    "listed values": (
        {"type": "string", "enum": ["a", "b"]},
        {"oneOf": [{"type": "string", "enum": ["b"]}, {"type": "string", "enum": ["a"]}]},
    ),
    "a choice inside a choice": (
        {"anyOf": [REF_CAT, REF_DOG, REF_WORD]},
        {"anyOf": [{"anyOf": [REF_CAT, REF_DOG]}, REF_WORD]},
    ),
    "what all alternatives share": (
        {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"oneOf": [{"type": "object", "required": ["a"]}, {"type": "object", "required": ["b"]}]},
    ),
}


@pytest.mark.parametrize("kind", ["request", "response"])
@pytest.mark.parametrize("name", SAME)
def test_two_ways_to_write_it_are_one(name, kind):
    one, two = SAME[name]
    assert made.between(kind, one, two, components=COMPONENTS) == []
    assert made.between(kind, two, one, components=COMPONENTS) == []


def test_types_of_a_list_equal_alternatives():
    listed = {"type": ["string", "integer"], "maxLength": 5}
    apart = {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "integer"}]}
    for kind in ("request", "response"):
        assert made.between(kind, listed, apart, openapi="3.1.0") == []


def test_a_named_alternative_that_changed_is_found_inside_it():
    changed = {"schemas": {**COMPONENTS["schemas"], "Dog": {**DOG, "required": ["kind", "name"]}}}
    base = made.document("request", {"oneOf": [REF_CAT, REF_DOG]}, components=COMPONENTS)
    revision = made.document("request", {"oneOf": [REF_CAT, REF_DOG]}, components=changed)
    (finding,) = made.found(base, revision)
    assert (finding.id, finding.path.rpartition("/")[2]) == ("request-required-property-added", "name")


def test_an_alternative_that_is_apart_by_its_kind_may_be_added_to_requests():
    assert made.between("request", {"oneOf": [CAT]}, {"oneOf": [CAT, DOG]}) == ["request-alternative-added"]


def test_any_of_that_becomes_one_of_may_refuse_what_matched_twice():
    schemas = [{"type": "string", "maxLength": 5}, {"type": "string", "minLength": 3}]
    found = made.between("request", {"anyOf": schemas}, {"oneOf": schemas})
    assert found == ["request-alternative-overlaps"]
    assert made.between("request", {"anyOf": [CAT, DOG]}, {"oneOf": [CAT, DOG]}) == []


def test_a_choice_that_leads_back_to_itself_is_compared():
    def tree(leaf):
        node = {"oneOf": [{"type": leaf}, {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}]}
        return made.document("response", {"$ref": "#/components/schemas/Tree"}, components={"schemas": {"Tree": node}})

    assert made.ids(tree("string"), tree("string")) == []
    assert made.ids(tree("integer"), tree("number")) == ["response-type-widened"]


def test_a_schema_that_holds_itself_in_all_of_is_compared():
    def loop(type_):
        node = {"allOf": [{"$ref": "#/components/schemas/Loop"}, {"type": type_}]}
        return made.document("response", {"$ref": "#/components/schemas/Loop"}, components={"schemas": {"Loop": node}})

    assert made.ids(loop("string"), loop("string")) == []
    assert made.ids(loop("string"), loop("integer")) == ["response-type-changed"]


@pytest.mark.parametrize(
    ("kind", "base", "revision", "found"),
    [
        ("request", 5, 4, "request-constraint-loosened"),
        ("request", 4, 5, "request-constraint-changed"),
        ("response", 5, 4, "response-constraint-changed"),
        ("response", 4, 5, "response-constraint-tightened"),
    ],
)
def test_not_turns_the_direction_round(kind, base, revision, found):
    one = {"type": "integer", "not": {"type": "integer", "maximum": base}}
    two = {"type": "integer", "not": {"type": "integer", "maximum": revision}}
    assert made.between(kind, one, two) == [found]


def test_a_new_property_has_to_be_what_unnamed_ones_were_said_to_be():
    base = {"type": "object", "additionalProperties": {"type": "string"}}
    fitting = {**base, "properties": {"a": {"type": "string", "maxLength": 5}}}
    other = {**base, "properties": {"a": {"type": "integer"}}}
    assert made.between("response", base, fitting) == ["response-limit-tightened", "response-property-added"]
    assert made.between("response", base, other) == ["response-property-added", "response-type-changed"]


def test_items_of_an_array_of_fixed_shape_are_compared_one_by_one():
    two, three = ([{"type": "string"}, {"type": "integer"}, {"type": "string"}][:count] for count in (2, 3))
    pair = {"type": "array", "prefixItems": two, "items": False}
    triple = {"type": "array", "prefixItems": three, "items": False}
    for kind, found in (("response", "response-value-appears"), ("request", "request-value-allowed")):
        revision = made.between(kind, pair, triple, openapi="3.1.0")
        assert found in revision


def test_limits_do_not_matter_where_listed_values_keep_them():
    base = {"type": "string", "enum": ["a", "bb"]}
    assert made.between("request", base, {"type": "string", "maxLength": 2}) == ["request-enum-dropped"]
    assert "request-max-length-set" in made.between("request", base, {"type": "string", "maxLength": 1})


def test_a_schema_without_a_type_means_the_types_its_keywords_speak_of():
    base = {"properties": {"a": {"type": "string"}}}
    assert made.between("request", base, {**base, "type": "object"}) == []


def test_read_only_properties_do_not_count_in_requests_nor_write_only_ones_in_answers():
    def required(note):
        return {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", note: True}}}

    assert made.between("request", {"type": "object"}, required("readOnly")) == []
    assert made.between("response", required("writeOnly"), {"type": "object"}) == []
