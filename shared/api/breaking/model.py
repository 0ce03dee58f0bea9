"""What a document says of its operations: defaults filled in, references followed, names made comparable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from shared.api.breaking.documents import Map
from shared.api.breaking.schemas import Schema

# Sets of schemes and scopes that are needed together; any one of the sets will do.
Requirement = frozenset[tuple[str, frozenset[str]]]


@dataclass(frozen=True, slots=True, eq=False)
class Media:
    """A representation of a body.

    Attributes:
        name: media type or range, in lower case, with its parameters in order.
        schema: of the content.
        described: whether there is a schema.
        encoding: how parts of it are written, as JSON.
    """

    name: str
    schema: Schema
    described: bool
    encoding: str


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A parameter of an operation, or a header of a response.

    Attributes:
        name: as it is written.
        place: path, query, header or cookie.
        required: whether it must be there.
        style: how it is written out.
        explode: whether each item or property stands alone.
        flags: which of allowEmptyValue and allowReserved are set.
        deprecated: whether clients should not use it any more.
        media: media type of its text when it is no plain value; empty otherwise.
        schema: of its value.
        default: what is taken when it is absent, as JSON; empty for none.
    """

    name: str
    place: str
    required: bool
    style: str
    explode: bool
    flags: frozenset[str]
    deprecated: bool
    media: str
    schema: Schema
    default: str


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A request body."""

    required: bool
    content: Mapping[str, Media]


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """What an operation answers with one status; headers by name in lower case."""

    content: Mapping[str, Media]
    headers: Mapping[str, Parameter]
    links: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation.

    Attributes:
        method: in upper case.
        template: path as it is written.
        key: what it is matched by: the path without the names of its placeholders, and the method.
        pointer: steps to it in the document.
        operation_id: may be empty.
        placeholders: names in the path, in order.
        deprecated: whether clients should not use it any more.
        sunset: text of `x-sunset`; empty for none.
        stability: `x-stability-level`; empty for none.
        tags: in no order.
        parameters: by place and name; those of the path by their position in it.
        body: None for none.
        responses: by status.
        security: requirements of which any will do.
        callbacks: operations the service calls, by name of the callback and key.
    """

    method: str
    template: str
    key: tuple[str, str]
    pointer: tuple[str, ...]
    operation_id: str
    placeholders: tuple[str, ...]
    deprecated: bool
    sunset: str
    stability: str
    tags: frozenset[str]
    parameters: Mapping[tuple[str, str], Parameter]
    body: Body | None
    responses: Mapping[str, Response]
    security: tuple[Requirement, ...]
    callbacks: Mapping[tuple[str, tuple[str, str]], Operation]

    @property
    def name(self) -> str:
        """Method and path."""
        return f"{self.method} {self.template}"

    @property
    def sunset_day(self) -> date | None:
        """The day of its sunset; None when there is none or it is no date."""
        try:
            return date.fromisoformat(self.sunset[:10])
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, eq=False)
class Interface:
    """What a document offers.

    Attributes:
        stability: of the document as a whole; empty for none.
        behaviours: words for conduct that schemas do not show, by key.
        operations: by key, without those of paths that were left out.
        webhooks: operations the service calls, by key; their path is their name.
        schemes: security schemes by name.
        asked_for: names of the schemes that an operation asks for, those that were left out included.
    """

    stability: str
    behaviours: Mapping[str, str]
    operations: Mapping[tuple[str, str], Operation]
    webhooks: Mapping[tuple[str, str], Operation]
    schemes: Mapping[str, Map]
    asked_for: frozenset[str]
