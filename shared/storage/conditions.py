"""Conditions of a search: what a row must satisfy, as a filter for the table service, as a test, and as clues.

The test is the truth. The service's filter and the clues only keep rows and segments away that cannot pass it, because
a `$filter` may not hold more than 15 comparisons.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.dicom.matching import fold, name_words
from shared.storage.keys import SEARCH_COLUMN, modality_column
from shared.storage.tables import quoted

MODALITIES = "modalities"
NAME_COLUMNS = 5
"""So many words of a person name have columns of their own."""
PREFIX_LETTERS = 6
COMPARISONS = 15

# What a segment's filter remembers: a keyword with a folded value or with the beginning of one.
Clue = tuple[str, str]


class Condition(ABC):
    """One condition on rows of one level."""

    __slots__ = ()

    @property
    @abstractmethod
    def column(self) -> str:
        """The property it is about; a row without it does not match."""

    @abstractmethod
    def filters(self) -> list[str]:
        """Comparisons of the table service, any of which lets a row through that could match."""

    @abstractmethod
    def matches(self, row: Mapping[str, Any]) -> bool:
        """Whether a row satisfies it."""

    def clues(self) -> list[frozenset[Clue]]:
        """Sets of clues: a segment with a match has one of these sets as a whole. Empty when clues do not help."""
        return []

    def days(self) -> tuple[str, str] | None:
        """The first and the last study date it asks for; None when it asks for none."""
        return None

    def is_simple(self) -> bool:
        """Whether the service's filter says the same as the test."""
        return False

    def tag_number(self) -> int:
        """Number of the extended query tag that it asks for; 0 for none. Filters from before know nothing of it."""
        return 0


def one_of(keyword: str, values: Iterable[str]) -> Condition:
    """The folded value is one of these."""
    return _OneOf(keyword, frozenset(values))


def in_range(keyword: str, low: str, high: str) -> Condition:
    """The folded value lies between two, ends included; an empty end is open, but not both."""
    return _InRange(keyword, low, high)


def name_phrase(keyword: str, words: Iterable[str]) -> Condition:
    """Consecutive words of a person name begin with these folded words (contract C6.3, fuzzy matching)."""
    return _NamePhrase(keyword, tuple(words))


def any_modality(values: Iterable[str]) -> Condition:
    """A series of the study has one of these folded modalities."""
    return _AnyModality(frozenset(values))


@dataclass(frozen=True, slots=True)
class _OneOf(Condition):
    keyword: str
    values: frozenset[str]

    @property
    def column(self) -> str:
        return SEARCH_COLUMN + self.keyword

    def filters(self) -> list[str]:
        return [f"{self.column} eq {quoted(value)}" for value in sorted(self.values)]

    def matches(self, row: Mapping[str, Any]) -> bool:
        return row.get(self.column) in self.values

    def clues(self) -> list[frozenset[Clue]]:
        return [frozenset({(self.keyword, value)}) for value in self.values]

    def days(self) -> tuple[str, str] | None:
        return (min(self.values), max(self.values)) if self.keyword == "StudyDate" else None

    def is_simple(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class _InRange(Condition):
    keyword: str
    low: str
    high: str

    @property
    def column(self) -> str:
        return SEARCH_COLUMN + self.keyword

    def filters(self) -> list[str]:
        ends = [f"{self.column} ge {quoted(self.low)}"] if self.low else []
        ends += [f"{self.column} le {quoted(self.high)}"] if self.high else []
        return [" and ".join(ends)]

    def matches(self, row: Mapping[str, Any]) -> bool:
        value: str | None = row.get(self.column)
        return value is not None and self.low <= value and (not self.high or value <= self.high)

    def days(self) -> tuple[str, str] | None:
        return (self.low, self.high or "99999999") if self.keyword == "StudyDate" else None

    def is_simple(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class _NamePhrase(Condition):
    keyword: str
    words: tuple[str, ...]

    @property
    def column(self) -> str:
        return SEARCH_COLUMN + self.keyword

    def filters(self) -> list[str]:
        longest = max(self.words, key=len)
        end = after_prefix(longest)
        upto = " and {} lt " + quoted(end).replace("{", "{{").replace("}", "}}") if end else ""
        names = [f"{self.column}{place}" for place in range(1, NAME_COLUMNS + 1)]
        found = [f"({name} ge {quoted(longest)}{upto.format(name)})" for name in names]
        # A name of more words has not all of them in columns.
        return [*found, f"{names[-1]} gt ''"]

    def matches(self, row: Mapping[str, Any]) -> bool:
        words = name_words(row.get(self.column, ""))
        return any(
            all(word.startswith(start) for word, start in zip(words[first:], self.words, strict=False))
            for first in range(len(words) - len(self.words) + 1)
        )

    def clues(self) -> list[frozenset[Clue]]:
        return [frozenset((word_clue(self.keyword), word[:PREFIX_LETTERS]) for word in self.words)]


@dataclass(frozen=True, slots=True)
class _AnyModality(Condition):
    values: frozenset[str]

    @property
    def column(self) -> str:
        return MODALITIES

    def filters(self) -> list[str]:
        return [f"{modality_column(value)} eq true" for value in sorted(self.values)]

    def matches(self, row: Mapping[str, Any]) -> bool:
        return not self.values.isdisjoint(modalities_of(row))

    def clues(self) -> list[frozenset[Clue]]:
        return [frozenset({(MODALITIES, value)}) for value in self.values]


def word_clue(keyword: str) -> str:
    """First half of the clues for beginnings of a name's words."""
    return f"{keyword}^"


def modalities_of(row: Mapping[str, Any]) -> list[str]:
    """The modalities of a study's row, folded."""
    return [fold("CS", value) for value in row.get(MODALITIES, "").split("\\") if value]


def after_prefix(prefix: str) -> str:
    """The least text that sorts behind everything that begins with `prefix`; empty when nothing does.

    Storage compares UTF-16 code units, in which the characters beyond U+FFFF sort between U+D7FF and U+E000.
    """
    while prefix:
        last = ord(prefix[-1])
        if last == 0xFFFF:
            prefix = prefix[:-1]
            continue
        following = {0xD7FF: 0x10000, 0x10FFFF: 0xE000}.get(last, last + 1)
        return prefix[:-1] + chr(following)
    return ""


def where(base: str, conditions: Iterable[Condition]) -> str:
    """A `$filter`: `base`, which has two comparisons at most, and as much of the conditions as it may hold beside."""
    left = COMPARISONS - 2
    parts = [base]
    for alternatives in sorted((condition.filters() for condition in conditions), key=_comparisons):
        cost = _comparisons(alternatives)
        if cost <= left:
            left -= cost
            parts.append(alternatives[0] if len(alternatives) == 1 else f"({' or '.join(alternatives)})")
    return " and ".join(parts)


def is_exact(conditions: Sequence[Condition]) -> bool:
    """Whether rows that the service lets through need no second look."""
    simple = all(condition.is_simple() for condition in conditions)
    return simple and sum(_comparisons(condition.filters()) for condition in conditions) <= COMPARISONS - 2


def match_all(row: Mapping[str, Any], conditions: Iterable[Condition]) -> bool:
    """Whether a row satisfies all conditions."""
    return all(condition.matches(row) for condition in conditions)


def columns_of(conditions: Iterable[Condition]) -> tuple[str, ...]:
    """The properties that `match_all` looks at."""
    return tuple(dict.fromkeys(condition.column for condition in conditions))


def _comparisons(alternatives: Sequence[str]) -> int:
    return sum(1 + text.count(" and ") for text in alternatives)
