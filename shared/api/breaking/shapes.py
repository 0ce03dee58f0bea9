"""One alternative of a schema as plain facts: types, values, limits, properties, items. Null is kept apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from shared.api.breaking.documents import Node
from shared.api.breaking.schemas import Schema

NUMBERS = frozenset({"integer", "number"})
TYPES = frozenset({"array", "boolean", "integer", "number", "object", "string"})

# Keyword of a limit → the types it speaks of, and whether it is an upper one.
LIMITS: Mapping[str, tuple[frozenset[str], bool]] = {
    "minimum": (NUMBERS, False),
    "maximum": (NUMBERS, True),
    "minLength": (frozenset({"string"}), False),
    "maxLength": (frozenset({"string"}), True),
    "minItems": (frozenset({"array"}), False),
    "maxItems": (frozenset({"array"}), True),
    "minProperties": (frozenset({"object"}), False),
    "maxProperties": (frozenset({"object"}), True),
}
# Keywords that are compared as wholes: whether a change of one is harmless is not decided.
CONSTRAINTS: Mapping[str, frozenset[str]] = {
    "not": TYPES,
    "if": TYPES,
    "then": TYPES,
    "else": TYPES,
    "contains": frozenset({"array"}),
    "minContains": frozenset({"array"}),
    "maxContains": frozenset({"array"}),
    "unevaluatedItems": frozenset({"array"}),
    "propertyNames": frozenset({"object"}),
    "dependentRequired": frozenset({"object"}),
    "dependentSchemas": frozenset({"object"}),
    "unevaluatedProperties": frozenset({"object"}),
    "contentSchema": frozenset({"string"}),
}
# Keyword → the types it speaks of. A schema that names no type means those that its keywords speak of.
ABOUT: Mapping[str, frozenset[str]] = {
    **{keyword: types for keyword, (types, _) in LIMITS.items()},
    "exclusiveMinimum": NUMBERS,
    "exclusiveMaximum": NUMBERS,
    "multipleOf": NUMBERS,
    "pattern": frozenset({"string"}),
    "uniqueItems": frozenset({"array"}),
    "items": frozenset({"array"}),
    "prefixItems": frozenset({"array"}),
    "properties": frozenset({"object"}),
    "required": frozenset({"object"}),
    "additionalProperties": frozenset({"object"}),
    "patternProperties": frozenset({"object"}),
    **{keyword: types for keyword, types in CONSTRAINTS.items() if types is not TYPES},
}


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound of numbers, lengths or counts.

    Attributes:
        value: the bound.
        exclusive: whether the bound itself is outside.
        upper: whether it is an upper one.
    """

    value: float
    exclusive: bool
    upper: bool

    def tighter_than(self, other: Limit) -> bool:
        """Whether it leaves out something that the other lets in."""
        if self.value == other.value:
            return self.exclusive and not other.exclusive
        return self.value < other.value if self.upper else self.value > other.value

    def allows(self, value: float) -> bool:
        """Whether a value is inside."""
        if value == self.value:
            return not self.exclusive
        return value < self.value if self.upper else value > self.value

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.value:g}{' (exclusive)' if self.exclusive else ''}"


@dataclass(frozen=True, slots=True, eq=False)
class Property:
    """A property an object shape names.

    Attributes:
        schema: of its value.
        read_only: whether only answers have it.
        write_only: whether only requests have it.
        deprecated: whether clients should not use it any more.
        default: what is taken when it is absent, as JSON; empty for none.
    """

    schema: Schema
    read_only: bool
    write_only: bool
    deprecated: bool
    default: str


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One alternative of a schema, null left aside.

    Attributes:
        key: identity: the nodes it is made of, and the types it was narrowed to.
        label: name of the alternative; may be empty.
        types: of `TYPES`; a number that need not be whole has both number types.
        values: the only values, as JSON; None when they are not listed.
        extensible: whether readers were told that more values may come (`x-extensible-enum`).
        formats: format words.
        patterns: regular expressions a text must match.
        limits: by keyword; absent means no limit.
        multiples: numbers a number must be a multiple of.
        unique: whether items must differ.
        properties: by name.
        required: names of properties that must be there.
        others: schema of properties that are not named.
        by_pattern: schema of properties whose name matches a regular expression.
        prefix: schemas of the first items.
        items: schema of the other items.
        constraints: what is compared as a whole, by keyword.
        xml: how it is written as XML.
    """

    key: tuple[frozenset[int], frozenset[str]]
    label: str
    types: frozenset[str]
    values: frozenset[str] | None
    extensible: bool
    formats: frozenset[str]
    patterns: frozenset[str]
    limits: Mapping[str, Limit]
    multiples: frozenset[float]
    unique: bool
    properties: Mapping[str, Property]
    required: frozenset[str]
    others: Schema
    by_pattern: Mapping[str, Schema]
    prefix: tuple[Schema, ...]
    items: Schema
    constraints: Mapping[str, tuple[Node, ...]]
    xml: str

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return repr(self.label) if self.label else " or ".join(sorted(self.types))

    def narrowed(self, types: frozenset[str]) -> Shape:
        """The part of it with some of its types; what speaks of other types only is left out."""
        values = self.values
        if values is not None:
            values = frozenset(value for value in values if types_of_value(json.loads(value)) & types)
        return replace(
            self,
            key=(self.key[0], types),
            types=types,
            values=values,
            formats=self.formats if types & (NUMBERS | {"string"}) else frozenset(),
            patterns=self.patterns if "string" in types else frozenset(),
            limits={keyword: limit for keyword, limit in self.limits.items() if LIMITS[keyword][0] & types},
            multiples=self.multiples if types & NUMBERS else frozenset(),
            unique=self.unique and "array" in types,
            properties=self.properties if "object" in types else {},
            required=self.required if "object" in types else frozenset(),
            constraints={key: nodes for key, nodes in self.constraints.items() if CONSTRAINTS[key] & types},
        )


@dataclass(frozen=True, slots=True, eq=False)
class Alternatives:
    """A schema taken apart.

    Attributes:
        null: whether null is allowed.
        shapes: what else is allowed.
        exclusive: whether a value must match exactly one shape.
        discriminator: the node that tells the shapes apart, or None.
        undecided: why the shapes could not be found; empty when they were.
    """

    null: bool
    shapes: tuple[Shape, ...]
    exclusive: bool
    discriminator: Node
    undecided: str


def canonical(value: Node) -> str:
    """A value as JSON, equal for equal values."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def is_multiple(value: float, step: float) -> bool:
    """Whether a number is a multiple of another, as the decimals they are written as."""
    return step > 0 and Fraction(str(value)) % Fraction(str(step)) == 0


def types_of_value(value: Node) -> frozenset[str]:
    """Types a value has."""
    if value is None:
        return frozenset({"null"})
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return frozenset({"integer"})
    if isinstance(value, float):
        return frozenset({"number"})
    return frozenset({"string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"})
