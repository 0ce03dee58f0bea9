"""Schemas → shapes.

Spellings of one meaning become one here: `nullable` and a type list with null, `const` and an `enum` of one, exclusive
limits as booleans and as numbers, `contentEncoding: base64` and `format: byte`, alternatives of listed values and one
list.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from shared.api.breaking.documents import DocumentError, Map, Node
from shared.api.breaking.schemas import Branch, Schema, Schemas
from shared.api.breaking.shapes import (
    ABOUT,
    CONSTRAINTS,
    LIMITS,
    TYPES,
    Alternatives,
    Limit,
    Property,
    Shape,
    canonical,
    types_of_value,
)

_ALL = TYPES | {"null"}
_SCALARS = TYPES - {"array", "object"}
# Counts that are no limit, because nothing can be below them.
_FROM_ZERO = frozenset({"minLength", "minItems", "minProperties"})
_CONTENT_FORMATS = {"base64": "byte", "base64url": "byte"}


@dataclass(frozen=True, slots=True)
class Objects:
    """What a branch says of objects."""

    properties: dict[str, Property]
    required: frozenset[str]
    others: Schema
    by_pattern: dict[str, Schema]


class Normalizer:
    """Gives the alternatives of one document's schemas."""

    def __init__(self, schemas: Schemas) -> None:
        """Read schemas of the document that `schemas` takes apart."""
        self.schemas = schemas
        self._found: dict[frozenset[int], Alternatives] = {}
        self._properties: dict[frozenset[int], Property] = {}

    def alternatives(self, schema: Schema) -> Alternatives:
        """A schema's alternatives."""
        if schema.key not in self._found:
            self._found[schema.key] = self._read(schema)
        return self._found[schema.key]

    def property_of(self, schema: Schema) -> Property:
        """A schema with what is noted at it: it is one property's."""
        if schema.key not in self._properties:
            marks = self.schemas.marks(schema)
            defaults = [canonical(mark["default"]) for mark in marks if "default" in mark]
            self._properties[schema.key] = Property(
                schema,
                read_only=any(mark.get("readOnly") is True for mark in marks),
                write_only=any(mark.get("writeOnly") is True for mark in marks),
                deprecated=any(mark.get("deprecated") is True for mark in marks),
                default=defaults[0] if defaults else "",
            )
        return self._properties[schema.key]

    def _read(self, schema: Schema) -> Alternatives:
        branches = self.schemas.branches(schema)
        found = [self._shape(branch) for branch in branches.found]
        null = any(allows_null for allows_null, _ in found)
        shapes = _joined([shape for _, shape in found if shape is not None])
        return Alternatives(null, shapes, branches.exclusive, branches.discriminator, branches.undecided)

    def _shape(self, branch: Branch) -> tuple[bool, Shape | None]:
        """Whether a branch allows null, and what else it allows."""
        types, values = _types_and_values(branch.atoms)
        null = "null" in types
        types -= {"null"}
        if not types:
            return null, None
        objects = self._objects(branch.atoms)
        prefix, items = self._items(branch.atoms)
        shape = Shape(
            key=(frozenset(id(atom) for atom in branch.atoms), types),
            label=branch.label,
            types=types,
            values=values,
            extensible=any(atom.get("x-extensible-enum") not in (None, False) for atom in branch.atoms),
            formats=frozenset(word for atom in branch.atoms for word in _formats(atom)),
            patterns=frozenset(_text(atom, "pattern") for atom in branch.atoms if "pattern" in atom),
            limits=_limits(branch.atoms, whole="number" not in types),
            multiples=frozenset(_number(atom, "multipleOf") for atom in branch.atoms if "multipleOf" in atom),
            unique=any(atom.get("uniqueItems") is True for atom in branch.atoms),
            properties=objects.properties,
            required=objects.required,
            others=objects.others,
            by_pattern=objects.by_pattern,
            prefix=prefix,
            items=items,
            constraints=_constraints(branch.atoms),
            xml=canonical([atom["xml"] for atom in branch.atoms if "xml" in atom]),
        )
        return null, shape.narrowed(types)

    def _objects(self, atoms: Sequence[Map]) -> Objects:
        """Properties that hold together: each atom speaks of every name, if only by `additionalProperties`."""
        names = dict.fromkeys(name for atom in atoms for name in _map(atom, "properties"))
        properties = {}
        for name in names:
            nodes = [_map(atom, "properties").get(name, atom.get("additionalProperties", True)) for atom in atoms]
            properties[name] = self.property_of(self.schemas.of(nodes))
        by_pattern: dict[str, list[Node]] = {}
        for atom in atoms:
            for pattern, node in _map(atom, "patternProperties").items():
                by_pattern.setdefault(pattern, []).append(node)
        return Objects(
            properties,
            frozenset(name for atom in atoms for name in _texts(atom, "required")),
            self.schemas.of(atom.get("additionalProperties", True) for atom in atoms),
            {pattern: self.schemas.of(nodes) for pattern, nodes in by_pattern.items()},
        )

    def _items(self, atoms: Sequence[Map]) -> tuple[tuple[Schema, ...], Schema]:
        prefixes = [_list(atom, "prefixItems") for atom in atoms]
        rest = [atom.get("items", True) for atom in atoms]
        longest = max((len(prefix) for prefix in prefixes), default=0)
        found = tuple(
            self.schemas.of(
                prefix[index] if index < len(prefix) else other for prefix, other in zip(prefixes, rest, strict=True)
            )
            for index in range(longest)
        )
        return found, self.schemas.of(rest)


def _joined(shapes: list[Shape]) -> tuple[Shape, ...]:
    """Shapes with those that only list scalar values made one."""
    listed = [shape for shape in shapes if shape.values is not None and shape.types <= _SCALARS]
    if len(listed) < 2:
        return tuple(shapes)
    values = frozenset(value for shape in listed for value in shape.values or ())
    types = frozenset(word for shape in listed for word in shape.types)
    key = (frozenset(number for shape in listed for number in shape.key[0]), types)
    one = replace(listed[0], key=key, label="", types=types, values=values, limits={}, patterns=frozenset())
    return (one, *(shape for shape in shapes if shape not in listed))


def _types_and_values(atoms: Iterable[Map]) -> tuple[frozenset[str], frozenset[str] | None]:
    """Types, null among them, and the only values without null; values decide on types where they are listed."""
    types = _ALL
    kinds: dict[str, frozenset[str]] | None = None
    for atom in atoms:
        types &= _declared_types(atom)
        listed = _listed(atom)
        if listed is not None:
            own = {canonical(value): types_of_value(value) for value in listed}
            kinds = own if kinds is None else {value: kind for value, kind in kinds.items() if value in own}
    if kinds is None:
        return types, None
    fitting = {value: kind for value, kind in kinds.items() if kind <= types}
    return frozenset(word for kind in fitting.values() for word in kind), frozenset(fitting) - {"null"}


def _declared_types(atom: Map) -> frozenset[str]:
    """Types a node names, null among them; without a name those that its keywords speak of."""
    declared = atom.get("type")
    words = [declared] if isinstance(declared, str) else declared
    if words is None:
        spoken_of = frozenset(word for keyword in atom for word in ABOUT.get(keyword, ()))
        found = _ALL if _listed(atom) is not None else spoken_of or _ALL
    elif isinstance(words, list) and all(isinstance(word, str) and word in _ALL for word in words):
        found = frozenset(words)
    else:
        raise DocumentError("the type of a schema is none of the words that JSON Schema has")
    if "number" in found:
        found |= {"integer"}
    return found | {"null"} if atom.get("nullable") is True else found


def _listed(atom: Map) -> list[Node] | None:
    """The only values a node allows; null among them where it is said to be nullable."""
    if "const" in atom:
        return [atom["const"]]
    if "enum" not in atom:
        return None
    values = _list(atom, "enum")
    return [*values, None] if atom.get("nullable") is True else values


def _formats(atom: Map) -> Iterator[str]:
    if isinstance(atom.get("format"), str):
        yield atom["format"]
    encoding = atom.get("contentEncoding")
    if isinstance(encoding, str):
        yield _CONTENT_FORMATS.get(encoding.lower(), f"encoding {encoding}")
    elif isinstance(atom.get("contentMediaType"), str):
        media_type = atom["contentMediaType"]
        yield "binary" if media_type == "application/octet-stream" else f"content {media_type}"


def _limits(atoms: Iterable[Map], *, whole: bool) -> dict[str, Limit]:
    """The tightest limit of each kind; for whole numbers exclusive limits become inclusive ones."""
    found: dict[str, Limit] = {}
    for atom in atoms:
        for keyword, limit in _limits_of(atom):
            inclusive = _inclusive(limit) if whole and limit.exclusive else limit
            if keyword not in found or inclusive.tighter_than(found[keyword]):
                found[keyword] = inclusive
    return {keyword: limit for keyword, limit in found.items() if keyword not in _FROM_ZERO or limit.value > 0}


def _limits_of(atom: Map) -> Iterator[tuple[str, Limit]]:
    for keyword, (_, upper) in LIMITS.items():
        beyond = "exclusive" + keyword[0].upper() + keyword[1:]
        if keyword in atom:
            yield keyword, Limit(_number(atom, keyword), atom.get(beyond) is True, upper)
        if beyond in atom and not isinstance(atom[beyond], bool):
            yield keyword, Limit(_number(atom, beyond), True, upper)


def _inclusive(limit: Limit) -> Limit:
    value = math.ceil(limit.value) - 1 if limit.upper else math.floor(limit.value) + 1
    return Limit(value, False, limit.upper)


def _constraints(atoms: Iterable[Map]) -> dict[str, tuple[Node, ...]]:
    found: dict[str, tuple[Node, ...]] = {}
    for atom in atoms:
        for keyword in CONSTRAINTS:
            if keyword in atom:
                found[keyword] = (*found.get(keyword, ()), atom[keyword])
    return found


def _map(atom: Map, keyword: str) -> Map:
    value = atom.get(keyword, {})
    if not isinstance(value, dict):
        raise DocumentError(f"{keyword} of a schema must be a mapping")
    return value


def _list(atom: Map, keyword: str) -> list[Node]:
    value = atom.get(keyword, [])
    if not isinstance(value, list):
        raise DocumentError(f"{keyword} of a schema must be a list")
    return value


def _texts(atom: Map, keyword: str) -> list[str]:
    values = _list(atom, keyword)
    if not all(isinstance(value, str) for value in values):
        raise DocumentError(f"{keyword} of a schema must be a list of texts")
    return values


def _text(atom: Map, keyword: str) -> str:
    value = atom[keyword]
    if not isinstance(value, str):
        raise DocumentError(f"{keyword} of a schema must be a text")
    return value


def _number(atom: Map, keyword: str) -> float:
    value = atom[keyword]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DocumentError(f"{keyword} of a schema must be a number")
    return value
