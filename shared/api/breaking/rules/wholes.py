"""Rules about what is compared as a whole: alternatives, discriminators, keywords nobody can decide on, XML."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from shared.api.breaking.changes import UnionChange
from shared.api.breaking.documents import Node
from shared.api.breaking.findings import Level
from shared.api.breaking.rulebook import Hit, Rulebook


class Step(enum.Enum):
    """What happened to a constraint."""

    ADDED = enum.auto()
    DROPPED = enum.auto()
    CHANGED = enum.auto()
    HARMLESS = enum.auto()


@dataclass(frozen=True, slots=True)
class WholeChange:
    """Something of a schema that is equal or not.

    Attributes:
        keyword: where it stands.
        before: whether the base has it.
        after: whether the revision has it.
        harmless: whether the revision surely asks no more of requests, or gives no more in answers.
    """

    keyword: str
    before: bool
    after: bool
    harmless: bool = False

    @property
    def step(self) -> Step | None:
        """What happened; None when neither has it."""
        if self.before and self.after:
            return Step.HARMLESS if self.harmless else Step.CHANGED
        if self.before or self.after:
            return Step.DROPPED if self.before else Step.ADDED
        return None


@dataclass(frozen=True, slots=True)
class Discriminators:
    """The discriminators of a schema in both documents; not None in either."""

    base: Node
    revision: Node


@dataclass(frozen=True, slots=True)
class Undecided:
    """A schema that could not be taken apart.

    Attributes:
        why: what was in the way.
    """

    why: str


SENT_UNIONS = Rulebook[UnionChange]()
RECEIVED_UNIONS = Rulebook[UnionChange]()
SENT_CONSTRAINTS = Rulebook[WholeChange]()
RECEIVED_CONSTRAINTS = Rulebook[WholeChange]()
SENT_DISCRIMINATORS = Rulebook[Discriminators]()
RECEIVED_DISCRIMINATORS = Rulebook[Discriminators]()
XML = Rulebook[WholeChange]()
UNDECIDED = Rulebook[Undecided]()

_CANNOT_TELL = "whether that refuses what clients send cannot be decided"
_CANNOT_TELL_WHAT_COMES = "whether clients get values they were told would not come cannot be decided"


@SENT_UNIONS.rule("request-alternative-removed", Level.ERR, "a client that sends it is refused")
def _sent_alternative_removed(change: UnionChange) -> Iterator[Hit]:
    for name in change.lost:
        yield Hit(f"the alternative {name} is no longer allowed", ("anyOf",))


@SENT_UNIONS.rule("request-alternative-added", Level.INFO, "clients may send more than before")
def _sent_alternative_added(change: UnionChange) -> Iterator[Hit]:
    for name in change.gained:
        if name not in change.overlapping:
            yield Hit(f"there is a new alternative {name}", ("anyOf",))


@SENT_UNIONS.rule(
    "request-alternative-overlaps", Level.WARN,
    "a value may match it and another one, and where only one may match it is refused",
)  # fmt: skip
def _sent_alternative_overlaps(change: UnionChange) -> Iterator[Hit]:
    for name in change.overlapping:
        yield Hit(f"the new alternative {name} of oneOf is not surely apart from the others", ("oneOf",))


@RECEIVED_UNIONS.rule("response-alternative-added", Level.ERR, "clients get something they were not told of")
def _received_alternative_added(change: UnionChange) -> Iterator[Hit]:
    for name in change.gained:
        yield Hit(f"there is a new alternative {name}", ("anyOf",))


@RECEIVED_UNIONS.rule("response-alternative-removed", Level.INFO, "clients get less than they are ready for")
def _received_alternative_removed(change: UnionChange) -> Iterator[Hit]:
    for name in change.lost:
        yield Hit(f"the alternative {name} never comes any more", ("anyOf",))


def _enter(book: Rulebook[WholeChange], name: str, level: Level, why: str, step: Step, what: str) -> None:
    """Enter the rule about one step of a constraint."""

    @book.rule(name, level, why)
    def taken(change: WholeChange) -> Iterator[Hit]:
        if change.step is step:
            yield Hit(what.format(repr(change.keyword)), (change.keyword,))


_MORE, _LESS = "clients may send more than before", "clients get less than they are ready for"
_REFUSED, _UNEXPECTED = "some of what clients send may be refused", "clients get values they were told would not come"
for _row in (
    ("request-constraint-added", Level.ERR, _REFUSED, Step.ADDED, "there is a new {}"),
    ("request-constraint-changed", Level.ERR, _CANNOT_TELL, Step.CHANGED, "{} changed"),
    ("request-constraint-dropped", Level.INFO, _MORE, Step.DROPPED, "{} is gone"),
    ("request-constraint-loosened", Level.INFO, _MORE, Step.HARMLESS, "{} asks for less"),
):
    _enter(SENT_CONSTRAINTS, *_row)
for _row in (
    ("response-constraint-tightened", Level.INFO, _LESS, Step.HARMLESS, "{} allows less"),
    ("response-constraint-dropped", Level.ERR, _UNEXPECTED, Step.DROPPED, "{} is gone"),
    ("response-constraint-changed", Level.ERR, _CANNOT_TELL_WHAT_COMES, Step.CHANGED, "{} changed"),
    ("response-constraint-added", Level.INFO, _LESS, Step.ADDED, "there is a new {}"),
):
    _enter(RECEIVED_CONSTRAINTS, *_row)


@SENT_DISCRIMINATORS.rule("request-discriminator-changed", Level.ERR, "what a client sends is taken for something else")
def _sent_discriminator(change: Discriminators) -> Iterator[Hit]:
    yield from _discriminator(change)


@SENT_DISCRIMINATORS.rule("request-discriminator-value-removed", Level.ERR, "a client that sends it is refused")
def _sent_discriminator_value(change: Discriminators) -> Iterator[Hit]:
    for value in sorted(_mapping(change.base).keys() - _mapping(change.revision).keys()):
        yield Hit(f"the discriminator has lost the value {value!r}", ("discriminator", "mapping", value))


@RECEIVED_DISCRIMINATORS.rule(
    "response-discriminator-changed", Level.ERR, "clients tell the alternatives apart by something else"
)
def _received_discriminator(change: Discriminators) -> Iterator[Hit]:
    yield from _discriminator(change)


@RECEIVED_DISCRIMINATORS.rule(
    "response-discriminator-value-removed", Level.ERR, "clients do not find the alternative by its old name"
)
def _received_discriminator_value(change: Discriminators) -> Iterator[Hit]:
    for value in sorted(_mapping(change.base).keys() - _mapping(change.revision).keys()):
        yield Hit(f"the discriminator has lost the value {value!r}", ("discriminator", "mapping", value))


@XML.rule("xml-changed", Level.ERR, "what is written and read as XML has other names or another form")
def _xml(change: WholeChange) -> Iterator[Hit]:
    yield Hit("how the value is written as XML changed", (change.keyword,))


@UNDECIDED.rule("schema-undecided", Level.ERR, "the changed schema cannot be taken apart, so nothing is promised")
def _undecided(change: Undecided) -> Iterator[Hit]:
    yield Hit(change.why)


def _mapping(node: Node) -> dict[str, str]:
    """Value → name of the schema, which may be written as a name or as a reference."""
    mapping = node.get("mapping") if isinstance(node, dict) else None
    if not isinstance(mapping, dict):
        return {}
    return {value: str(target).rpartition("/")[2] for value, target in mapping.items()}


def _discriminator(change: Discriminators) -> Iterator[Hit]:
    """Another property, or another alternative for the same value."""
    names = [node.get("propertyName") if isinstance(node, dict) else None for node in (change.base, change.revision)]
    if names[0] != names[1]:
        yield Hit(f"the discriminator went from {names[0] or 'none'} to {names[1] or 'none'}", ("discriminator",))
    base, revision = _mapping(change.base), _mapping(change.revision)
    for value in sorted(base.keys() & revision.keys()):
        if base[value] != revision[value]:
            yield Hit(f"the discriminator value {value!r} means another schema", ("discriminator", "mapping", value))
