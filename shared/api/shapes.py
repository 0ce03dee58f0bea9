"""shapes.yaml → parameter sets, bodies, offers, replies, problems, headers and schemas, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from shared.api import inputs
from shared.api.access import actions
from shared.api.access.actions import Rule
from shared.api.decode import Entry
from shared.api.params import Parameter
from shared.wire.media import Offer

_MEDIA_TYPE = r"[a-z]+/[a-z0-9.+-]+"
_HEADER = r"[A-Za-z][A-Za-z-]*"
_HANDLER = r"[a-z][a-z0-9]*\.[a-z][a-z0-9_]*"
_SCHEMA_REF = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Body:
    """A request body.

    Attributes:
        text: what it is, for the document.
        media_types: those an operation with this body starts to read; finer rules are the handler's.
        schema: name of its schema.
        examples: a body by media type.
    """

    text: str
    media_types: tuple[str, ...]
    schema: str
    examples: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Content:
    """A body in one media type."""

    media_type: str
    schema: str
    example: object


@dataclass(frozen=True, slots=True)
class Answer:
    """What one status means and carries.

    Attributes:
        text: for the document.
        schema: name of the body's schema; empty for no body.
        media_types: of the body; empty when the row's offers say it.
        headers: names of headers it may carry.
        example: a body, or None; some replies have theirs in `openapi_examples`.
        also: other bodies it may have.
        everywhere: for problems, whether any operation may answer so.
        guarded: for problems, whether access control answers so, before an operation begins.
        unserved: for problems, whether a deployment answers so that does not serve the operation or its version.
    """

    text: str
    schema: str = ""
    media_types: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    example: object = None
    also: tuple[Content, ...] = ()
    everywhere: bool = False
    guarded: bool = False
    unserved: bool = False


@dataclass(frozen=True, slots=True)
class HeaderShape:
    """A response header.

    Attributes:
        text: for the document.
        type: type word of its schema.
        everywhere: whether every answer below a version may carry it.
        of_deprecated: what it says in every answer of a deprecated version; empty when it says nothing there.
        example: a value; empty for none.
    """

    text: str
    type: str
    everywhere: bool
    of_deprecated: str
    example: object


@dataclass(frozen=True, slots=True)
class Shapes:
    """Everything rows may point to, by name.

    `tags` and `descriptions`, the latter by handler, are texts for documents; `access`, by handler, says who may call.
    """

    path_parameters: Mapping[str, Parameter]
    takes: Mapping[str, tuple[Parameter, ...]]
    bodies: Mapping[str, Body]
    offers: Mapping[str, tuple[Offer, ...]]
    replies: Mapping[str, Answer]
    problems: Mapping[int, Answer]
    headers: Mapping[str, HeaderShape]
    schemas: Mapping[str, object]
    tags: Mapping[str, str]
    descriptions: Mapping[str, str]
    access: Mapping[str, Rule]

    def of_deprecated(self) -> Shapes:
        """The shapes with headers as a deprecated version has them."""
        headers = {
            name: replace(
                header,
                text=" ".join(filter(None, (header.text, header.of_deprecated))),
                everywhere=header.everywhere or bool(header.of_deprecated),
            )
            for name, header in self.headers.items()
        }
        return replace(self, headers=headers)


def decode(root: Entry) -> Shapes:
    """The shapes of one file; faults go where the entry keeps them."""
    parts = root.fields(
        ("access", "path_parameters", "takes", "bodies", "offers", "replies", "problems", "headers", "schemas"),
        ("tags", "descriptions"),
    )
    headers = {name: _header(entry) for name, entry in parts["headers"].members(_HEADER).items()}
    schemas = {name: entry.plain() for name, entry in parts["schemas"].members().items()}
    _check_schema_references(parts["schemas"], schemas)
    known = _Known(schemas, headers)
    return Shapes(
        path_parameters={
            name: inputs.parameter(entry, name) for name, entry in parts["path_parameters"].members().items()
        },
        takes={
            name: tuple(inputs.parameter(item) for item in entry.items())
            for name, entry in parts["takes"].members().items()
        },
        bodies={name: _body(entry, known) for name, entry in parts["bodies"].members().items()},
        offers={
            name: tuple(_offer(item) for item in entry.items()) for name, entry in parts["offers"].members().items()
        },
        replies={name: _answer(entry, known) for name, entry in parts["replies"].members().items()},
        problems=dict(_problems(parts["problems"], known)),
        headers=headers,
        schemas=schemas,
        tags={name: entry.text() for name, entry in parts["tags"].members().items()},
        descriptions={name: entry.text() for name, entry in parts["descriptions"].members(_HANDLER).items()},
        access={name: actions.rule(name, entry) for name, entry in parts["access"].members(_HANDLER).items()},
    )


@dataclass(frozen=True, slots=True)
class _Known:
    schemas: Mapping[str, object]
    headers: Mapping[str, HeaderShape]

    def schema(self, entry: Entry) -> str:
        name = entry.word()
        if name and name not in self.schemas:
            entry.fault(f"no schema is named {name!r}")
        return name

    def header_names(self, entry: Entry) -> tuple[str, ...]:
        names = entry.words(_HEADER)
        for name in names:
            if name not in self.headers:
                entry.fault(f"no header is named {name!r}")
        return names


def statuses(entry: Entry) -> Iterator[tuple[int, Entry, Entry]]:
    """Keys of a mapping as HTTP statuses, with key and value entry."""
    for key, value in entry.pairs():
        status = key.number()
        if not 200 <= status <= 599:
            key.fault("an HTTP status from 200 to 599 is due here")
        yield status, key, value


def _plain(entry: Entry) -> object:
    return entry.plain() if entry.given else None


def _body(entry: Entry, known: _Known) -> Body:
    parts = entry.fields(("text", "media_types", "schema"), ("examples",))
    media_types = parts["media_types"].words(_MEDIA_TYPE)
    examples = {name: value.plain() for name, value in parts["examples"].members(_MEDIA_TYPE).items()}
    for name in examples.keys() - set(media_types):
        parts["examples"].fault(f"the body is never of the media type {name}")
    return Body(parts["text"].text(), media_types, known.schema(parts["schema"]), examples)


def _offer(entry: Entry) -> Offer:
    parts = entry.fields(
        ("media_type",), ("multipart", "transfer_syntaxes", "default_syntax", "wildcard", "wildcard_syntax")
    )
    syntaxes = parts["transfer_syntaxes"].words(r"[0-9.]+|\*")
    chosen: dict[str, str | None] = {}
    for key in ("default_syntax", "wildcard_syntax"):
        chosen[key] = parts[key].word(r"[0-9.]+|\*") if parts[key].given else None
        if chosen[key] and chosen[key] not in syntaxes:
            parts[key].fault("it is not among the transfer syntaxes of this offer")
    return Offer(
        media_type=parts["media_type"].word(_MEDIA_TYPE),
        multipart=parts["multipart"].flag(),
        transfer_syntaxes=syntaxes,
        default_syntax=chosen["default_syntax"],
        wildcard=parts["wildcard"].flag(),
        wildcard_syntax=chosen["wildcard_syntax"],
    )


def _answer(entry: Entry, known: _Known) -> Answer:
    flags = ("everywhere", "guarded", "unserved")
    parts = entry.fields(("text",), ("schema", "media_types", "headers", "example", "also", *flags))
    return Answer(
        text=parts["text"].text(),
        schema=known.schema(parts["schema"]) if parts["schema"].given else "",
        media_types=parts["media_types"].words(_MEDIA_TYPE),
        headers=known.header_names(parts["headers"]),
        example=_plain(parts["example"]),
        also=tuple(_content(item, known) for item in parts["also"].items()),
        everywhere=parts["everywhere"].flag(),
        guarded=parts["guarded"].flag(),
        unserved=parts["unserved"].flag(),
    )


def _content(entry: Entry, known: _Known) -> Content:
    parts = entry.fields(("media_type", "schema", "example"))
    return Content(parts["media_type"].word(_MEDIA_TYPE), known.schema(parts["schema"]), _plain(parts["example"]))


def _problems(entry: Entry, known: _Known) -> Iterator[tuple[int, Answer]]:
    for status, _, value in statuses(entry):
        yield status, _answer(value, known)


def _header(entry: Entry) -> HeaderShape:
    parts = entry.fields((), ("text", "type", "everywhere", "of_deprecated", "example"))
    if parts["text"].node is None and parts["of_deprecated"].node is None:
        entry.fault("a text is due: 'text', or 'of_deprecated' for a header of deprecated versions alone")
    kind = parts["type"].word("string|integer") if parts["type"].given else "string"
    of_deprecated, example = parts["of_deprecated"].text(), _plain(parts["example"])
    return HeaderShape(parts["text"].text(), kind, parts["everywhere"].flag(), of_deprecated, example)


def schema_references(schema: object) -> set[str]:
    """Names of the schemas a schema points to, at any depth of its own."""
    if isinstance(schema, list):
        return set().union(*(schema_references(item) for item in schema))
    if not isinstance(schema, dict):
        return set()
    found = set().union(*(schema_references(value) for value in schema.values()))
    target = schema.get("$ref")
    if isinstance(target, str):
        found.add(target.removeprefix(_SCHEMA_REF))
    return found


def _check_schema_references(entry: Entry, schemas: Mapping[str, object]) -> None:
    for name, value in entry.members().items():
        for target in sorted(schema_references(schemas.get(name))):
            if target not in schemas:
                value.fault(f"the schema {name} points to {target!r}, which is not there")
