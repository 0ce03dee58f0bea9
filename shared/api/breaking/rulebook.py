"""What a rule is. Rules live in `rules/`, one small function each."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from shared.api.breaking.findings import Level

Subject = TypeVar("Subject")


class Side(enum.StrEnum):
    """Which way values travel, seen from the client: what it sends, and what it receives."""

    REQUEST = "request"
    RESPONSE = "response"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a finding says of itself, whatever it was found on.

    Attributes:
        id: words with hyphens.
        level: of its findings.
        why: what the change does to a client; ends the sentence of each finding.
    """

    id: str
    level: Level
    why: str


@dataclass(frozen=True, slots=True)
class Hit:
    """Something a rule found.

    Attributes:
        what: what changed; begins the sentence of the finding.
        steps: where, seen from the subject.
    """

    what: str
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A hit with its rule."""

    rule: Rule
    hit: Hit

    @property
    def text(self) -> str:
        """The sentence of the finding."""
        return f"{self.hit.what}: {self.rule.why}."


Check = Callable[[Subject], Iterable[Hit]]


class Rulebook(Generic[Subject]):
    """Rules about one kind of subject, a pair of something in the base and in the revision."""

    def __init__(self) -> None:
        """An empty book."""
        self._checks: list[tuple[Rule, Check[Subject]]] = []

    def rule(self, name: str, level: Level, why: str) -> Callable[[Check[Subject]], Check[Subject]]:
        """Enter the function that follows as a rule."""

        def enter(check: Check[Subject]) -> Check[Subject]:
            self._checks.append((Rule(name, level, why), check))
            return check

        return enter

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules of the book, in the order they were entered."""
        return tuple(rule for rule, _ in self._checks)

    def found(self, subject: Subject) -> Iterator[Found]:
        """What the rules find on a subject."""
        for rule, check in self._checks:
            for hit in check(subject):
                yield Found(rule, hit)


def words(values: Iterable[str]) -> str:
    """Names or values in a sentence, in order."""
    return ", ".join(sorted(values))
