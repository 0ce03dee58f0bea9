"""Texts become documents, or are refused with a sentence."""

from __future__ import annotations

import json

import pytest

from shared.api.breaking import loading
from shared.api.breaking.documents import Document, DocumentError

HEAD = "openapi: 3.0.3\n"


def bomb():
    lines = ["a0: &a0 [" + ",".join("x" * 10) + "]"]
    lines += [f"a{n}: &a{n} [" + ",".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 9)]
    return HEAD + "\n".join(lines)


REFUSED = {
    "swagger": ("swagger: '2.0'\n", "Swagger 2.0"),
    "another OpenAPI": ("openapi: 3.2.0\n", "3.2.0"),
    "a number for a version": ("openapi: 3.0\n", "must be a text"),
    "no version": ("info: {}\n", "does not say"),
    "no mapping": ("- a\n", "no mapping"),
    "empty": ("", "no mapping"),
    "no YAML": ("a: [", "no YAML"),
    "control characters": (HEAD + "a: \x00", "no YAML"),
    "no JSON": ("{", "no JSON"),
    "no UTF-8": (b"openapi: 3.0.3\na: \xff", "UTF-8"),
    "a key twice": (HEAD + "a: 1\na: 2\n", "twice"),
    "a key twice in JSON": ('{"openapi": "3.0.3", "a": 1, "a": 2}', "twice"),
    "a list for a key": (HEAD + "? [a]\n: 1\n", "key"),
    "an alias of itself": (HEAD + "a: &a [*a]\n", "recursive"),
    "an alias nobody set": (HEAD + "a: *b\n", "alias"),
    "aliases that multiply": (bomb(), "nodes"),
    "deep YAML": (HEAD + "a: " + "[" * 300 + "]" * 300, "deeper"),
    "very deep YAML": ("[" * 100_000, "deeper"),
    "deep JSON": ('{"openapi": "3.0.3", "a": ' + "[" * 300 + "]" * 300 + "}", "deeper"),
    "very deep JSON": ('{"a":' * 100_000, "deep"),
    "another tag": (HEAD + "a: !!python/object:os.system b\n", "tag"),
    "a number that is none": (HEAD + "a: .nan\n", "finite"),
    "a number of thousands of digits": (HEAD + "a: 1" + "0" * 5000, "digits"),
    "two documents": (HEAD + "---\na: 1\n", "single document"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_document_is_refused_with_a_sentence(name):
    text, said = REFUSED[name]
    with pytest.raises(DocumentError, match=said):
        loading.read(text)


def test_yaml_is_read_as_openapi_asks():
    """YAML 1.2: words such as no are texts, as are days; keys are texts, whatever they look like."""
    root = loading.read(
        HEAD + "200: {no: yes, day: 2027-01-01, old: 010, hex: 0x10, f: 1e3, t: true, n: ~, 'on': off}\n"
    ).root
    assert root["200"] == {
        "no": "yes", "day": "2027-01-01", "old": 10, "hex": 16, "f": 1000.0, "t": True, "n": None, "on": "off",
    }  # fmt: skip


def test_merge_keys_and_aliases_are_read():
    root = loading.read(HEAD + "a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}\nc: *a\n").root
    assert (root["b"], root["c"]) == ({"x": 1, "y": 3}, {"x": 1, "y": 2})


def test_json_and_yaml_are_the_same_document():
    content = {"openapi": "3.1.0", "paths": {"/a": {"get": {"responses": {"200": {"description": "ä"}}}}}}
    assert (
        loading.read(json.dumps(content)).root
        == loading.read(b"\xef\xbb\xbf" + json.dumps(content).encode()).root
        == content
    )
    assert loading.read("# a comment makes it YAML\n" + json.dumps(content)).root == content


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", float("inf")], ids=str)
def test_content_that_json_does_not_know_is_refused(value):
    with pytest.raises(DocumentError):
        Document({"openapi": "3.0.3", "a": value})


def test_content_that_contains_itself_is_refused():
    inner: list[object] = []
    inner.append(inner)
    content = {"openapi": "3.0.3", "a": inner}
    with pytest.raises(DocumentError, match="itself"):
        Document(content)


def test_references_are_found_by_pointer_and_by_anchor():
    document = loading.read("openapi: 3.1.0\na~b/c: {'%': [{$anchor: here}]}\n")
    assert document.target("#/a~0b~1c/%25/0") == document.target("#here") == {"$anchor": "here"}
    for reference in ("#/nothing", "#nobody", "other.yaml", "other.yaml#/a", "#/a~0b~1c/%25/7"):
        with pytest.raises(DocumentError):
            document.target(reference)
