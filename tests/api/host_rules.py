"""How the Functions host picks a function, written down a second time and from route templates alone.

Functions are tried in the order of their upper-cased names; the first whose methods and template match is taken.
Literals and constraints ignore case, one trailing slash is ignored, an empty segment matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    template: str
    methods: tuple[str, ...]


def pick(functions: Iterable[Function], method: str, path: str) -> tuple[str, dict[str, str]]:
    """Name and route values of the function that gets the request; no name for the host's own 404."""
    segments = path.removeprefix("/").removesuffix("/").split("/")
    decoded = [unquote(segment.replace("%2F", "%252F").replace("%2f", "%252f")) for segment in segments]
    for function in sorted(functions, key=lambda one: one.name.upper()):
        values = _match(function.template, decoded)
        if values is not None and method in function.methods:
            return function.name, values
    return "", {}


def _match(template: str, segments: list[str]) -> dict[str, str] | None:
    values: dict[str, str] = {}
    parts = template.split("/")
    for index, part in enumerate(parts):
        if part.startswith("{*"):
            values[part[2:-1]] = "/".join(segments[index:])
            return values
        if index >= len(segments) or not segments[index]:
            return None
        if part.startswith("{"):
            name, _, constraint = part[1:-1].partition(":")
            if constraint:
                assert constraint.startswith("regex(")
                assert constraint.endswith(")")
                if re.search(constraint[6:-1], segments[index], re.IGNORECASE) is None:
                    return None
            values[name] = segments[index]
        elif part.lower() != segments[index].lower():
            return None
    return values if len(parts) == len(segments) else None
