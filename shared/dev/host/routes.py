"""Route templates as the Functions host reads them (ASP.NET Core route patterns), matched with decoded paths."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared.dev.host.constraints import Check, ConstraintError, check_for

# What a parameter may be called (ASP.NET Core: any text without the template's own signs).
_PARAMETER_NAME = re.compile(r"[^/{}?*:=]+")
_CONSTRAINT_NAME = re.compile(r"[A-Za-z]+")


class TemplateError(ValueError):
    """A route template that the host cannot read; the text says why."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One `{parameter}` of a template; `default` is None when there is none."""

    name: str
    checks: tuple[Check, ...] = ()
    default: str | None = None
    optional: bool = False
    catch_all: bool = False


Part = str | Parameter
Segment = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template.

    Attributes:
        text: as it was written, without a leading slash.
        segments: the parts between slashes; a literal is a string.
    """

    text: str
    segments: tuple[Segment, ...]

    def match(self, path: str) -> dict[str, str] | None:
        """The parameters of a decoded path, or None when the template does not match it.

        Literals ignore case, one trailing slash is ignored, an empty segment never matches. A missing optional
        parameter is left out.
        """
        pieces = _pieces(path)
        values: dict[str, str] = {}
        for position, segment in enumerate(self.segments):
            last = segment[0]
            if isinstance(last, Parameter) and last.catch_all:
                if position < len(pieces) and not pieces[position]:
                    return None
                # The tail is taken as it is, its own empty segments and its trailing slash included.
                tail = path.removeprefix("/").split("/", position)[position:]
                _take(values, last, tail[0] if tail else "")
                return values if self._satisfied(values) else None
            if position >= len(pieces):
                if (
                    not isinstance(last, Parameter)
                    or len(segment) > 1
                    or not (last.optional or last.default is not None)
                ):
                    return None
                _take(values, last, "")
            elif not pieces[position] or not _match_segment(segment, pieces[position], values):
                return None
        return values if len(pieces) <= len(self.segments) and self._satisfied(values) else None

    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters, left to right."""
        return tuple(part for segment in self.segments for part in segment if isinstance(part, Parameter))

    def _satisfied(self, values: Mapping[str, str]) -> bool:
        return all(
            check(values[parameter.name])
            for parameter in self.parameters()
            if parameter.name in values
            for check in parameter.checks
        )


def _pieces(path: str) -> list[str]:
    trimmed = path.removeprefix("/")
    if not trimmed:
        return []
    return trimmed.removesuffix("/").split("/")


def _take(values: dict[str, str], parameter: Parameter, text: str) -> None:
    if text:
        values[parameter.name] = text
    elif parameter.default is not None:
        values[parameter.name] = parameter.default


def _match_segment(segment: Segment, text: str, values: dict[str, str]) -> bool:
    if len(segment) == 1:
        part = segment[0]
        if isinstance(part, str):
            return part.upper() == text.upper()
        values[part.name] = text
        return True
    found = _match_parts(segment, text)
    final = segment[-1]
    if found is None and isinstance(final, Parameter) and final.optional and not text.endswith("."):
        found = _match_parts(segment[:-2], text)
    if found is None:
        return False
    values.update(found)
    return True


def _match_parts(parts: Segment, text: str) -> dict[str, str] | None:
    """The host looks for literals from the right, so the left parameter takes all it can: a greedy quantifier."""
    names = [part.name for part in parts if isinstance(part, Parameter)]
    pattern = "".join("(.+)" if isinstance(part, Parameter) else re.escape(part) for part in parts)
    found = re.fullmatch(pattern, text, re.IGNORECASE | re.DOTALL)
    return dict(zip(names, found.groups(), strict=True)) if found else None


def parse(text: str) -> Template:
    """Read one route template.

    Raises:
        TemplateError: the host could not read it either.
    """
    body = text.removeprefix("~/").removeprefix("/")
    segments = tuple(_parse_segment(piece, text) for piece in _split(body)) if body else ()
    template = Template(body, segments)
    names = [parameter.name.upper() for parameter in template.parameters()]
    if len(set(names)) != len(names):
        raise TemplateError(f"{text!r}: a parameter name appears twice")
    if any(
        parameter.catch_all for segment in segments[:-1] for parameter in segment if isinstance(parameter, Parameter)
    ):
        raise TemplateError(f"{text!r}: a catch-all parameter must be the last segment")
    return template


def _split(body: str) -> list[str]:
    """Cut at slashes that stand outside braces."""
    pieces, depth, start = [], 0, 0
    for position, sign in enumerate(body):
        depth += (sign == "{") - (sign == "}")
        if sign == "/" and depth == 0:
            pieces.append(body[start:position])
            start = position + 1
    # One slash at the end of a template means nothing.
    if start < len(body):
        pieces.append(body[start:])
    return pieces


def _parse_segment(piece: str, text: str) -> Segment:
    if not piece:
        raise TemplateError(f"{text!r}: two slashes in a row")
    parts: list[Part] = []
    position = 0
    while position < len(piece):
        if piece[position] == "{" and not piece.startswith("{{", position):
            end = _closing_brace(piece, position, text)
            parts.append(_parse_parameter(piece[position + 1 : end], text))
            position = end + 1
        else:
            literal, position = _literal(piece, position, text)
            parts.append(literal)
    return _checked_segment(tuple(parts), text)


def _literal(piece: str, position: int, text: str) -> tuple[str, int]:
    signs = []
    while position < len(piece):
        sign = piece[position]
        if sign in "{}":
            if not piece.startswith(sign * 2, position):
                if sign == "{":
                    break
                raise TemplateError(f"{text!r}: a closing brace without an opening one")
            position += 1
        elif sign == "?":
            raise TemplateError(f"{text!r}: a question mark in a literal")
        signs.append(sign)
        position += 1
    return "".join(signs), position


def _closing_brace(piece: str, start: int, text: str) -> int:
    position = start + 1
    while position < len(piece):
        if piece[position] in "{}":
            if piece.startswith(piece[position] * 2, position):
                # A doubled brace stands for one, as in a regular expression's {{2,3}}.
                position += 2
                continue
            if piece[position] == "}":
                return position
            break
        position += 1
    raise TemplateError(f"{text!r}: a brace is not closed (a brace inside a constraint is written twice)")


def _checked_segment(parts: Segment, text: str) -> Segment:
    parameters = [part for part in parts if isinstance(part, Parameter)]
    if any(isinstance(left, Parameter) and isinstance(right, Parameter) for left, right in itertools.pairwise(parts)):
        raise TemplateError(f"{text!r}: two parameters without a literal between them")
    if len(parts) == 1:
        return parts
    if any(parameter.catch_all for parameter in parameters):
        raise TemplateError(f"{text!r}: a catch-all parameter must be a segment of its own")
    if any(parameter.optional for parameter in parameters if parameter is not parts[-1]):
        raise TemplateError(f"{text!r}: an optional parameter must be at the end of its segment")
    if parameters and parameters[-1].optional and parts[-2] != "." and not str(parts[-2]).endswith("."):
        raise TemplateError(f"{text!r}: an optional parameter in a segment must follow a period")
    return parts


def _parse_parameter(inner: str, text: str) -> Parameter:
    inner = inner.replace("{{", "{").replace("}}", "}")
    stars = len(inner) - len(inner.lstrip("*"))
    inner = inner[stars:]
    optional = inner.endswith("?")
    inner = inner.removesuffix("?")
    found = _PARAMETER_NAME.match(inner)
    if stars > 2 or not found:
        raise TemplateError(f"{text!r}: a parameter has no proper name")
    checks, rest = _parse_constraints(inner[found.end() :], text)
    default = rest[1:] if rest.startswith("=") else None
    if rest and default is None:
        raise TemplateError(f"{text!r}: parameter {found.group()} cannot be read from {rest!r} on")
    if optional and (default is not None or stars):
        raise TemplateError(f"{text!r}: parameter {found.group()} cannot be optional as well")
    return Parameter(found.group(), checks, default, optional, bool(stars))


def _parse_constraints(rest: str, text: str) -> tuple[tuple[Check, ...], str]:
    checks: list[Check] = []
    while rest.startswith(":"):
        found = _CONSTRAINT_NAME.match(rest, 1)
        if not found:
            raise TemplateError(f"{text!r}: a constraint has no name")
        name, rest = found.group(), rest[found.end() :]
        argument = ""
        if rest.startswith("("):
            # The argument ends at the bracket before the next constraint, the default or the end.
            end = re.search(r"\)(?=[:=]|$)", rest)
            if not end:
                raise TemplateError(f"{text!r}: constraint {name} has no closing bracket")
            argument, rest = rest[1 : end.start()], rest[end.end() :]
        try:
            checks.append(check_for(name, argument))
        except ConstraintError as error:
            raise TemplateError(f"{text!r}: {error}") from error
    return tuple(checks), rest
