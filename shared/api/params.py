"""Raw path, query and header values → typed values, by the row's sets. The types describe themselves for documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qsl, unquote

from shared.errors import InvalidParameter
from shared.wire.call import Headers

_UID = r"[0-9.]*[0-9]"
_UID_LENGTH = 64
_PARTITION_NAME = r"[A-Za-z0-9_.-]{1,64}"


class Kind(Enum):
    """The type of a parameter; a member's value is the word shapes.yaml writes."""

    UID = "uid"
    PARTITION_NAME = "partition_name"
    TEXT = "text"
    EXACTLY_TRUE = "exactly_true"
    WHOLE_NUMBER = "whole_number"
    MEDIA_TYPES = "media_types"


class Place(Enum):
    """Where a parameter is given."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operation.

    Attributes:
        name: as it is written in the request.
        place: where it is given.
        kind: its type.
        binds: its name in `Call.parameters`; empty when only the front door reads it.
        text: what it is, for the document.
        default: value when it is not given (whole numbers only).
        minimum: smallest whole number taken.
        maximum: largest whole number taken.
    """

    name: str
    place: Place
    kind: Kind
    binds: str
    text: str
    default: int | None = None
    minimum: int | None = None
    maximum: int | None = None


def read(
    parameters: Iterable[Parameter], path_values: Mapping[str, str], query: str, headers: Headers
) -> dict[str, object]:
    """Typed values by their `binds` names; absent ones have their default.

    Args:
        parameters: what the row takes.
        path_values: route values, percent-decoded by the host.
        query: raw query string without the question mark.
        headers: the request's headers.

    Raises:
        InvalidParameter: a value breaks the rules of its type.
    """
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        given.setdefault(name.lower(), value)
    values: dict[str, object] = {}
    for parameter in parameters:
        if not parameter.binds:
            continue
        if parameter.place is Place.PATH:
            raw: str | None = path_values.get(parameter.name, "")
        elif parameter.place is Place.QUERY:
            raw = given.get(parameter.name.lower())
        else:
            raw = headers.joined(parameter.name)
        values[parameter.binds] = value_of(parameter, raw)
    return values


def value_of(parameter: Parameter, raw: str | None) -> object:
    """One typed value; the default when `raw` is None."""
    if raw is None:
        return _DEFAULTS.get(parameter.kind, parameter.default)
    return _READERS[parameter.kind](parameter, raw)


def media_types(query: str) -> str | None:
    """The raw query's `accept` values as one list, or None when there is none.

    A plus sign stays one: media types such as application/dicom+json are often sent without encoding it.
    """
    found = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if unquote(name).lower() == "accept" and value:
            found.append(unquote(value))
    return ", ".join(found) or None


def schema(parameter: Parameter) -> dict[str, object]:
    """The type as an OpenAPI schema, with its limits and default."""
    described = dict(_SCHEMAS[parameter.kind])
    for key, value in (("minimum", parameter.minimum), ("maximum", parameter.maximum), ("default", parameter.default)):
        if value is not None:
            described[key] = value
    return described


def _uid(parameter: Parameter, raw: str) -> str:
    uid = raw.rstrip(" ")
    if len(uid) > _UID_LENGTH or re.fullmatch(_UID, uid) is None:
        raise InvalidParameter(
            parameter.name, f"must be a UID: 1 to {_UID_LENGTH} digits and dots that end with a digit (PS3.5 §9.1)"
        )
    return uid


def _partition_name(parameter: Parameter, raw: str) -> str:
    if re.fullmatch(_PARTITION_NAME, raw) is None:
        raise InvalidParameter(parameter.name, "must be 1 to 64 letters, digits, dots, hyphens or underscores")
    return raw


def _whole_number(parameter: Parameter, raw: str) -> int:
    low, high = parameter.minimum, parameter.maximum
    number = int(raw) if re.fullmatch(r"[+-]?[0-9]{1,18}", raw.strip(" ")) else None
    if number is None or (low is not None and number < low) or (high is not None and number > high):
        least = "" if low is None else f" of at least {low}"
        most = "" if high is None else f"{' and' if least else ' of'} at most {high}"
        raise InvalidParameter(parameter.name, f"must be a whole number{least}{most}")
    return number


_READERS: dict[Kind, Callable[[Parameter, str], object]] = {
    Kind.UID: _uid,
    Kind.PARTITION_NAME: _partition_name,
    Kind.TEXT: lambda _, raw: raw,
    Kind.EXACTLY_TRUE: lambda _, raw: raw.strip().lower() == "true",
    Kind.WHOLE_NUMBER: _whole_number,
    Kind.MEDIA_TYPES: lambda _, raw: raw,
}
_DEFAULTS: dict[Kind, object] = {Kind.EXACTLY_TRUE: False}
_SCHEMAS: dict[Kind, dict[str, object]] = {
    Kind.UID: {"type": "string", "minLength": 1, "maxLength": _UID_LENGTH, "pattern": f"^{_UID}$"},
    Kind.PARTITION_NAME: {"type": "string", "pattern": f"^{_PARTITION_NAME}$"},
    Kind.TEXT: {"type": "string"},
    Kind.EXACTLY_TRUE: {"type": "string", "default": "false"},
    Kind.WHOLE_NUMBER: {"type": "integer"},
    Kind.MEDIA_TYPES: {"type": "string"},
}
