"""Places of two documents as a graph: which findings an operation reaches, and by which way.

What a place says depends on nothing above it, so it is said once, and its findings go to everyone who gets there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from shared.api.breaking.rulebook import Found

# Places that may be passed on all ways together.
STEP_LIMIT = 10_000_000

Steps = tuple[str, ...]
Key = tuple[object, ...]
Finds = Iterator[tuple[Key, Steps, Found]]


class CutShortError(Exception):
    """The documents differ in more places than are looked at."""


class _Keyed(Protocol):
    @property
    def key(self) -> Key: ...


Place = TypeVar("Place", bound=_Keyed)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Place]):
    """What is to be said of a place itself, and the places below it."""

    own: tuple[Found, ...] = ()
    below: tuple[tuple[Steps, Place], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """A way between two places. Written out only where there is a finding: ways can be long."""

    part: Steps
    rest: _Way | None

    def parts(self) -> list[Steps]:
        found: list[Steps] = []
        way: _Way | None = self
        while way is not None:
            found.append(way.part)
            way = way.rest
        return found


def findings(places: Mapping[Key, Outcome[Place]], starts: Sequence[Key]) -> Finds:
    """Findings that starts reach, each by its shortest way, and each place's once for a start.

    Raises:
        CutShortError: there are too many ways.
    """
    above: dict[Key, list[tuple[Key, Steps]]] = {}
    for key, outcome in places.items():
        for steps, place in outcome.below:
            above.setdefault(place.key, []).append((key, steps))
    speaking = [key for key, outcome in places.items() if outcome.own]
    dirty = _leading_to(speaking, above)
    asking = [start for start in starts if start in dirty]
    if len(speaking) < len(asking):
        yield from _backwards(places, speaking, above, set(asking))
    else:
        yield from _forwards(places, asking, dirty)


def _leading_to(speaking: Sequence[Key], above: Mapping[Key, list[tuple[Key, Steps]]]) -> set[Key]:
    """Places that have something to say, or lead to one."""
    found = set(speaking)
    todo = list(speaking)
    while todo:
        for key, _ in above.get(todo.pop(), ()):
            if key not in found:
                found.add(key)
                todo.append(key)
    return found


def _forwards(places: Mapping[Key, Outcome[Place]], asking: Sequence[Key], dirty: set[Key]) -> Finds:
    """From each start through all that has something to say; right where starts are few."""
    passed = 0
    for start in asking:
        todo: list[tuple[Key, _Way]] = [(start, _Way((), None))]
        seen = {start}
        for key, way in todo:
            outcome = places[key]
            if outcome.own:
                steps = tuple(step for part in reversed(way.parts()) for step in part)
                yield from ((start, steps + found.hit.steps, found) for found in outcome.own)
            for more, place in outcome.below:
                if place.key in dirty and place.key not in seen:
                    seen.add(place.key)
                    todo.append((place.key, _Way(more, way)))
        passed += len(todo)
        if passed > STEP_LIMIT:
            raise CutShortError


def _backwards(
    places: Mapping[Key, Outcome[Place]],
    speaking: Sequence[Key],
    above: Mapping[Key, list[tuple[Key, Steps]]],
    asking: set[Key],
) -> Finds:
    """From each place that has something to say up to all starts; right where such places are few."""
    passed = 0
    for origin in speaking:
        todo: list[tuple[Key, _Way]] = [(origin, _Way((), None))]
        seen = {origin}
        for key, way in todo:
            if key in asking:
                steps = tuple(step for part in way.parts() for step in part)
                yield from ((key, steps + found.hit.steps, found) for found in places[origin].own)
            for user, more in above.get(key, ()):
                if user not in seen:
                    seen.add(user)
                    todo.append((user, _Way(more, way)))
        passed += len(todo)
        if passed > STEP_LIMIT:
            raise CutShortError
