"""Bicep files as they are read: syntax trees, what a file declares, and the values below a declaration.

There is no compiler here; the grammar is tree-sitter's. What names and properties mean is for other modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))
# The grammar knows no `param name = value`, which is all that parameter files have; as long a word keeps the places.
_ASSIGNED = re.compile(rb"^param(?= +\w+ *=)", re.MULTILINE)
_DECLARATIONS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "type_declaration": "type",
    "user_defined_function": "func",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: where, and what."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a file declares.

    Attributes:
        kind: param, var, type, func, resource, module or output.
        name: its symbolic name.
        node: all of it.
        parts: its named children behind the name, without comments.
        decorators: what is written above it; None for nothing.
        parent: the resource that it is nested in.
    """

    kind: str
    name: str
    node: Node
    parts: tuple[Node, ...]
    decorators: Node | None = None
    parent: str = ""

    @property
    def value(self) -> Node | None:
        """The body, the default or the value."""
        typed = self.kind in ("param", "output")
        parts = self.parts[1:] if typed and self.parts and self.parts[0].type == "type" else self.parts
        return parts[-1] if parts else None

    @property
    def reference(self) -> str:
        """Path of a module, or type and version of a resource."""
        return text_of(self.parts[0]) if self.parts and self.parts[0].type == "string" else ""

    @property
    def existing(self) -> bool:
        """Whether a resource is only looked up."""
        return any(child.type == "existing" for child in self.node.children)


@dataclass(frozen=True, slots=True)
class Item:
    """A value somewhere below a declaration.

    Attributes:
        path: names of properties from the top, with dots; items of arrays have the path of the array.
        node: the value.
    """

    path: str
    node: Node


@dataclass(frozen=True, slots=True)
class Source:
    """A Bicep file.

    Attributes:
        file: its path below the folder of all of them, with slashes.
        path: where it is.
        root: its syntax tree.
        declarations: what it declares, by name; outputs are apart, as they may share a name with others.
        outputs: its outputs, by name.
    """

    file: str
    path: Path
    root: Node
    declarations: Mapping[str, Declaration]
    outputs: Mapping[str, Declaration]

    def finding(self, node: Node, text: str) -> Finding:
        """A finding at a node of this file."""
        return Finding(self.file, node.start_point[0] + 1, text)

    def of_kind(self, kind: str) -> Iterator[Declaration]:
        """Everything of one kind that it declares."""
        return (each for each in self.declarations.values() if each.kind == kind)

    def resource_type(self, resource: Declaration) -> str:
        """Type and version of a resource; those of a nested one follow from its parent's."""
        if not resource.parent:
            return resource.reference
        kind, _, version = self.resource_type(self.declarations[resource.parent]).partition("@")
        return f"{kind}/{resource.reference}@{version}"

    def items(self, node: Node, path: str = "") -> Iterator[Item]:
        """All values below a value, whichever way conditions and loops go."""
        for value in self.branches(node):
            if value.type == "object":
                for key, inner in properties(value):
                    below = f"{path}.{key}" if path else key
                    yield Item(below, inner)
                    yield from self.items(inner, below)
            elif value.type == "array":
                for inner in children(value):
                    yield from self.items(inner, path)

    def branches(self, node: Node) -> Iterator[Node]:
        """What a value may turn out to be, by conditions, loops, unions and variables of the file."""
        found = children(node)
        if node.type in ("for_statement", "if_statement", "parenthesized_expression"):
            yield from self.branches(found[-1])
        elif node.type == "ternary_expression":
            yield from self.branches(found[1])
            yield from self.branches(found[2])
        elif node.type == "call_expression" and text_of(found[0]) == "union":
            for argument in children(found[1]):
                yield from self.branches(argument)
        elif node.type == "identifier" and (named := self.declarations.get(text_of(node))) and named.kind == "var":
            if named.value is not None:
                yield from self.branches(named.value)
        else:
            yield node

    def literals(self, node: Node) -> Iterator[Node]:
        """What a value may turn out to be, item by item where it is an array."""
        for value in self.branches(node):
            if value.type == "array":
                for inner in children(value):
                    yield from self.literals(inner)
            else:
                yield value


def read(path: Path, folder: Path) -> Source:
    """Read one file.

    Args:
        path: a .bicep or .bicepparam file.
        folder: the folder of all of them.
    """
    content = path.read_bytes()
    if path.suffix == ".bicepparam":
        content = _ASSIGNED.sub(b"var  ", content)
    root = _PARSER.parse(content).root_node
    found = list(_declared(root))
    return Source(
        path.relative_to(folder).as_posix(),
        path,
        root,
        {each.name: each for each in found if each.kind != "output"},
        {each.name: each for each in found if each.kind == "output"},
    )


def read_all(folder: Path) -> dict[Path, Source]:
    """Every Bicep file below a folder, by its path."""
    paths = sorted([*folder.rglob("*.bicep"), *folder.rglob("*.bicepparam")])
    return {path.resolve(): read(path, folder) for path in paths}


def syntax_findings(source: Source) -> Iterator[Finding]:
    """Where the file cannot be understood."""
    waiting = [source.root]
    while waiting:
        node = waiting.pop()
        if node.is_error or node.is_missing:
            yield source.finding(node, "this is no Bicep")
        elif node.has_error:
            waiting.extend(node.children)


def children(node: Node) -> list[Node]:
    """The named parts of a node, without comments and decorators."""
    return [child for child in node.named_children if child.type not in ("comment", "decorators")]


def properties(node: Node) -> Iterator[tuple[str, Node]]:
    """Names and values of an object; a name that is worked out is `*`."""
    for each in children(node):
        parts = children(each)
        if each.type == "object_property" and len(parts) == 2:
            key = parts[0]
            worked_out = key.type == "string" and any(part.type == "interpolation" for part in key.named_children)
            yield ("*" if worked_out else text_of(key)), parts[1]


def text_of(node: Node) -> str:
    """The text of a name, or of a string without its quotation marks."""
    text = (node.text or b"").decode()
    if node.type != "string":
        return text
    return text.strip("'") if text.startswith("'''") else text[1:-1]


def is_literal(node: Node) -> bool:
    """Whether a string says everything itself."""
    return node.type == "string" and not any(part.type == "interpolation" for part in node.named_children)


def everywhere(node: Node) -> Iterator[Node]:
    """A node and everything below it, in the order of the file."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(reversed(found.named_children))


def _declared(root: Node) -> Iterator[Declaration]:
    above: Node | None = None
    for node in root.named_children:
        if node.type in _DECLARATIONS:
            yield from _with_nested(node, above)
        if node.type != "comment":
            above = node if node.type == "decorators" else None


def _with_nested(node: Node, above: Node | None, parent: str = "") -> Iterator[Declaration]:
    parts = children(node)
    if not parts:
        return
    name = text_of(parts[0])
    yield Declaration(_DECLARATIONS[node.type], name, node, tuple(parts[1:]), above, parent)
    if node.type == "resource_declaration":
        for each in everywhere(node):
            if each.type == "object_property" and each.parent == parts[-1]:
                for inner in children(each):
                    if inner.type == "resource_declaration":
                        yield from _with_nested(inner, None, name)
