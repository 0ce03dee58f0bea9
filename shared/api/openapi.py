"""A version's rows and shapes → its OpenAPI 3.0.3 document. What is served is what is checked: both come from here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

import yaml

from shared.api import lineup, params
from shared.api.endpoints import Handler
from shared.api.manifest import DOCUMENT_HANDLER, PARTITION_NAME, ApiVersion, Manifests, Row
from shared.api.params import Parameter, Place
from shared.api.shapes import Answer, Shapes, schema_references
from shared.storage.stores import Stores
from shared.wire.call import Call, Reply
from shared.wire.media import Offer

YAML_TYPE = "text/yaml; charset=utf-8"
JSON_TYPE = "application/json; charset=utf-8"

# A part of the document. Any: its values are whatever JSON holds.
Node = dict[str, Any]


def document(version: ApiVersion, manifests: Manifests) -> Node:
    """The document of one version. Nothing in it changes without the contract: no build, date or host."""
    shapes = manifests.shapes if version.deprecation is None else manifests.shapes.of_deprecated()
    paths: Node = {}
    for row in version.rows:
        for path in lineup.paths_of(row):
            operation = _operation(version, row, shapes, in_partition=path != row.path)
            paths.setdefault(f"/{version.label.text}/{path}", {})[row.method.lower()] = operation
    info: Node = {
        "title": manifests.service.title,
        "description": f"{manifests.service.description}\n\n{version.summary}",
        "version": version.label.name,
        "x-behaviours": {
            field.name: getattr(version.behaviours, field.name).value for field in fields(version.behaviours)
        },
        "x-stability-level": version.stability,
    }
    return {
        "openapi": "3.0.3",
        "info": info,
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(row.tag for row in version.rows)],
        "paths": paths,
        "components": _components(paths, shapes),
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


def _operation(version: ApiVersion, row: Row, shapes: Shapes, *, in_partition: bool) -> Node:
    operation: Node = {
        "operationId": f"{row.operation}InPartition" if in_partition else row.operation,
        "summary": f"{row.summary}, in a data partition" if in_partition else row.summary,
        "tags": [row.tag],
        "responses": _responses(row, shapes),
    }
    names = (PARTITION_NAME, *row.placeholders) if in_partition else row.placeholders
    parameters = [shapes.path_parameters[name] for name in names]
    parameters.extend(parameter for name in row.takes for parameter in shapes.takes[name])
    if parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in parameters]
    if row.body:
        body = shapes.bodies[row.body]
        content = {media_type: {"schema": _reference("schemas", body.schema)} for media_type in body.media_types}
        operation["requestBody"] = {"description": body.text, "content": content, "required": True}
    if version.deprecation is not None:
        operation["deprecated"] = True
        operation["x-sunset"] = version.deprecation.sunset.isoformat()
    return operation


def _parameter(parameter: Parameter) -> Node:
    return {
        "name": parameter.name,
        "in": parameter.place.value,
        "required": parameter.place is Place.PATH,
        "description": parameter.text,
        "schema": params.schema(parameter),
    }


def _responses(row: Row, shapes: Shapes) -> Node:
    """What the row returns and refuses, and the problems any operation may answer with."""
    offers = shapes.offers[row.offers] if row.offers else ()
    refused = {status for status, problem in shapes.problems.items() if problem.everywhere}.union(row.refuses)
    responses = {str(status): _reference("responses", f"Problem{status}") for status in refused}
    for status, name in row.returns:
        reply = shapes.replies[name]
        responses[str(status)] = _response(reply, reply.media_types or _offered(offers), shapes)
    return responses


def _offered(offers: tuple[Offer, ...]) -> tuple[str, ...]:
    return tuple("multipart/related" if offer.multipart else offer.media_type for offer in offers)


def _response(answer: Answer, media_types: tuple[str, ...], shapes: Shapes) -> Node:
    everywhere = [name for name, header in shapes.headers.items() if header.everywhere]
    response: Node = {
        "description": answer.text,
        "headers": {name: _reference("headers", name) for name in (*everywhere, *answer.headers)},
    }
    if answer.schema:
        schema = _reference("schemas", answer.schema)
        response["content"] = {media_type: {"schema": schema} for media_type in media_types}
    return response


def _reference(group: str, name: str) -> Node:
    return {"$ref": f"#/components/{group}/{name}"}


def _components(paths: Node, shapes: Shapes) -> Node:
    """The problems, schemas and headers the paths use, directly or through others."""
    used = schema_references(paths)
    responses = {
        f"Problem{status}": _response(problem, ("text/plain",), shapes)
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
        "headers": {
            name: {"description": header.text, "schema": {"type": header.type}}
            for name, header in shapes.headers.items()
            if name in used_headers
        },
    }
