"""Which alternative of a base is which of a revision.

Requests need every alternative of the base to be allowed by one of the revision, answers every alternative of the
revision by one of the base. Names decide first, then whether one surely fits into another; what is left over in pairs
is taken for the same alternative, changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.api.breaking.changes import UnionChange
from shared.api.breaking.rulebook import Side
from shared.api.breaking.shapes import NUMBERS, Alternatives, Shape, canonical

Pairs = list[tuple[Shape, Shape]]
Matches = tuple[Pairs, UnionChange]
Fits = Callable[[Shape, Shape], bool]


@dataclass(frozen=True, slots=True)
class Lists:
    """How alternatives are to be matched.

    Attributes:
        side: which way values travel.
        fits: whether the change from an alternative of the base to one of the revision surely breaks nobody.
    """

    side: Side
    fits: Fits


def match(base: Alternatives, revision: Alternatives, how: Lists) -> Matches:
    """Pairs of alternatives to compare, and what is left without a counterpart."""
    if not base.shapes or not revision.shapes:
        return [], UnionChange((), ())
    if len(base.shapes) == len(revision.shapes) == 1:
        return [(base.shapes[0], revision.shapes[0])], UnionChange((), ())
    before, after = _parts(base.shapes), _parts(revision.shapes)
    pairs = _by_label(before, after)
    pairs += _by_fit(before, after, pairs, how)
    lost = [shape for shape in before if all(shape is not one for one, _ in pairs)]
    gained = [shape for shape in after if all(shape is not two for _, two in pairs)]
    pairs += (changed := _by_place(lost, gained))
    lost = [shape for shape in lost if all(shape is not one for one, _ in changed)]
    gained = [shape for shape in gained if all(shape is not two for _, two in changed)]
    names = tuple(shape.name for shape in lost), tuple(shape.name for shape in gained)
    return pairs, UnionChange(*names, overlapping=_overlapping(base, revision, gained))


def _parts(shapes: Sequence[Shape]) -> list[Shape]:
    """Alternatives of one type each, so that it does not matter how types are spread over them."""
    found: list[Shape] = []
    for shape in shapes:
        groups = [frozenset({word}) for word in sorted(shape.types - NUMBERS)]
        groups += [shape.types & NUMBERS] if shape.types & NUMBERS else []
        found.extend(shape.narrowed(group) for group in groups) if len(groups) > 1 else found.append(shape)
    return found


def _by_label(before: Sequence[Shape], after: Sequence[Shape]) -> Pairs:
    def alone(shapes: Sequence[Shape]) -> dict[str, Shape]:
        labels = [shape.label for shape in shapes]
        return {shape.label: shape for shape in shapes if shape.label and labels.count(shape.label) == 1}

    olds, news = alone(before), alone(after)
    return [(olds[label], news[label]) for label in olds if label in news]


def _by_fit(before: Sequence[Shape], after: Sequence[Shape], pairs: Pairs, how: Lists) -> Pairs:
    """Pairs for those that need a counterpart, which may serve several."""
    found: Pairs = []
    if how.side is Side.REQUEST:
        for one in before:
            if all(one is not old for old, _ in pairs):
                found.extend([(one, two) for two in after if how.fits(one, two)][:1])
    else:
        for two in after:
            if all(two is not new for _, new in pairs):
                found.extend([(one, two) for one in before if how.fits(one, two)][:1])
    return found


def _by_place(lost: Sequence[Shape], gained: Sequence[Shape]) -> Pairs:
    """Leftovers of equal number whose types meet: the same alternatives, changed."""
    pairs = list(zip(lost, gained, strict=False))
    fitting = len(lost) == len(gained) and all(one.types & two.types for one, two in pairs)
    return pairs if fitting else []


def _overlapping(base: Alternatives, revision: Alternatives, gained: Sequence[Shape]) -> tuple[str, ...]:
    """Alternatives of a oneOf that a value could match together with another one, which the base did not forbid."""
    if not revision.exclusive or (base.discriminator is not None and revision.discriminator is not None):
        return ()
    suspects = gained if base.exclusive or len(base.shapes) == 1 else revision.shapes
    return tuple(
        shape.name
        for shape in suspects
        if any(not _apart(shape, other) for other in revision.shapes if other.key != shape.key)
    )


def _apart(one: Shape, two: Shape) -> bool:
    """Whether no value can match both."""
    if not one.types & two.types:
        return True
    if one.values is not None and two.values is not None:
        return not one.values & two.values
    if one.types != {"object"} or two.types != {"object"}:
        return False
    shared = one.required & two.required & one.properties.keys() & two.properties.keys()
    return any(_tells_apart(one, two, name) for name in shared)


def _tells_apart(one: Shape, two: Shape, name: str) -> bool:
    first, second = (_listed(shape, name) for shape in (one, two))
    return bool(first and second and not first & second)


def _listed(shape: Shape, name: str) -> set[str]:
    """The only values a property is said to have, where that is said right at it."""
    found: set[str] = set()
    for node in shape.properties[name].schema.nodes:
        values = node.get("enum", [node["const"]] if "const" in node else []) if isinstance(node, dict) else []
        found.update(canonical(value) for value in values if isinstance(values, list))
    return found
