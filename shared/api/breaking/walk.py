"""Goes through a schema of both documents at once and asks the rules at every place.

Places are the nodes of a graph: a pair of schemas, or of two alternatives of them. Each is looked at once for the whole
document, however often it is used, and cycles end by themselves. What a place says depends on nothing above it, so the
findings of an operation are those of the places it reaches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.api.breaking import unions, ways
from shared.api.breaking.changes import SchemaChange, ShapeChange
from shared.api.breaking.documents import Node
from shared.api.breaking.findings import Level
from shared.api.breaking.normal import Normalizer
from shared.api.breaking.rulebook import Found, Side
from shared.api.breaking.rules import limits, objects, values, wholes
from shared.api.breaking.rules.wholes import Discriminators, Undecided, WholeChange
from shared.api.breaking.sameness import Sameness
from shared.api.breaking.schemas import Schema
from shared.api.breaking.shapes import Alternatives, Shape
from shared.api.breaking.unions import Lists
from shared.api.breaking.ways import CutShortError, Key, Outcome, Steps

_PLACE_LIMIT = 100_000
_NESTING_LIMIT = 25

# Constraints whose inner schemas decide: what is inside has to fit the same way, or the other way round.
_INNER_SAME = frozenset({"contains", "propertyNames", "contentSchema"})
_INNER_FLIPPED = frozenset({"not"})


@dataclass(frozen=True, slots=True, eq=False)
class SchemaPair:
    """A schema in both documents, and the way its values travel."""

    base: Schema
    revision: Schema
    side: Side

    @property
    def key(self) -> Key:
        """Identity of the place."""
        return ("schema", self.base.key, self.revision.key, self.side)


@dataclass(frozen=True, slots=True, eq=False)
class ShapePair:
    """An alternative in both documents, and the way its values travel."""

    base: Shape
    revision: Shape
    side: Side

    @property
    def key(self) -> Key:
        """Identity of the place."""
        return ("shape", self.base.key, self.revision.key, self.side)


Pair = SchemaPair | ShapePair


_NOTHING: Outcome[Pair] = Outcome()


class Walk:
    """Compares schemas of one base with those of one revision."""

    def __init__(self, base: Normalizer, revision: Normalizer, sameness: Sameness) -> None:
        """Compare what two normalizers read; `sameness` knows what nobody touched."""
        self._base = base
        self._revision = revision
        self._sameness = sameness
        self._outcomes: dict[Key, Outcome[Pair]] = {}
        self._harmless: set[Key] = set()
        self._open: set[Key] = set()
        self._fitting: dict[Key, bool] = {}
        self._nesting = 0
        self._steps = 0

    def findings(self, roots: Sequence[SchemaPair]) -> Iterator[tuple[int, Steps, Found]]:
        """All that the rules find from some places on: number of the root, the shortest way from there, and what.

        Raises:
            CutShortError: there are too many places.
        """
        numbers: dict[Key, list[int]] = {}
        for number, root in enumerate(roots):
            numbers.setdefault(root.key, []).append(number)
        for key, steps, found in ways.findings(self._reached(roots), list(numbers)):
            for number in numbers[key]:
                yield number, steps, found

    def _reached(self, roots: Sequence[Pair]) -> dict[Key, Outcome[Pair]]:
        reached: dict[Key, Outcome[Pair]] = {}
        todo = list(reversed(roots))
        while todo:
            pair = todo.pop()
            if pair.key not in reached:
                reached[pair.key] = outcome = self._outcome(pair)
                todo.extend(below for _, below in outcome.below)
        return reached

    def _outcome(self, pair: Pair) -> Outcome[Pair]:
        """What a place says; nothing yet for one that is being looked at, which then is asked about itself later."""
        key = pair.key
        if key in self._outcomes:
            return self._outcomes[key]
        if key in self._open:
            return _NOTHING
        if len(self._outcomes) > _PLACE_LIMIT:
            raise CutShortError
        self._open.add(key)
        outcome = self._of_schemas(pair) if isinstance(pair, SchemaPair) else self._of_shapes(pair)
        self._open.discard(key)
        self._outcomes[key] = outcome
        return outcome

    def fits(self, pair: Pair) -> bool:
        """Whether a change from here on surely breaks nobody. A pair that fits has to be walked all the same."""
        key = pair.key
        if key not in self._fitting:
            if self._nesting > _NESTING_LIMIT:
                return False
            self._nesting += 1
            self._fitting[key] = self._all_harmless(pair)
            self._nesting -= 1
        return self._fitting[key]

    def _all_harmless(self, pair: Pair) -> bool:
        todo, seen = [pair], set()
        while todo:
            one = todo.pop()
            if one.key in seen or one.key in self._harmless:
                continue
            seen.add(one.key)
            self._steps += 1
            if self._steps > ways.STEP_LIMIT:
                raise CutShortError
            outcome = self._outcome(one)
            if any(found.rule.level is not Level.INFO for found in outcome.own):
                return False
            todo.extend(below for _, below in outcome.below)
        self._harmless |= seen
        return True

    def _of_schemas(self, pair: SchemaPair) -> Outcome[Pair]:
        if self._same(pair.base.nodes, pair.revision.nodes):
            return _NOTHING
        base = self._base.alternatives(pair.base)
        revision = self._revision.alternatives(pair.revision)
        if base.undecided or revision.undecided:
            return Outcome(tuple(wholes.UNDECIDED.found(Undecided(base.undecided or revision.undecided))))
        sent = pair.side is Side.REQUEST
        own = [*(values.SENT if sent else values.RECEIVED).found(SchemaChange(base, revision))]
        if base.discriminator is not None and revision.discriminator is not None:
            book = wholes.SENT_DISCRIMINATORS if sent else wholes.RECEIVED_DISCRIMINATORS
            own.extend(book.found(Discriminators(base.discriminator, revision.discriminator)))
        matched, change = self._matched(pair.side, base, revision)
        own.extend((wholes.SENT_UNIONS if sent else wholes.RECEIVED_UNIONS).found(change))
        return Outcome(tuple(own), tuple(((), ShapePair(one, two, pair.side)) for one, two in matched))

    def _matched(self, side: Side, base: Alternatives, revision: Alternatives) -> unions.Matches:
        def fits(one: Shape, two: Shape) -> bool:
            return self.fits(ShapePair(one, two, side))

        return unions.match(base, revision, Lists(side, fits))

    def _of_shapes(self, pair: ShapePair) -> Outcome[Pair]:
        renamed = self._renamed(ShapeChange(pair.base, pair.revision, pair.side, ()))
        change = ShapeChange(pair.base, pair.revision, pair.side, renamed)
        sent = pair.side is Side.REQUEST
        own = [*(values.SENT_SHAPES if sent else values.RECEIVED_SHAPES).found(change)]
        if not change.listed:
            own.extend((limits.SENT if sent else limits.RECEIVED).found(change))
        own.extend((objects.SENT if sent else objects.RECEIVED).found(change))
        constraints = wholes.SENT_CONSTRAINTS if sent else wholes.RECEIVED_CONSTRAINTS
        for whole in self._wholes(pair):
            own.extend(constraints.found(whole))
        if pair.base.xml != pair.revision.xml:
            own.extend(wholes.XML.found(WholeChange("xml", before=True, after=True)))
        below = [*_properties(change), *_unnamed(change), *_items(pair)]
        return Outcome(tuple(own), tuple((steps, SchemaPair(one, two, pair.side)) for steps, one, two in below))

    def _renamed(self, change: ShapeChange) -> tuple[tuple[str, str], ...]:
        """Properties that are gone while a new one says exactly the same."""
        found: dict[str, str] = {}
        for old in change.gone:
            nodes = change.base.properties[old].schema.nodes
            for new in change.new:
                same = self._same(nodes, change.revision.properties[new].schema.nodes)
                if same and nodes and new not in found.values():
                    found[old] = new
                    break
        return tuple(found.items())

    def _wholes(self, pair: ShapePair) -> Iterator[WholeChange]:
        base, revision = pair.base, pair.revision
        for keyword in sorted(base.constraints.keys() | revision.constraints.keys()):
            one, two = base.constraints.get(keyword, ()), revision.constraints.get(keyword, ())
            if not self._same(one, two):
                yield WholeChange(keyword, bool(one), bool(two), self._inner_fits(keyword, one, two, pair.side))
        for pattern in sorted(base.by_pattern.keys() ^ revision.by_pattern.keys()):
            yield WholeChange("patternProperties", pattern in base.by_pattern, pattern in revision.by_pattern)

    def _inner_fits(self, keyword: str, one: Sequence[Node], two: Sequence[Node], side: Side) -> bool:
        if len(one) != 1 or len(two) != 1 or keyword not in _INNER_SAME | _INNER_FLIPPED:
            return False
        flipped = Side.RESPONSE if side is Side.REQUEST else Side.REQUEST
        inner = flipped if keyword in _INNER_FLIPPED else side
        return self.fits(SchemaPair(self._base.schemas.of(one), self._revision.schemas.of(two), inner))

    def _same(self, base: Sequence[Node], revision: Sequence[Node]) -> bool:
        """Whether nodes are known to say the same, one by one."""
        return len(base) == len(revision) and all(
            self._sameness.same(one, two) if isinstance(one, dict | list) else one == two
            for one, two in zip(base, revision, strict=True)
        )


def _properties(change: ShapeChange) -> Iterator[tuple[Steps, Schema, Schema]]:
    """Properties that both name, or that one names and the other speaks of as of all that are not named."""
    base, revision = change.base, change.revision
    for name, one, two in change.both():
        yield ("properties", name), one.schema, two.schema
    if not change.revision_closed and not revision.others.open:
        for name in sorted(change.seen(base).keys() - revision.properties.keys()):
            yield ("properties", name), base.properties[name].schema, revision.others
    if not change.base_closed and not base.others.open:
        for name in sorted(change.seen(revision).keys() - base.properties.keys()):
            yield ("properties", name), base.others, revision.properties[name].schema


def _unnamed(change: ShapeChange) -> Iterator[tuple[Steps, Schema, Schema]]:
    """What both say of properties that they do not name."""
    base, revision = change.base, change.revision
    if change.objects and not change.base_closed and not change.revision_closed:
        yield ("additionalProperties",), base.others, revision.others
    if change.objects:
        for pattern in sorted(base.by_pattern.keys() & revision.by_pattern.keys()):
            yield ("patternProperties", pattern), base.by_pattern[pattern], revision.by_pattern[pattern]


def _items(pair: ShapePair) -> Iterator[tuple[Steps, Schema, Schema]]:
    base, revision = pair.base, pair.revision
    if "array" not in base.types & revision.types:
        return
    for index in range(max(len(base.prefix), len(revision.prefix))):
        one = base.prefix[index] if index < len(base.prefix) else base.items
        two = revision.prefix[index] if index < len(revision.prefix) else revision.items
        yield ("prefixItems", str(index)), one, two
    yield ("items",), base.items, revision.items
