"""Raw path, query and header values → typed values, by the row's sets. The types describe themselves for documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from urllib.parse import parse_qsl, unquote

from shared.errors import InvalidParameter
from shared.wire.call import Headers

_UID = r"[0-9.]*[0-9]"
_UID_LENGTH = 64
_PARTITION_NAME = r"[A-Za-z0-9_.-]{1,64}"
_DATE_TIME = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)"
    r"(?:(?<=:[0-9]{2}:[0-9]{2})\.(?P<fraction>[0-9]{1,30}))?(?P<zone>[Zz]|[+ -][0-9]{2}:?[0-9]{2})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")
_LARGEST_NUMBER = 2**63 - 1
"""Of 64 bits, as the documents' int64 says."""
_MOST_FRAMES = 10_000


class Kind(Enum):
    """The type of a parameter; a member's value is the word shapes.yaml writes."""

    UID = "uid"
    PARTITION_NAME = "partition_name"
    TEXT = "text"
    EXACTLY_TRUE = "exactly_true"
    TRUE_OR_FALSE = "true_or_false"
    WHOLE_NUMBER = "whole_number"
    DATE_TIME = "date_time"
    MEDIA_TYPES = "media_types"
    TEXT_LIST = "text_list"
    MATCHING_KEY = "matching_key"
    FRAME_NUMBER = "frame_number"
    FRAME_LIST = "frame_list"


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
        binds: its name in `Call.parameters`; empty when only the front door reads it, and for matching keys, which are
            all together under `matching_keys`.
        text: what it is, for the document.
        default: value when it is not given (whole numbers, true or false).
        minimum: smallest whole number taken.
        maximum: largest whole number taken.
        example: a value, for the document; None for none.
    """

    name: str
    place: Place
    kind: Kind
    binds: str
    text: str
    default: int | bool | None = None
    minimum: int | None = None
    maximum: int | None = None
    example: object = None


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
    wanted = tuple(parameters)
    pairs = parse_qsl(query, keep_blank_values=True)
    given: dict[str, str] = {}
    for name, value in pairs:
        given.setdefault(name.lower(), value)
    values: dict[str, object] = {}
    if any(parameter.kind is Kind.MATCHING_KEY for parameter in wanted):
        values["matching_keys"] = _matching_keys(wanted, pairs)
    for parameter in wanted:
        if not parameter.binds:
            continue
        if parameter.kind is Kind.TEXT_LIST:
            values[parameter.binds] = tuple(value for name, value in pairs if name.lower() == parameter.name.lower())
            continue
        if parameter.place is Place.PATH:
            raw: str | None = path_values.get(parameter.name, "")
        elif parameter.place is Place.QUERY:
            raw = given.get(parameter.name.lower())
        else:
            raw = headers.joined(parameter.name)
        values[parameter.binds] = value_of(parameter, raw)
    return values


def _matching_keys(parameters: Iterable[Parameter], pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Everything in the query that is no other parameter, as it was typed: an attribute has several spellings."""
    others = {
        parameter.name.lower()
        for parameter in parameters
        if parameter.place is Place.QUERY and parameter.kind is not Kind.MATCHING_KEY
    }
    return tuple((name, value) for name, value in pairs if name.lower() not in others)


def value_of(parameter: Parameter, raw: str | None) -> object:
    """One typed value; the default when `raw` is None."""
    # An empty time is none, as in the original: forms send it so.
    if raw is None or (parameter.kind is Kind.DATE_TIME and not raw.strip(" ")):
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
    if parameter.kind is Kind.WHOLE_NUMBER and parameter.maximum is None:
        # Without a word about it, generated clients of typed languages take 32 bits.
        described["format"] = "int64"
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
    number = _number(raw)
    if number is None or (low is not None and number < low) or (high is not None and number > high):
        least = "" if low is None else f" of at least {low}"
        most = "" if high is None else f"{' and' if least else ' of'} at most {high}"
        raise InvalidParameter(parameter.name, f"must be a whole number{least}{most}")
    return number


def _number(raw: str) -> int | None:
    number = int(raw) if _NUMBER.fullmatch(raw.strip(" ")) else None
    return number if number is not None and abs(number) <= _LARGEST_NUMBER else None


def _frame_number(parameter: Parameter, raw: str) -> int:
    number = _number(raw)
    if number is None or number < 1:
        raise InvalidParameter(parameter.name, "must be the number of one frame; the first is 1")
    return number


def _frame_list(parameter: Parameter, raw: str) -> tuple[int, ...]:
    """Numbers in the order of the list, repeats included (contract C3.4)."""
    pieces = raw.split(",", _MOST_FRAMES)
    if len(pieces) > _MOST_FRAMES:
        raise InvalidParameter(parameter.name, f"must be a list of at most {_MOST_FRAMES} frame numbers")
    numbers = tuple(number for piece in pieces if (number := _number(piece)) is not None and number > 0)
    if len(numbers) < len(pieces):
        raise InvalidParameter(parameter.name, "must be frame numbers with commas between them; the first frame is 1")
    return numbers


def _true_or_false(parameter: Parameter, raw: str) -> bool:
    word = raw.strip(" ").lower()
    if word not in ("true", "false"):
        raise InvalidParameter(parameter.name, "must be true or false")
    return word == "true"


def _date_time(parameter: Parameter, raw: str) -> int:
    """Hundreds of nanoseconds since 1970; what is finer counts as the next one."""
    parts = _DATE_TIME.fullmatch(raw.strip(" "))
    moment = _moment(parts) if parts else None
    if parts is None or moment is None:
        raise InvalidParameter(
            parameter.name, "must be a date and time with a zone (RFC 3339), such as 2026-11-21T08:30:00Z"
        )
    fraction = (parts["fraction"] or "").ljust(7, "0")
    finer = fraction[7:].strip("0") != ""
    return (moment - _EPOCH) // timedelta(seconds=1) * 10_000_000 + int(fraction[:7]) + finer


def _moment(parts: re.Match[str]) -> datetime | None:
    # A plus sign that was not percent-encoded arrives as a space.
    zone = parts["zone"].replace(" ", "+").upper()
    try:
        return datetime.fromisoformat(f"{parts['day']}T{parts['time']}{zone}")
    except ValueError:
        return None


_READERS: dict[Kind, Callable[[Parameter, str], object]] = {
    Kind.UID: _uid,
    Kind.PARTITION_NAME: _partition_name,
    Kind.TEXT: lambda _, raw: raw,
    Kind.EXACTLY_TRUE: lambda _, raw: raw.strip().lower() == "true",
    Kind.TRUE_OR_FALSE: _true_or_false,
    Kind.WHOLE_NUMBER: _whole_number,
    Kind.DATE_TIME: _date_time,
    Kind.MEDIA_TYPES: lambda _, raw: raw,
    Kind.TEXT_LIST: lambda _, raw: (raw,),
    Kind.MATCHING_KEY: lambda _, raw: raw,
    Kind.FRAME_NUMBER: _frame_number,
    Kind.FRAME_LIST: _frame_list,
}
_DEFAULTS: dict[Kind, object] = {Kind.EXACTLY_TRUE: False, Kind.TEXT_LIST: ()}
_SCHEMAS: dict[Kind, dict[str, object]] = {
    Kind.UID: {"type": "string", "minLength": 1, "maxLength": _UID_LENGTH, "pattern": f"^{_UID}$"},
    Kind.PARTITION_NAME: {"type": "string", "pattern": f"^{_PARTITION_NAME}$"},
    Kind.TEXT: {"type": "string"},
    Kind.EXACTLY_TRUE: {"type": "string", "default": "false"},
    Kind.TRUE_OR_FALSE: {"type": "boolean"},
    Kind.WHOLE_NUMBER: {"type": "integer"},
    Kind.DATE_TIME: {"type": "string", "format": "date-time"},
    Kind.MEDIA_TYPES: {"type": "string"},
    Kind.TEXT_LIST: {"type": "array", "items": {"type": "string"}},
    Kind.MATCHING_KEY: {"type": "string"},
    Kind.FRAME_NUMBER: {"type": "integer", "minimum": 1},
    # In a path an array is written with commas, which is the default style.
    Kind.FRAME_LIST: {
        "type": "array",
        "items": {"type": "integer", "minimum": 1},
        "minItems": 1,
        "maxItems": _MOST_FRAMES,
    },
}
