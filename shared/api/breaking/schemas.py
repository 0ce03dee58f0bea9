"""Schemas as sets of nodes that hold together, taken apart into alternatives without combinators.

References, allOf, oneOf and anyOf disappear here: a schema becomes a list of alternatives, each a set of plain nodes
that all hold. What cannot be taken apart within limits is called undecided and never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.api.breaking.documents import Document, DocumentError, Map, Node

# Alternatives one schema may have, and steps taking it apart may need.
_ALTERNATIVE_LIMIT = 256
_STEP_LIMIT = 20_000
_UNION_DEPTH_LIMIT = 40
_NULL: Map = {"type": ["null"]}
_TYPE_DECIDED = ("type", "$ref")


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """Nodes that all hold for a value; no node at all allows every value.

    Attributes:
        nodes: mappings, or False, which allows nothing.
        key: identity of the nodes, in no order.
    """

    nodes: tuple[Node, ...]
    key: frozenset[int]

    @property
    def open(self) -> bool:
        """Whether it plainly says nothing at all."""
        return not any(node is False or node for node in self.nodes)


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """One alternative of a schema.

    Attributes:
        atoms: nodes whose own keywords all hold; their references and combinators are already followed.
        label: name of the alternative, for telling which one it is in the other document; may be empty.
    """

    atoms: tuple[Map, ...]
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class Branches:
    """All alternatives of a schema.

    Attributes:
        found: the alternatives.
        exclusive: whether a value must match exactly one of them.
        discriminator: the node that tells them apart, or None.
        undecided: why they could not be found; empty when they were.
    """

    found: tuple[Branch, ...]
    exclusive: bool = False
    discriminator: Node = None
    undecided: str = ""


@dataclass(frozen=True, slots=True)
class Closure:
    """What holds together before choices are made.

    Attributes:
        atoms: nodes whose own keywords all hold.
        marks: all nodes that were passed, for what they note beside their keywords.
        choices: members of each oneOf and anyOf, of which one must hold.
        impossible: whether nothing is allowed.
    """

    atoms: tuple[Map, ...]
    marks: tuple[Map, ...]
    choices: tuple[tuple[str, tuple[Node, ...]], ...]
    impossible: bool


class _Undecided(Exception):
    """There are more alternatives than are looked at."""


class Schemas:
    """Takes apart the schemas of one document."""

    def __init__(self, document: Document) -> None:
        """Schemas of a document."""
        self._document = document
        self._without_null: dict[int, Map] = {}
        self._branches: dict[frozenset[int], Branches] = {}

    def of(self, nodes: Iterable[Node]) -> Schema:
        """The schema of nodes that all hold."""
        unique = {id(node): node for node in nodes if node is not True}
        for node in unique.values():
            if node is not False and not isinstance(node, dict):
                raise DocumentError("a schema is neither a mapping nor true or false")
        return Schema(tuple(unique.values()), frozenset(unique))

    def marks(self, schema: Schema) -> tuple[Map, ...]:
        """Nodes whose notes (`readOnly`, `default`, ...) are meant for every value, whichever alternative it takes."""
        return self.closure(schema.nodes).marks

    def branches(self, schema: Schema) -> Branches:
        """All alternatives of a schema."""
        if schema.key not in self._branches:
            self._branches[schema.key] = self._take_apart(schema)
        return self._branches[schema.key]

    def _take_apart(self, schema: Schema) -> Branches:
        closure = self.closure(schema.nodes)
        try:
            found = _Splitter(self).branches(schema.nodes, ())
        except _Undecided:
            return Branches((), undecided="it has too many alternatives, or they are too intricate")
        nodes = (atom for branch in found for atom in branch.atoms)
        discriminator = next((node["discriminator"] for node in nodes if "discriminator" in node), None)
        exclusive = any(kind == "oneOf" and len(members) > 1 for kind, members in closure.choices)
        return Branches(tuple(found), exclusive, discriminator)

    def closure(self, nodes: Sequence[Node]) -> Closure:
        """Nodes with all that they refer to or hold together with."""
        atoms: list[Map] = []
        marks: list[Map] = []
        choices: list[tuple[str, tuple[Node, ...]]] = []
        impossible = False
        seen: set[int] = set()
        todo = list(reversed(nodes))
        while todo:
            node = todo.pop()
            if node is True or id(node) in seen:
                continue
            seen.add(id(node))
            if not isinstance(node, dict):
                impossible = impossible or _is_false(node)
                continue
            reference = node.get("$ref", node.get("$dynamicRef"))
            if isinstance(reference, str):
                todo.append(self._document.target(reference))
                if self._document.references_stand_alone:
                    continue
            marks.append(node)
            if node.get("nullable") is True and not _has_type(node) and _choices(node, ("allOf", "oneOf", "anyOf")):
                choices.append(("anyOf", (self._not_nullable(node), _NULL)))
                continue
            atoms.append(node)
            todo.extend(reversed([member for _, members in _choices(node, ("allOf",)) for member in members]))
            choices.extend(_choices(node, ("oneOf", "anyOf")))
        return Closure(tuple(atoms), tuple(marks), tuple(choices), impossible)

    def _not_nullable(self, node: Map) -> Map:
        """A node without its `nullable`, which is meant for the whole of its combinators, not for a part."""
        if id(node) not in self._without_null:
            self._without_null[id(node)] = {key: value for key, value in node.items() if key != "nullable"}
        return self._without_null[id(node)]


class _Splitter:
    """Multiplies out the choices of one schema, within limits."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._steps = 0

    def branches(self, nodes: Sequence[Node], above: tuple[int, ...]) -> list[Branch]:
        """Alternatives of nodes; `above` are the choices this is a part of."""
        closure = self._schemas.closure(nodes)
        if closure.impossible:
            return []
        found = [Branch(closure.atoms, "")]
        for _, members in closure.choices:
            options = self._options(members, above)
            found = _distinct(Branch(one.atoms + two.atoms, one.label or two.label) for one in found for two in options)
            self._count(len(found))
        return found

    def _options(self, members: tuple[Node, ...], above: tuple[int, ...]) -> list[Branch]:
        found: list[Branch] = []
        for member in members:
            # A choice that leads back to itself adds no value that the others do not give.
            if id(member) in above:
                continue
            label = _label(member)
            inner = self.branches((member,), (*above, id(member)))
            found.extend(Branch(branch.atoms, label if len(inner) == 1 else branch.label) for branch in inner)
            self._count(len(found))
        if len(above) > _UNION_DEPTH_LIMIT:
            raise _Undecided
        return found

    def _count(self, alternatives: int) -> None:
        self._steps += alternatives + 1
        if alternatives > _ALTERNATIVE_LIMIT or self._steps > _STEP_LIMIT:
            raise _Undecided


def _distinct(branches: Iterable[Branch]) -> list[Branch]:
    found: dict[frozenset[int], Branch] = {}
    for branch in branches:
        atoms = {id(atom): atom for atom in branch.atoms}
        found.setdefault(frozenset(atoms), Branch(tuple(atoms.values()), branch.label))
    return list(found.values())


def _is_false(node: Node) -> bool:
    if node is False:
        return True
    raise DocumentError("a schema is neither a mapping nor true or false")


def _has_type(node: Map) -> bool:
    return any(key in node for key in _TYPE_DECIDED)


def _choices(node: Map, keywords: tuple[str, ...]) -> list[tuple[str, tuple[Node, ...]]]:
    found = []
    for keyword in keywords:
        if keyword in node:
            members = node[keyword]
            if not isinstance(members, list) or not members:
                raise DocumentError(f"{keyword} of a schema must be a list with at least one schema")
            found.append((keyword, tuple(members)))
    return found


def _label(node: Node) -> str:
    """What a member of a choice is called: by its reference, else by its title."""
    if not isinstance(node, dict):
        return ""
    name = node.get("$ref", node.get("title"))
    return name.rpartition("/")[2] if isinstance(name, str) else ""
