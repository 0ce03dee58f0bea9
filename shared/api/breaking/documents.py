"""An OpenAPI document that is safe to walk, with its references resolved on demand.

Refused with a sentence: other versions than 3.0 and 3.1, references to other files, nesting or aliases that would
exhaust a reader.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

# Any: a node of a document is whatever JSON holds.
Node = Any
Map = Mapping[str, Any]

DEPTH_LIMIT = 200
_NODE_LIMIT = 5_000_000
_PLAIN = frozenset({str, int, bool})
_VERSION = re.compile(r"3\.([01])\.[0-9]+([-+].*)?")
_NO_KEYS: dict[str, Any] = {}


class DocumentError(ValueError):
    """A document that cannot be read as OpenAPI 3.0 or 3.1; the text says why, for people."""


class Document:
    """One document. Parts of it are compared by identity, so it is read once and never changed."""

    def __init__(self, content: Node) -> None:
        """Take over parsed content.

        Raises:
            DocumentError: the content is no OpenAPI 3.0 or 3.1 document.
        """
        _measure(content)
        self.root: Map = _checked_root(content)
        # In 3.0 nothing beside a $ref counts; in 3.1 it holds together with what is referred to.
        self.references_stand_alone = self.root["openapi"].startswith("3.0")
        self._anchors: dict[str, Node] | None = None
        self._targets: dict[str, Node] = {}

    @cached_property
    def path_texts(self) -> Mapping[str, str]:
        """Each path's part of the document as one text, equal for equal content."""
        paths = self.map_at(self.root.get("paths"), "paths")
        return {path: json.dumps(item, sort_keys=True) for path, item in paths.items()}

    @cached_property
    def path_references(self) -> Mapping[str, frozenset[str]]:
        """References that stand in each path's part of the document."""
        paths = self.map_at(self.root.get("paths"), "paths")
        return {path: references_below(item) for path, item in paths.items()}

    @cached_property
    def references(self) -> frozenset[str]:
        """All references of the document."""
        return references_below(self.root)

    def target(self, reference: str) -> Node:
        """What a reference points to.

        Raises:
            DocumentError: it points outside the document, or to nothing.
        """
        if reference not in self._targets:
            self._targets[reference] = self._find(reference)
        return self._targets[reference]

    def follow(self, node: Node) -> Node:
        """The node itself, or what its chain of references ends at."""
        seen = set()
        while isinstance(node, dict) and isinstance(node.get("$ref"), str):
            reference = node["$ref"]
            if reference in seen:
                raise DocumentError(f"the reference {reference!r} leads back to itself")
            seen.add(reference)
            node = self.target(reference)
        return node

    def map_at(self, node: Node, what: str) -> Map:
        """A node as a mapping after following references; nothing counts as an empty one."""
        found = self.follow(node)
        if found is None:
            return _NO_KEYS
        if not isinstance(found, dict):
            raise DocumentError(f"{what} must be a mapping")
        return found

    def list_at(self, node: Node, what: str) -> list[Node]:
        """A node as a list; nothing counts as an empty one."""
        if node is None:
            return []
        if not isinstance(node, list):
            raise DocumentError(f"{what} must be a list")
        return node

    def _find(self, reference: str) -> Node:
        place, mark, fragment = reference.partition("#")
        if place or not mark:
            raise DocumentError(
                f"the reference {reference!r} leads out of the document: bundle the files into one first"
            )
        if fragment and not fragment.startswith("/"):
            if self._anchors is None:
                self._anchors = dict(_anchors(self.root))
            if fragment not in self._anchors:
                raise DocumentError(f"the reference {reference!r} names an anchor that is not there")
            return self._anchors[fragment]
        node: Node = self.root
        for step in _steps(fragment):
            if isinstance(node, dict) and step in node:
                node = node[step]
            elif isinstance(node, list) and step.isdigit() and int(step) < len(node):
                node = node[int(step)]
            else:
                raise DocumentError(f"the reference {reference!r} points to nothing")
        return node


def references_below(root: Node) -> frozenset[str]:
    """References that stand in a node or anywhere below it; they are not followed."""
    found: set[str] = set()
    todo, seen = [root], set()
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, dict) and isinstance(node.get("$ref"), str):
            found.add(node["$ref"])
        todo.extend(below for below in steps_below(node) if isinstance(below, dict | list))
    return frozenset(found)


def steps_below(node: Node) -> Iterable[Node]:
    """The nodes directly below one."""
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _checked_root(content: Node) -> Map:
    if not isinstance(content, dict):
        raise DocumentError("the document is no mapping")
    if "swagger" in content:
        raise DocumentError(
            f"this is Swagger {content['swagger']}: only OpenAPI 3.0 and 3.1 are compared, convert it first"
        )
    version = content.get("openapi")
    if not isinstance(version, str):
        raise DocumentError(
            "the document does not say which OpenAPI it is: the key 'openapi' must be a text such as '3.0.3'"
        )
    if _VERSION.fullmatch(version) is None:
        raise DocumentError(f"this is OpenAPI {version}: only 3.0 and 3.1 are compared")
    return content


def _steps(fragment: str) -> list[str]:
    from_percent = re.sub(r"(?:%[0-9A-Fa-f]{2})+", _decoded, fragment)
    return [step.replace("~1", "/").replace("~0", "~") for step in from_percent.split("/")[1:]]


def _decoded(escape: re.Match[str]) -> str:
    return bytes.fromhex(escape.group().replace("%", "")).decode("utf-8", errors="replace")


def _anchors(root: Node) -> Iterator[tuple[str, Node]]:
    todo, seen = [root], set()
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, dict):
            for key in ("$anchor", "$dynamicAnchor"):
                if isinstance(node.get(key), str):
                    yield node[key], node
        todo.extend(steps_below(node))


def _measure(root: Node) -> None:
    """Refuse what would exhaust a walk: cycles and multiplication by aliases, and nesting without end."""
    sizes: dict[int, int] = {}
    above: set[int] = set()
    todo: list[Node] = [root]
    while todo:
        node = todo[-1]
        if id(node) in sizes or id(node) in above:
            todo.pop()
            if id(node) in above and id(node) not in sizes:
                above.discard(id(node))
                sizes[id(node)] = _size(node, sizes)
            continue
        above.add(id(node))
        if len(above) > DEPTH_LIMIT:
            raise DocumentError(f"the document is nested deeper than {DEPTH_LIMIT} levels")
        inner = [below for below in steps_below(node) if isinstance(below, dict | list)]
        if any(id(below) in above for below in inner):
            raise DocumentError("an alias of the document contains itself")
        todo.extend(inner)


def _size(node: Node, sizes: dict[int, int]) -> int:
    """Number of nodes from here on when aliases are written out; what is inside was measured before."""
    size = 1
    for below in steps_below(node):
        if below.__class__ in _PLAIN:
            size += 1
        elif isinstance(below, dict | list):
            size += sizes[id(below)]
        else:
            _check_scalar(below)
    if size > _NODE_LIMIT:
        raise DocumentError(f"the document has more than {_NODE_LIMIT} nodes when its aliases are written out")
    return size


def _check_scalar(value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise DocumentError("the document has a number that is not finite")
    if value is not None and not isinstance(value, str | int | float):
        raise DocumentError(f"the document has a value that JSON does not know ({type(value).__name__})")
