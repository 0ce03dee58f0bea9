"""What expressions in Bicep files come to, as far as it is known before anything is made: settings and paths of apps.

What Azure tells (ids, addresses) is `UNKNOWN`, and so is what is worked out from it, but for text around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tree_sitter import Node

from shared.dev.infra.source import Source, children, properties, text_of


class Unknown:
    """A value that only Azure knows."""

    def __str__(self) -> str:
        return "unknown"


UNKNOWN = Unknown()

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "contains": lambda whole, part: part in whole,
    "empty": lambda value: not value,
    "flatten": lambda lists: [item for each in lists for item in each],
    "join": lambda items, between: between.join(str(item) for item in items),
    "length": len,
    "readEnvironmentVariable": lambda name, default=None: default or f"{name.lower()}-of-the-environment",
    "replace": lambda text, old, new: text.replace(old, new),
    "string": str,
    "union": lambda *parts: _united(parts),
}
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
    "+": lambda left, right: left + right,
    "&&": lambda left, right: left and right,
    "||": lambda left, right: left or right,
}


@dataclass(frozen=True, slots=True)
class Values:
    """What names stand for in a file.

    Attributes:
        source: the file; its variables, defaults and functions are known.
        given: values of its parameters, and of names that loops and functions make.
    """

    source: Source
    given: Mapping[str, Any]

    def of(self, node: Node) -> Any:  # Any: whatever the expression comes to
        """What an expression comes to."""
        reader = _READERS.get(node.type)
        return reader(self, node) if reader else UNKNOWN

    def named(self, name: str) -> Any:  # Any: whatever the name stands for
        """What a name stands for."""
        if name in self.given:
            return self.given[name]
        declared = self.source.declarations.get(name)
        if declared is None or declared.kind not in ("param", "var") or declared.value is None:
            return UNKNOWN
        return self.of(declared.value)

    def with_names(self, more: Mapping[str, Any]) -> Values:
        """The same with more names."""
        return Values(self.source, {**self.given, **more})


def _united(parts: tuple[Any, ...]) -> Any:  # Any: a list or an object, as its parts are
    if isinstance(parts[0], dict):
        return {name: value for part in parts for name, value in part.items()}
    return list(dict.fromkeys(item for part in parts for item in part))


def _string(values: Values, node: Node) -> str:
    parts = node.named_children
    if not any(part.type == "interpolation" for part in parts):
        return text_of(node)
    return "".join(
        str(values.of(children(each)[0])) if each.type == "interpolation" else text_of(each) for each in parts
    )


def _array(values: Values, node: Node) -> list[Any]:
    found: list[Any] = []
    items = children(node)
    for place, item in enumerate(items):
        # Within an array the grammar takes a call for a name and something in brackets behind it.
        after = items[place + 1] if place + 1 < len(items) else None
        if item.type == "identifier" and after is not None and after.start_byte == item.end_byte:
            found.append(_called(values, text_of(item), children(after)))
        elif item.type != "parenthesized_expression" or place == 0 or item.start_byte != items[place - 1].end_byte:
            found.append(values.of(item))
    return found


def _object(values: Values, node: Node) -> dict[str, Any]:
    return {key: values.of(inner) for key, inner in properties(node)}


def _choice(values: Values, node: Node) -> Any:  # Any: as its branches
    condition, then, otherwise = children(node)
    known = values.of(condition)
    return UNKNOWN if known is UNKNOWN else values.of(then if known else otherwise)


def _binary(values: Values, node: Node) -> Any:  # Any: as the operator makes
    left, right = (values.of(part) for part in children(node))
    sign = next(part.type for part in node.children if not part.is_named)
    return UNKNOWN if UNKNOWN in (left, right) else _OPERATORS[sign](left, right)


def _unary(values: Values, node: Node) -> Any:  # Any: as the operator makes
    value = values.of(children(node)[0])
    return UNKNOWN if value is UNKNOWN else not value


def _member(values: Values, node: Node) -> Any:  # Any: whatever the member is
    base, name = children(node)
    value = values.of(base)
    return value.get(text_of(name), UNKNOWN) if isinstance(value, dict) else UNKNOWN


def _call(values: Values, node: Node) -> Any:  # Any: whatever it gives back
    name, arguments = children(node)
    return _called(values, text_of(name), children(arguments))


def _called(values: Values, name: str, arguments: list[Node]) -> Any:  # Any: whatever it gives back
    declared = values.source.declarations.get(name)
    if declared is not None and declared.value is not None:
        parameters = [text_of(children(each)[0]) for each in children(declared.parts[0])]
        given = dict(zip(parameters, (values.of(each) for each in arguments), strict=True))
        return Values(values.source, given).of(declared.value)
    if name == "map":
        parameter, body = children(arguments[1])
        return [values.with_names({text_of(parameter): item}).of(body) for item in values.of(arguments[0])]
    given_values = [values.of(each) for each in arguments]
    if name not in _FUNCTIONS or UNKNOWN in given_values:
        return UNKNOWN
    return _FUNCTIONS[name](*given_values)


_READERS: dict[str, Callable[[Values, Node], Any]] = {
    "string": _string,
    "number": lambda _, node: int(text_of(node)),
    "boolean": lambda _, node: text_of(node) == "true",
    "null": lambda _, __: None,
    "identifier": lambda values, node: values.named(text_of(node)),
    "parenthesized_expression": lambda values, node: values.of(children(node)[0]),
    "array": _array,
    "object": _object,
    "ternary_expression": _choice,
    "binary_expression": _binary,
    "unary_expression": _unary,
    "member_expression": _member,
    "call_expression": _call,
}
