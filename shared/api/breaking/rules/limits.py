"""Rules about limits of values: bounds, lengths, counts, multiples, patterns, uniqueness."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shared.api.breaking.changes import ShapeChange
from shared.api.breaking.findings import Level
from shared.api.breaking.rulebook import Hit, Rulebook, words
from shared.api.breaking.shapes import LIMITS, Limit, Shape, is_multiple

SENT = Rulebook[ShapeChange]()
RECEIVED = Rulebook[ShapeChange]()

_REFUSED = "some of what clients send is refused"
_UNEXPECTED = "clients get values they were told would not come"


def _limits(change: ShapeChange, keyword: str) -> tuple[Limit | None, Limit | None]:
    """The limit before and after; two times nothing where the revision has no value that it could speak of."""
    if not LIMITS[keyword][0] & change.base.types & change.revision.types:
        return None, None
    return change.base.limits.get(keyword), change.revision.limits.get(keyword)


def _name(keyword: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"-{letter.group().lower()}", keyword)


def _enter_sent(keyword: str, name: str) -> None:
    """Enter the rules of one limit keyword for what clients send."""

    @SENT.rule(f"request-{name}-set", Level.ERR, _REFUSED)
    def newly_set(change: ShapeChange) -> Iterator[Hit]:
        base, revision = _limits(change, keyword)
        if base is None and revision is not None:
            yield Hit(f"there is a {keyword} of {revision} now", (keyword,))

    @SENT.rule(f"request-{name}-tightened", Level.ERR, _REFUSED)
    def tightened(change: ShapeChange) -> Iterator[Hit]:
        base, revision = _limits(change, keyword)
        if base is not None and revision is not None and revision.tighter_than(base):
            yield Hit(f"{keyword} went from {base} to {revision}", (keyword,))


def _enter_received(keyword: str, name: str) -> None:
    """Enter the rules of one limit keyword for what clients receive."""

    @RECEIVED.rule(f"response-{name}-dropped", Level.ERR, _UNEXPECTED)
    def dropped(change: ShapeChange) -> Iterator[Hit]:
        base, revision = _limits(change, keyword)
        if base is not None and revision is None:
            yield Hit(f"the {keyword} of {base} is gone", (keyword,))

    @RECEIVED.rule(f"response-{name}-loosened", Level.ERR, _UNEXPECTED)
    def loosened(change: ShapeChange) -> Iterator[Hit]:
        base, revision = _limits(change, keyword)
        if base is not None and revision is not None and base.tighter_than(revision):
            yield Hit(f"{keyword} went from {base} to {revision}", (keyword,))


for _keyword in LIMITS:
    _enter_sent(_keyword, _name(_keyword))
    _enter_received(_keyword, _name(_keyword))


@SENT.rule("request-limit-loosened", Level.INFO, "clients may send more than before")
def _sent_loosened(change: ShapeChange) -> Iterator[Hit]:
    for keyword in LIMITS:
        base, revision = _limits(change, keyword)
        if base is not None and (revision is None or base.tighter_than(revision)):
            yield Hit(f"{keyword} went from {base} to {revision or 'none'}", (keyword,))


@RECEIVED.rule("response-limit-tightened", Level.INFO, "clients get less than they are ready for")
def _received_tightened(change: ShapeChange) -> Iterator[Hit]:
    for keyword in LIMITS:
        base, revision = _limits(change, keyword)
        if revision is not None and (base is None or revision.tighter_than(base)):
            yield Hit(f"{keyword} went from {base or 'none'} to {revision}", (keyword,))


@SENT.rule("request-multiple-of-tightened", Level.ERR, _REFUSED)
def _sent_multiple(change: ShapeChange) -> Iterator[Hit]:
    for step in sorted(_not_implied(change.revision.multiples, change.base.multiples)):
        yield Hit(f"only multiples of {step:g} are allowed now", ("multipleOf",))


@RECEIVED.rule("response-multiple-of-loosened", Level.ERR, _UNEXPECTED)
def _received_multiple(change: ShapeChange) -> Iterator[Hit]:
    for step in sorted(_not_implied(change.base.multiples, change.revision.multiples)):
        yield Hit(f"other values than multiples of {step:g} may come", ("multipleOf",))


@SENT.rule("request-unique-items-demanded", Level.ERR, "a client that repeats an item is refused")
def _sent_unique(change: ShapeChange) -> Iterator[Hit]:
    if change.revision.unique and not change.base.unique and "array" in change.base.types:
        yield Hit("items must differ from each other now", ("uniqueItems",))


@RECEIVED.rule("response-unique-items-dropped", Level.ERR, _UNEXPECTED)
def _received_unique(change: ShapeChange) -> Iterator[Hit]:
    if change.base.unique and not change.revision.unique and "array" in change.revision.types:
        yield Hit("items may repeat now", ("uniqueItems",))


@SENT.rule("request-pattern-set", Level.ERR, _REFUSED)
def _sent_pattern_set(change: ShapeChange) -> Iterator[Hit]:
    if new := _more_patterns(change.base, change.revision):
        yield Hit(f"texts must match {words(new)} now", ("pattern",))


@SENT.rule("request-pattern-changed", Level.ERR, "whether all that clients send still matches cannot be decided")
def _sent_pattern_changed(change: ShapeChange) -> Iterator[Hit]:
    new, old = change.revision.patterns - change.base.patterns, change.base.patterns - change.revision.patterns
    if new and old:
        yield Hit(f"texts must match {words(new)} instead of {words(old)}", ("pattern",))


@SENT.rule("request-pattern-dropped", Level.INFO, "clients may send more than before")
def _sent_pattern_dropped(change: ShapeChange) -> Iterator[Hit]:
    if old := _more_patterns(change.revision, change.base):
        yield Hit(f"texts need not match {words(old)} any more", ("pattern",))


@RECEIVED.rule("response-pattern-changed", Level.WARN, "a client that takes the text apart may not find its parts")
def _received_pattern_changed(change: ShapeChange) -> Iterator[Hit]:
    new, old = change.revision.patterns - change.base.patterns, change.base.patterns - change.revision.patterns
    if new and old:
        yield Hit(f"texts match {words(new)} instead of {words(old)}", ("pattern",))


@RECEIVED.rule("response-pattern-dropped", Level.WARN, "a client that takes the text apart may not find its parts")
def _received_pattern_dropped(change: ShapeChange) -> Iterator[Hit]:
    if old := _more_patterns(change.revision, change.base):
        yield Hit(f"texts need not match {words(old)} any more", ("pattern",))


@RECEIVED.rule("response-pattern-set", Level.INFO, "clients get less than they are ready for")
def _received_pattern_set(change: ShapeChange) -> Iterator[Hit]:
    if new := _more_patterns(change.base, change.revision):
        yield Hit(f"texts match {words(new)} now", ("pattern",))


def _more_patterns(few: Shape, many: Shape) -> frozenset[str]:
    """Patterns that the second has on top of all those of the first; nothing where the first has no texts."""
    more = few.patterns <= many.patterns and "string" in few.types
    return many.patterns - few.patterns if more else frozenset()


def _not_implied(demanded: frozenset[float], given: frozenset[float]) -> set[float]:
    """Steps of which a multiple of the given ones need not be a multiple."""
    return {step for step in demanded if step > 0 and not any(is_multiple(other, step) for other in given)}
