"""A document → its interface."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.api.breaking.documents import Document, DocumentError, Map, Node
from shared.api.breaking.model import Body, Interface, Media, Operation, Parameter, Requirement, Response
from shared.api.breaking.normal import Normalizer
from shared.api.breaking.shapes import canonical

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# Headers that a document cannot describe this way; what they mean stands elsewhere in it (OpenAPI 3.1 §4.8.12.2).
_NO_PARAMETERS = frozenset({"accept", "authorization", "content-type"})
_NO_HEADERS = frozenset({"content-type"})
_STYLES = {"path": "simple", "header": "simple", "query": "form", "cookie": "form"}
_FLAGS = ("allowEmptyValue", "allowReserved")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_EXTENSION = "x-"


@dataclass(frozen=True, slots=True)
class _Above:
    """What an operation takes over from above: its place, and what holds unless it says otherwise."""

    pointer: tuple[str, ...]
    template: str
    parameters: list[Node]
    security: Node


class Reader:
    """Reads one document."""

    def __init__(self, document: Document, normalizer: Normalizer) -> None:
        """Read a document whose schemas a normalizer takes apart."""
        self._document = document
        self._normalizer = normalizer
        # Most responses and headers are components: each is read once.
        self._responses: dict[int, Response] = {}
        self._headers: dict[int, Parameter] = {}

    def interface(self, left_out: frozenset[str] = frozenset()) -> Interface:
        """What the document offers.

        Args:
            left_out: paths not to read, because nothing changed there.

        Raises:
            DocumentError: a part of it is of the wrong type or refers to nothing.
        """
        root = self._document.root
        info = self._map(root.get("info"), "info")
        behaviours = self._map(info.get("x-behaviours"), "x-behaviours")
        schemes = self._map(self._map(root.get("components"), "components").get("securitySchemes"), "securitySchemes")
        return Interface(
            stability=_word(info.get("x-stability-level")),
            behaviours={key: canonical(value).strip('"') for key, value in behaviours.items()},
            operations=_once(self._operations(root.get("paths"), ("paths",), left_out)),
            webhooks=_once(self._operations(root.get("webhooks"), ("webhooks",))),
            schemes={name: self._map(scheme, f"the security scheme {name!r}") for name, scheme in schemes.items()},
            asked_for=frozenset(self._schemes_asked_for()),
        )

    def _schemes_asked_for(self) -> Iterator[str]:
        root = self._document.root
        paths = self._map(root.get("paths"), "paths").items()
        items = [self._map(item, "a path") for name, item in paths if not name.startswith(_EXTENSION)]
        operations = [self._map(item[method], method) for item in items for method in METHODS if method in item]
        for security in {id(node.get("security")): node.get("security") for node in (root, *operations)}.values():
            for requirement in self._security(security):
                yield from (name for name, _ in requirement)

    def _operations(
        self, paths: Node, pointer: tuple[str, ...], left_out: frozenset[str] = frozenset()
    ) -> Iterator[tuple[tuple[str, str], Operation]]:
        for template, node in self._map(paths, pointer[-1]).items():
            if template.startswith(_EXTENSION) or template in left_out:
                continue
            item = self._map(node, f"the path {template!r}")
            above = _Above((*pointer, template), template, self._list(item.get("parameters"), "parameters"), None)
            for method in METHODS:
                if method in item:
                    operation = self._operation(method, self._map(item[method], f"{method} of {template!r}"), above)
                    yield operation.key, operation

    def _operation(self, method: str, node: Map, above: _Above) -> Operation:
        pointer = (*above.pointer, method)
        placeholders = tuple(_PLACEHOLDER.findall(above.template))
        security = node.get("security", self._document.root.get("security"))
        responses = self._map(node.get("responses"), "responses")
        return Operation(
            method=method.upper(),
            template=above.template,
            key=(_PLACEHOLDER.sub("{}", above.template), method.upper()),
            pointer=pointer,
            operation_id=_word(node.get("operationId")),
            placeholders=placeholders,
            deprecated=node.get("deprecated") is True,
            sunset=_word(node.get("x-sunset")),
            stability=_word(node.get("x-stability-level")),
            tags=frozenset(_word(tag) for tag in self._list(node.get("tags"), "tags")),
            parameters=self._parameters(above.parameters, node.get("parameters"), placeholders),
            body=self._body(node["requestBody"]) if "requestBody" in node else None,
            responses={
                status.upper() if status != "default" else status: self._response(status, response)
                for status, response in responses.items()
                if not status.startswith(_EXTENSION)
            },
            security=self._security(security),
            callbacks=dict(self._callbacks(self._map(node.get("callbacks"), "callbacks"), pointer)),
        )

    def _callbacks(
        self, callbacks: Map, pointer: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, tuple[str, str]], Operation]]:
        for name, node in callbacks.items():
            for key, operation in self._operations(node, (*pointer, "callbacks", name)):
                yield (name, key), operation

    def _parameters(
        self, shared: list[Node], own: Node, placeholders: tuple[str, ...]
    ) -> dict[tuple[str, str], Parameter]:
        """Parameters of an operation; its own win over those of its path."""
        found = {}
        for node in (*shared, *self._list(own, "parameters")):
            parameter = self._parameter(self._map(node, "a parameter"))
            name = parameter.name
            if parameter.place == "header":
                name = name.lower()
                if name in _NO_PARAMETERS:
                    continue
            elif parameter.place == "path" and name in placeholders:
                name = str(placeholders.index(name))
            found[parameter.place, name] = parameter
        return found

    def _parameter(self, node: Map) -> Parameter:
        name, place = _word(node.get("name")), _word(node.get("in"))
        if not name or place not in _STYLES:
            raise DocumentError("a parameter needs a name, and a place that is path, query, header or cookie")
        return self._described(node, name, place)

    def _described(self, node: Map, name: str, place: str) -> Parameter:
        """A parameter or a response header."""
        content = self._content(node.get("content"))
        media = next(iter(content.values()), None)
        schema = media.schema if media else self._normalizer.schemas.of([node.get("schema", True)])
        style = _word(node.get("style")) or _STYLES[place]
        return Parameter(
            name=name,
            place=place,
            required=node.get("required") is True,
            style=style,
            explode=node.get("explode", style == "form") is True,
            flags=frozenset(flag for flag in _FLAGS if node.get(flag) is True),
            deprecated=node.get("deprecated") is True,
            media=media.name if media else "",
            schema=schema,
            default=self._normalizer.property_of(schema).default,
        )

    def _body(self, node: Node) -> Body:
        body = self._map(node, "requestBody")
        return Body(required=body.get("required") is True, content=self._content(body.get("content")))

    def _response(self, status: str, node: Node) -> Response:
        response = self._map(node, f"the response {status}")
        if id(response) not in self._responses:
            headers = self._map(response.get("headers"), "headers").items()
            self._responses[id(response)] = Response(
                content=self._content(response.get("content")),
                headers={
                    name.lower(): self._header(name, node) for name, node in headers if name.lower() not in _NO_HEADERS
                },
                links=frozenset(self._map(response.get("links"), "links")),
            )
        return self._responses[id(response)]

    def _header(self, name: str, node: Node) -> Parameter:
        header = self._map(node, f"the header {name!r}")
        found = self._headers.get(id(header))
        if found is None or found.name != name:
            found = self._headers[id(header)] = self._described(header, name, "header")
        return found

    def _content(self, node: Node) -> dict[str, Media]:
        found = {}
        for written, media in self._map(node, "content").items():
            content = self._map(media, f"the media type {written!r}")
            name = media_name(written)
            schema = self._normalizer.schemas.of([content.get("schema", True)])
            found[name] = Media(name, schema, "schema" in content, canonical(content.get("encoding", {})))
        return found

    def _security(self, node: Node) -> tuple[Requirement, ...]:
        """Requirements of which any will do; no list, and an empty one, ask for nothing."""
        found: list[Requirement] = []
        for requirement in self._list(node, "security"):
            schemes = self._map(requirement, "a security requirement")
            found.append(
                frozenset(
                    (name, frozenset(_word(scope) for scope in self._list(scopes, "scopes")))
                    for name, scopes in schemes.items()
                )
            )
        return tuple(dict.fromkeys(found)) or (frozenset(),)

    def _map(self, node: Node, what: str) -> Map:
        return self._document.map_at(node, what)

    def _list(self, node: Node, what: str) -> list[Node]:
        return self._document.list_at(node, what)


def _once(operations: Iterable[tuple[tuple[str, str], Operation]]) -> dict[tuple[str, str], Operation]:
    found: dict[tuple[str, str], Operation] = {}
    for key, operation in operations:
        if key in found:
            raise DocumentError(f"{operation.name} and {found[key].name} differ only in names of placeholders")
        found[key] = operation
    return found


def media_name(written: str) -> str:
    """A media type in one spelling: lower case but for values of parameters, parameters in order."""
    essence, *parameters = (part.strip() for part in written.split(";"))
    pairs = []
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        pairs.append(f"{name.strip().lower()}={_unquoted(name, value)}")
    return "; ".join([essence.lower(), *sorted(pairs)])


def _unquoted(name: str, value: str) -> str:
    text = value.strip().strip('"')
    return text.lower() if name.strip().lower() in ("charset", "type") else text


def _word(node: Node) -> str:
    """A text, or nothing where another value stands: it is read only where a text is due."""
    return node if isinstance(node, str) else ""
