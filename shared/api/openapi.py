"""A version's rows and shapes → its OpenAPI 3.0.3 document. What is served is what is checked: both come from here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import yaml

from shared.api import lineup, openapi_examples, params
from shared.api.endpoints import Handler
from shared.api.manifest import DOCUMENT_HANDLER, PARTITION_NAME, ApiVersion, Manifests, Row
from shared.api.openapi_examples import Example
from shared.api.params import Parameter, Place
from shared.api.shapes import Answer, Body, HeaderShape, Shapes, schema_references
from shared.storage.stores import Stores
from shared.wire.call import Call, Reply
from shared.wire.media import Offer

YAML_TYPE = "text/yaml; charset=utf-8"
JSON_TYPE = "application/json; charset=utf-8"

_SCHEME = "bearer"
_BEARER: dict[str, str] = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A token of the service's identity provider (OAuth 2.0), needed when access control is on.",
}
# Integers and floats of the YAML 1.2 core schema, signs and all.
_LIKE_A_NUMBER = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)

# A part of the document. Any: its values are whatever JSON holds.
Node = dict[str, Any]


def document(version: ApiVersion, manifests: Manifests) -> Node:
    """The document of one version. Nothing in it changes without the contract: no build, date or host."""
    shapes = manifests.shapes if version.deprecation is None else manifests.shapes.of_deprecated()
    writer = _Writer(version, shapes, {})
    paths: Node = {}
    for row in version.rows:
        for path in lineup.paths_of(row):
            operation = writer.operation(row, in_partition=path != row.path)
            paths.setdefault(f"/{version.label.text}/{path}", {})[row.method.lower()] = operation
    for row in manifests.service.rows:
        paths.setdefault(f"/{row.path}", {})[row.method.lower()] = writer.unversioned_operation(row)
    info: Node = {
        "title": manifests.service.title,
        "description": f"{manifests.service.description}\n\n{version.summary}",
        "version": version.label.name,
        "x-behaviours": {
            field.name: getattr(version.behaviours, field.name).value for field in fields(version.behaviours)
        },
        "x-stability-level": version.stability,
    }
    tags = dict.fromkeys(row.tag for row in (*version.rows, *manifests.service.rows))
    return {
        "openapi": "3.0.3",
        "info": info,
        "servers": [{"url": "/"}],
        "security": [{}, {_SCHEME: []}],
        "tags": [_tag(tag, shapes) for tag in tags],
        "paths": paths,
        "components": _components(paths, shapes, writer.examples),
    }


def as_yaml(content: Node) -> bytes:
    """A document as YAML, with sorted keys and no references between its parts."""
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=120)
    return str(text).encode()


def as_json(content: Node) -> bytes:
    """A document as JSON, with sorted keys."""
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1).encode()


def handlers(version: ApiVersion, manifests: Manifests) -> Mapping[str, Handler]:
    """The handlers that give out a version's document, by the names rows use. Each writes its text once per process."""
    return {
        DOCUMENT_HANDLER: _handler(lambda: as_yaml(document(version, manifests)), YAML_TYPE),
        "api.get_open_api_json": _handler(lambda: as_json(document(version, manifests)), JSON_TYPE),
    }


def _handler(write: Callable[[], bytes], media_type: str) -> Handler:
    written = cache(write)

    async def give(_call: Call, _stores: Stores) -> Reply:
        return Reply(200, written(), media_type)

    return give


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Write everything out: a reader of the document should not have to follow anchors."""
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Tags such as 00081190 are texts to YAML 1.1 and numbers to YAML 1.2; in quotes they are texts to both."""
        style = "'" if _LIKE_A_NUMBER.fullmatch(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.represent_text)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes the operations of one version.

    Attributes:
        examples: those that were referred to so far.
    """

    version: ApiVersion
    shapes: Shapes
    examples: dict[str, Example]

    def operation(self, row: Row, *, in_partition: bool) -> Node:
        """A row of the version, below its own path or below the one with a partition."""
        names = (PARTITION_NAME, *row.placeholders) if in_partition else row.placeholders
        operation = self._written(row, names)
        if in_partition:
            operation["operationId"] = f"{row.operation}InPartition"
            operation["summary"] = f"{row.summary}, in a data partition"
        if self._is_open(row):
            operation["security"] = []
        if self.version.deprecation is not None:
            operation["deprecated"] = True
            operation["x-sunset"] = self.version.deprecation.sunset.isoformat()
        return operation

    def unversioned_operation(self, row: Row) -> Node:
        """A row outside any version. It is nobody's secret, and does not end with this version."""
        return {**self._written(row, row.placeholders, versioned=False), "security": []}

    def _is_open(self, row: Row) -> bool:
        """Whether it needs no token."""
        return self.shapes.access[row.handler].action is None

    def _written(self, row: Row, path_names: Sequence[str], *, versioned: bool = True) -> Node:
        operation: Node = {"operationId": row.operation, "summary": row.summary, "tags": [row.tag]}
        description = self.shapes.descriptions.get(row.handler)
        if description:
            operation["description"] = description
        parameters = [self.shapes.path_parameters[name] for name in path_names]
        parameters.extend(parameter for name in row.takes for parameter in self.shapes.takes[name])
        if parameters:
            operation["parameters"] = [_parameter(parameter) for parameter in parameters]
        if row.body:
            operation["requestBody"] = _body(self.shapes.bodies[row.body])
        operation["responses"] = self._responses(row, versioned=versioned)
        return operation

    def _responses(self, row: Row, *, versioned: bool) -> Node:
        """What the row returns and refuses, and the problems that are met at any operation."""
        refused = set(row.refuses)
        for status, problem in self.shapes.problems.items():
            guarded = problem.guarded and not self._is_open(row)
            if problem.everywhere or (versioned and (problem.unserved or guarded)):
                refused.add(status)
        responses = {str(status): _reference("responses", f"Problem{status}") for status in refused}
        offered = _offered(self.shapes.offers[row.offers]) if row.offers else ()
        for status, name in row.returns:
            reply = self.shapes.replies[name]
            examples = self._examples(row, status, reply)
            responses[str(status)] = _response(reply, reply.media_types or offered, self.shapes, examples)
        return responses

    def _examples(self, row: Row, status: int, reply: Answer) -> Node:
        found = openapi_examples.of_reply(self.version, row, status, reply)
        self.examples.update((example.name, example) for example in found)
        return {example.name: _reference("examples", example.name) for example in found}


def _tag(name: str, shapes: Shapes) -> Node:
    return {"name": name, "description": shapes.tags[name]} if name in shapes.tags else {"name": name}


def _parameter(parameter: Parameter) -> Node:
    described: Node = {
        "name": parameter.name,
        "in": parameter.place.value,
        "required": parameter.place is Place.PATH,
        "description": parameter.text,
        "schema": params.schema(parameter),
    }
    if parameter.example is not None:
        described["example"] = parameter.example
    return described


def _body(body: Body) -> Node:
    content: Node = {media_type: {"schema": _reference("schemas", body.schema)} for media_type in body.media_types}
    for media_type, example in body.examples.items():
        content[media_type]["example"] = example
    return {"description": body.text, "content": content, "required": True}


def _offered(offers: tuple[Offer, ...]) -> tuple[str, ...]:
    return tuple("multipart/related" if offer.multipart else offer.media_type for offer in offers)


def _response(answer: Answer, media_types: tuple[str, ...], shapes: Shapes, examples: Node) -> Node:
    """A response; examples are references by name."""
    everywhere = [name for name, header in shapes.headers.items() if header.everywhere]
    response: Node = {
        "description": answer.text,
        "headers": {name: _reference("headers", name) for name in (*everywhere, *answer.headers)},
    }
    if answer.schema:
        content: Node = {"schema": _reference("schemas", answer.schema)}
        if examples:
            content["examples"] = examples
        response["content"] = {media_type: dict(content) for media_type in media_types}
    for other in answer.also:
        described = {"schema": _reference("schemas", other.schema), "example": other.example}
        response["content"][other.media_type] = described
    return response


def _problem(problem: Answer, shapes: Shapes) -> Node:
    response = _response(problem, ("text/plain",), shapes, {})
    if problem.example is not None:
        response["content"]["text/plain"]["example"] = problem.example
    return response


def _reference(group: str, name: str) -> Node:
    return {"$ref": f"#/components/{group}/{name}"}


def _components(paths: Node, shapes: Shapes, examples: Mapping[str, Example]) -> Node:
    """What the paths use, directly or through others."""
    used = schema_references(paths)
    responses = {
        f"Problem{status}": _problem(problem, shapes)
        for status, problem in shapes.problems.items()
        if f"#/components/responses/Problem{status}" in used
    }
    wanted: set[str] = set()
    todo = {name for name in schema_references([paths, responses]) if name in shapes.schemas}
    while todo:
        wanted |= todo
        todo = set().union(*(schema_references(shapes.schemas[name]) for name in todo)) - wanted
    used_headers = {name.removeprefix("#/components/headers/") for name in schema_references([paths, responses])}
    return {
        "schemas": {name: shapes.schemas[name] for name in sorted(wanted)},
        "responses": responses,
        "headers": {name: _header(header) for name, header in shapes.headers.items() if name in used_headers},
        "examples": {name: {"summary": example.summary, "value": example.value} for name, example in examples.items()},
        "securitySchemes": {_SCHEME: _BEARER},
    }


def _header(header: HeaderShape) -> Node:
    described: Node = {"description": header.text, "schema": {"type": header.type}}
    if header.example is not None:
        described["example"] = header.example
    return described
