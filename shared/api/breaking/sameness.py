"""Whether two nodes of two documents say the same, all that they refer to included.

Every node gets a number, equal for equal content. A reference counts as equal only when what it reaches, directly or
through others, is equal on both sides; so what nobody touched is known at once, and cycles need no care.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.api.breaking.documents import Document, DocumentError, Node, references_below, steps_below

_Named = Callable[[str], object]
_INNER = (dict, list)


class Sameness:
    """Equality between the nodes of a base and of a revision."""

    def __init__(self, base: Document, revision: Document) -> None:
        """Number the nodes of both documents."""
        self._numbers: dict[object, int] = {}
        self._base: dict[int, int] = {}
        self._revision: dict[int, int] = {}
        # In 3.1 a reference adds to what stands beside it, in 3.0 it replaces it: the same text says another thing.
        if base.references_stand_alone != revision.references_stand_alone:
            return
        changed = self._changed(base, revision)
        self._number_equal_paths(base, revision, changed)
        for numbers, document, side in ((self._base, base, "base"), (self._revision, revision, "revision")):
            self._number(document.root, numbers, _telling(changed, side))

    def same(self, base: Node, revision: Node) -> bool:
        """Whether they are known to say the same; a node that is made, not read, never is."""
        number = self._base.get(id(base))
        return number is not None and number == self._revision.get(id(revision))

    def _number_equal_paths(self, base: Document, revision: Document, changed: set[str]) -> None:
        """Number paths that are equal as texts at once: nobody has to look at what is in them."""
        for path, text in base.path_texts.items():
            if revision.path_texts.get(path) == text and not base.path_references[path] & changed:
                number = self._numbers.setdefault(("path", path), len(self._numbers))
                for numbers, document in ((self._base, base), (self._revision, revision)):
                    numbers[id(document.map_at(document.root["paths"], "paths")[path])] = number

    def _changed(self, base: Document, revision: Document) -> set[str]:
        """References whose target differs, or leads on to one that does."""
        targets = {name: (_target(base, name), _target(revision, name)) for name in base.references}
        first: dict[int, int] = {}
        second: dict[int, int] = {}
        for before, after in targets.values():
            self._number(before, first, str)
            self._number(after, second, str)
        changed = {
            name
            for name, (before, after) in targets.items()
            if before is None or after is None or first.get(id(before)) != second.get(id(after))
        }
        leads_here: dict[str, set[str]] = {}
        for name, (before, _) in targets.items():
            for onward in references_below(before):
                leads_here.setdefault(onward, set()).add(name)
        todo = list(changed)
        while todo:
            for name in leads_here.get(todo.pop(), ()):
                if name not in changed:
                    changed.add(name)
                    todo.append(name)
        return changed

    def _number(self, root: Node, numbers: dict[int, int], named: _Named) -> None:
        """Give each mapping and list below a root its number; children come before parents."""
        todo: list[Node] = [root] if isinstance(root, dict | list) else []
        entered: set[int] = set()
        while todo:
            node = todo[-1]
            if id(node) not in entered and id(node) not in numbers:
                entered.add(id(node))
                todo.extend(below for below in steps_below(node) if isinstance(below, _INNER))
                continue
            todo.pop()
            if id(node) not in numbers:
                content = _content(node, numbers, named)
                numbers[id(node)] = self._numbers.setdefault(content, len(self._numbers))


def _content(node: Node, numbers: Mapping[int, int], named: _Named) -> object:
    """What a node says, as a key: a number for what is inside, and texts and other scalars that no two kinds share."""
    if isinstance(node, list):
        return (
            "list",
            *[
                numbers[id(one)] if isinstance(one, _INNER) else one if isinstance(one, str) else (type(one), one)
                for one in node
            ],
        )
    parts: list[tuple[str, object]] = [
        (key, numbers[id(one)] if isinstance(one, _INNER) else one if isinstance(one, str) else (type(one), one))
        for key, one in node.items()
    ]
    if isinstance(node.get("$ref"), str):
        parts.append(("", ("reference", named(node["$ref"]))))
    return frozenset(parts)


def _telling(changed: set[str], side: str) -> _Named:
    return lambda name: (name, side) if name in changed else (name, "")


def _target(document: Document, name: str) -> Node:
    """What a reference points to; None for a text in an example that only looks like a reference."""
    try:
        found = document.target(name)
    except DocumentError:
        return None
    return found if isinstance(found, dict | list) else None
