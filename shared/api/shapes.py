"""shapes.yaml → parameter sets, bodies, offers, replies, problems, headers and schemas, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from shared.api.decode import Entry
from shared.api.params import Kind, Parameter, Place
from shared.wire.media import Offer

_MEDIA_TYPE = r"[a-z]+/[a-z0-9.+-]+"
_HEADER = r"[A-Za-z][A-Za-z-]*"
_SCHEMA_REF = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Body:
    """A request body.

    Attributes:
        text: what it is, for the document.
        media_types: those an operation with this body starts to read; finer rules are the handler's.
        schema: name of its schema.
    """

    text: str
    media_types: tuple[str, ...]
    schema: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What one status means and carries.

    Attributes:
        text: for the document.
        schema: name of the body's schema; empty for no body.
        media_types: of the body; empty when the row's offers say it.
        headers: names of headers it may carry.
        everywhere: for problems, whether any operation may answer so.
    """

    text: str
    schema: str = ""
    media_types: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    everywhere: bool = False


@dataclass(frozen=True, slots=True)
class HeaderShape:
    """A response header.

    Attributes:
        text: for the document.
        type: type word of its schema.
        everywhere: whether every answer below a version may carry it.
        of_deprecated: what it says in every answer of a deprecated version; empty when it says nothing there.
    """

    text: str
    type: str
    everywhere: bool
    of_deprecated: str


@dataclass(frozen=True, slots=True)
class Shapes:
    """Everything rows may point to, by name."""

    path_parameters: Mapping[str, Parameter]
    takes: Mapping[str, tuple[Parameter, ...]]
    bodies: Mapping[str, Body]
    offers: Mapping[str, tuple[Offer, ...]]
    replies: Mapping[str, Answer]
    problems: Mapping[int, Answer]
    headers: Mapping[str, HeaderShape]
    schemas: Mapping[str, object]

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
        ("path_parameters", "takes", "bodies", "offers", "replies", "problems", "headers", "schemas"),
    )
    headers = {name: _header(entry) for name, entry in parts["headers"].members(_HEADER).items()}
    schemas = {name: entry.plain() for name, entry in parts["schemas"].members().items()}
    _check_schema_references(parts["schemas"], schemas)
    known = _Known(schemas, headers)
    return Shapes(
        path_parameters={name: _parameter(entry, name) for name, entry in parts["path_parameters"].members().items()},
        takes={
            name: tuple(_parameter(item) for item in entry.items()) for name, entry in parts["takes"].members().items()
        },
        bodies={name: _body(entry, known) for name, entry in parts["bodies"].members().items()},
        offers={
            name: tuple(_offer(item) for item in entry.items()) for name, entry in parts["offers"].members().items()
        },
        replies={name: _answer(entry, known) for name, entry in parts["replies"].members().items()},
        problems=dict(_problems(parts["problems"], known)),
        headers=headers,
        schemas=schemas,
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


def _parameter(entry: Entry, path_name: str = "") -> Parameter:
    """One parameter; those of the path have their name as the key above them."""
    if path_name:
        parts = entry.fields(("binds", "type", "text"))
        name, place = path_name, Place.PATH
    else:
        parts = entry.fields(("name", "in", "type", "text"), ("binds", "default", "minimum", "maximum"))
        name, place = parts["name"].word(r"[A-Za-z][A-Za-z0-9_.-]*"), _place(parts["in"])
    kind = _kind(parts["type"])
    limits: dict[str, int | bool | None] = {"default": None, "minimum": None, "maximum": None}
    for limit in limits:
        if limit not in parts or not parts[limit].given:
            continue
        if limit == "default" and kind is Kind.TRUE_OR_FALSE:
            limits[limit] = parts[limit].flag()
            continue
        limits[limit] = parts[limit].number()
        if kind is not Kind.WHOLE_NUMBER:
            parts[limit].fault(f"{limit!r} is for whole numbers")
    binds = parts["binds"].word(r"[a-z][a-z0-9_]*") if parts["binds"].given else ""
    if bool(binds) == (kind in (Kind.MEDIA_TYPES, Kind.MATCHING_KEY)):
        entry.fault("'binds' is due for every type but media_types and matching_key, which are read as a whole")
    return Parameter(name, place, kind, binds, parts["text"].text(), **limits)


def _place(entry: Entry) -> Place:
    word = entry.word()
    if word and word not in ("query", "header"):
        entry.fault("query or header is due here")
        return Place.QUERY
    return Place(word or "query")


def _kind(entry: Entry) -> Kind:
    word = entry.word()
    known = [kind.value for kind in Kind]
    if word and word not in known:
        entry.fault(f"unknown type {word!r}; known: {', '.join(known)}")
    return Kind(word) if word in known else Kind.TEXT


def _body(entry: Entry, known: _Known) -> Body:
    parts = entry.fields(("text", "media_types", "schema"))
    return Body(parts["text"].text(), parts["media_types"].words(_MEDIA_TYPE), known.schema(parts["schema"]))


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
    parts = entry.fields(("text",), ("schema", "media_types", "headers", "everywhere"))
    return Answer(
        text=parts["text"].text(),
        schema=known.schema(parts["schema"]) if parts["schema"].given else "",
        media_types=parts["media_types"].words(_MEDIA_TYPE),
        headers=known.header_names(parts["headers"]),
        everywhere=parts["everywhere"].flag(),
    )


def _problems(entry: Entry, known: _Known) -> Iterator[tuple[int, Answer]]:
    for status, _, value in statuses(entry):
        yield status, _answer(value, known)


def _header(entry: Entry) -> HeaderShape:
    parts = entry.fields((), ("text", "type", "everywhere", "of_deprecated"))
    if parts["text"].node is None and parts["of_deprecated"].node is None:
        entry.fault("a text is due: 'text', or 'of_deprecated' for a header of deprecated versions alone")
    kind = parts["type"].word("string|integer") if parts["type"].given else "string"
    return HeaderShape(parts["text"].text(), kind, parts["everywhere"].flag(), parts["of_deprecated"].text())


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
