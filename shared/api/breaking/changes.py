"""What schema rules look at: the same place of a base and of a revision."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from shared.api.breaking.rulebook import Side
from shared.api.breaking.shapes import Alternatives, Property, Shape, is_multiple


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """A schema in both documents, taken apart.

    Attributes:
        base: what was allowed.
        revision: what is allowed.
    """

    base: Alternatives
    revision: Alternatives


@dataclass(frozen=True, slots=True)
class UnionChange:
    """Alternatives of a schema that are in one document only.

    Attributes:
        lost: those of the base that nothing in the revision allows.
        gained: those of the revision that nothing in the base allows.
        overlapping: those gained that may also match what another alternative allows, where only one may match.
    """

    lost: tuple[str, ...]
    gained: tuple[str, ...]
    overlapping: tuple[str, ...] = ()


class ShapeChange:
    """An alternative in both documents."""

    def __init__(self, base: Shape, revision: Shape, side: Side, renamed: tuple[tuple[str, str], ...]) -> None:
        """The same alternative before and after, on its way to the service or from it.

        Args:
            base: what was allowed.
            revision: what is allowed.
            side: which way values travel.
            renamed: old and new names of properties.
        """
        self.base = base
        self.revision = revision
        self.side = side
        self.renamed = renamed
        self.objects = "object" in base.types & revision.types
        self.base_closed = closed(base)
        self.revision_closed = closed(revision)

    @property
    def wider(self) -> Shape:
        """What has to hold the other one for the change to be harmless: requests grow, answers shrink."""
        return self.revision if self.side is Side.REQUEST else self.base

    @property
    def narrower(self) -> Shape:
        """What has to fit into the other one."""
        return self.base if self.side is Side.REQUEST else self.revision

    @property
    def listed(self) -> bool:
        """Whether the narrower side lists its values and the wider one allows each, whatever limits it has."""
        values = self.narrower.values
        return values is not None and all(_allows(self.wider, json.loads(value)) for value in values)

    def seen(self, shape: Shape) -> dict[str, Property]:
        """Properties of a shape that travel this way: answers have no write-only ones, requests no read-only ones."""
        if not self.objects:
            return {}
        return {name: found for name, found in shape.properties.items() if not self._hidden(found)}

    def hidden(self, name: str) -> bool:
        """Whether one of the documents says that a property never travels this way."""
        both = (self.base.properties.get(name), self.revision.properties.get(name))
        return any(found is not None and self._hidden(found) for found in both)

    def _hidden(self, found: Property) -> bool:
        return found.read_only if self.side is Side.REQUEST else found.write_only

    @cached_property
    def gone(self) -> tuple[str, ...]:
        """Properties that the revision knows in no way, and under no other name either."""
        still = self.revision.properties.keys() | self.revision.required | {old for old, _ in self.renamed}
        return tuple(sorted(self.seen(self.base).keys() - still))

    @cached_property
    def new(self) -> tuple[str, ...]:
        """Properties that the base did not name, under no other name either."""
        known = self.seen(self.base).keys() | {new for _, new in self.renamed}
        return tuple(sorted(self.seen(self.revision).keys() - known))

    @cached_property
    def kept(self) -> tuple[str, ...]:
        """Properties that are named in both and travel this way in both."""
        return tuple(sorted(self.seen(self.base).keys() & self.seen(self.revision).keys()))

    @cached_property
    def demanded(self) -> tuple[str, ...]:
        """Properties that became required, whether they are named or not."""
        if not self.objects:
            return ()
        new = self.revision.required - self.base.required - {new for _, new in self.renamed}
        never = {name for name, found in self.revision.properties.items() if self._hidden(found)}
        return tuple(sorted(new - never))

    @cached_property
    def waived(self) -> tuple[str, ...]:
        """Properties that are no longer required but not gone."""
        if not self.objects:
            return ()
        old = self.base.required - self.revision.required - {old for old, _ in self.renamed} - {*self.gone}
        return tuple(sorted(name for name in old if not self.hidden(name)))

    def both(self) -> Iterator[tuple[str, Property, Property]]:
        """Name, base and revision of the properties that are kept."""
        for name in self.kept:
            yield name, self.base.properties[name], self.revision.properties[name]


def closed(shape: Shape) -> bool:
    """Whether an object has no properties but those that are named."""
    return any(node is False for node in shape.others.nodes)


def _allows(shape: Shape, value: object) -> bool:
    """Whether a shape surely allows a scalar value."""
    if isinstance(value, dict | list) or shape.patterns or shape.constraints:
        return False
    if shape.values is not None:
        return json.dumps(value, ensure_ascii=False) in shape.values
    if isinstance(value, str):
        length = len(value)
        return all(shape.limits[key].allows(length) for key in ("minLength", "maxLength") if key in shape.limits)
    if isinstance(value, bool) or value is None:
        return True
    assert isinstance(value, int | float)
    bounds = (shape.limits[key] for key in ("minimum", "maximum") if key in shape.limits)
    return all(limit.allows(value) for limit in bounds) and all(is_multiple(value, step) for step in shape.multiples)
