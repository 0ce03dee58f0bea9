"""The documents of the versions as readers of OpenAPI see them: operations, references, values against schemas."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from openapi_schema_validator import OAS30Validator, oas30_format_checker

from shared.api import openapi
from tests.support.versions import MANIFESTS

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a document.

    Attributes:
        node: as it is written, its responses looked up.
    """

    path: str
    method: str
    node: Node

    @property
    def id(self) -> str:
        return str(self.node["operationId"])

    @property
    def parameters(self) -> list[Node]:
        return list(self.node.get("parameters", []))


@functools.cache
def documents() -> Mapping[str, Node]:
    """By label."""
    return {version.label.text: openapi.document(version, MANIFESTS) for version in MANIFESTS.versions}


def operations(document: Node) -> Iterator[Operation]:
    """All of them, those outside any version too."""
    for path, item in document["paths"].items():
        for method, node in item.items():
            responses = {status: resolved(document, one) for status, one in node["responses"].items()}
            yield Operation(path, method, {**node, "responses": responses})


def by_id(document: Node) -> dict[str, Operation]:
    return {operation.id: operation for operation in operations(document)}


def versioned(document: Node, label: str) -> list[Operation]:
    """Those of the version itself."""
    return [operation for operation in operations(document) if operation.path.startswith(f"/{label}/")]


def resolved(document: Node, node: Node) -> Node:
    """What a reference points to; anything else as it is."""
    if "$ref" not in node:
        return node
    _, _, group, name = node["$ref"].split("/")
    found: Node = document["components"][group][name]
    return found


def examples_of(document: Node, content: Node) -> list[Any]:
    """The examples of a body in one media type."""
    named = [resolved(document, one)["value"] for one in content.get("examples", {}).values()]
    return [*named, *([content["example"]] if "example" in content else [])]


def faults(document: Node, schema: Node, value: object) -> list[str]:
    """What is wrong with a value by a schema of the document; nothing of the value itself."""
    root = {**schema, "components": document["components"]}
    if "$ref" in schema:
        # Nothing may stand beside a reference, but its target is looked for from the root.
        root = {"allOf": [schema], "components": document["components"]}
    validator = OAS30Validator(root, format_checker=oas30_format_checker)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.validator}" for error in validator.iter_errors(value)]
