"""Conditions on extended query tags, for rows of any level; for instances also where to look for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.dicom.extendedtags import ExtendedTag
from shared.dicom.matching import name_words
from shared.storage.conditions import PREFIX_LETTERS, Clue, Condition, in_range, one_of, word_clue
from shared.storage.keys import SEARCH_COLUMN
from shared.storage.tagrows import NAME, ORDERED, exact_prefix, keyword_of, parsed, said, word_prefix

_LAST = "~"  # sorts behind everything that dates, times and keys are made of


@dataclass(frozen=True, slots=True)
class Probe:
    """Where instances are found that may satisfy a condition: spans of row keys, of which any will do.

    Attributes:
        number: of the tag.
        spans: half-open spans of row keys.
        one_value: all of them are of one value, and so the newest comes first.
    """

    number: int
    spans: tuple[tuple[str, str], ...]
    one_value: bool


@dataclass(frozen=True, slots=True)
class TagCondition(Condition):
    """A condition on a tag.

    Attributes:
        tag: the tag.
        test: the condition on its column.
        probe: where matching instances are found.
    """

    tag: ExtendedTag
    test: Condition
    probe: Probe

    @property
    def column(self) -> str:
        """As `Condition` says."""
        return self.test.column

    def filters(self) -> list[str]:
        """As `Condition` says."""
        return self.test.filters()

    def matches(self, row: Mapping[str, Any]) -> bool:
        """As `Condition` says."""
        return self.test.matches(row)

    def clues(self) -> list[frozenset[Clue]]:
        """As `Condition` says."""
        return self.test.clues()

    def is_simple(self) -> bool:
        """As `Condition` says."""
        return self.test.is_simple()

    def tag_number(self) -> int:
        """As `Condition` says."""
        return self.tag.number


def tag_is(tag: ExtendedTag, values: Iterable[str]) -> TagCondition:
    """The folded value is one of these."""
    folded = sorted(set(values))
    test = one_of(keyword_of(tag.slot), [said(tag, one) for one in folded])
    spans = tuple(_prefixed(_key(tag, one)) for one in folded)
    return TagCondition(tag, test, Probe(tag.number, spans, len(spans) == 1))


def tag_within(tag: ExtendedTag, low: str, high: str) -> TagCondition:
    """The folded value lies between two, ends included; an empty end is open, but not both."""
    test = in_range(keyword_of(tag.slot), said(tag, low), said(tag, high or _LAST))
    return TagCondition(tag, test, Probe(tag.number, ((f"r{low}", f"r{high}{_LAST * 2}"),), one_value=False))


def tag_begins(tag: ExtendedTag, words: Iterable[str]) -> TagCondition:
    """Consecutive words of a person name begin with these folded words."""
    wanted = tuple(words)
    prefix = word_prefix(max(wanted, key=len))
    return TagCondition(tag, _TagName(tag, wanted), Probe(tag.number, ((prefix, prefix + _LAST * 2),), one_value=False))


@dataclass(frozen=True, slots=True)
class _TagName(Condition):
    tag: ExtendedTag
    words: tuple[str, ...]

    @property
    def column(self) -> str:
        return SEARCH_COLUMN + keyword_of(self.tag.slot)

    def filters(self) -> list[str]:
        # Words of these names have no columns of their own: that would be six properties a tag.
        return [f"{self.column} gt ''"]

    def matches(self, row: Mapping[str, Any]) -> bool:
        there = parsed(row.get(self.column, ""))
        if there is None or there.number != self.tag.number:
            return False
        words = name_words(there.folded)
        return any(
            all(word.startswith(start) for word, start in zip(words[first:], self.words, strict=False))
            for first in range(len(words) - len(self.words) + 1)
        )

    def clues(self) -> list[frozenset[Clue]]:
        keyword = word_clue(keyword_of(self.tag.slot))
        return [frozenset((keyword, f"{self.tag.number}{NAME}{word[:PREFIX_LETTERS]}") for word in self.words)]


def _key(tag: ExtendedTag, folded: str) -> str:
    return f"r{folded}" if said(tag, "").endswith(ORDERED) else exact_prefix(folded)


def _prefixed(prefix: str) -> tuple[str, str]:
    return f"{prefix}~", f"{prefix}~~"
