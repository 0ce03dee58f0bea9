"""Route patterns as the host reads them: how they are written, which paths they match, which of two is more specific.

The host takes the first function by upper-cased name whose pattern and method match, so the order of names decides, and
`routes.py` proves with these functions that the order is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.api.labels import ANY_VERSION, Label, spells


@dataclass(frozen=True, slots=True)
class VersionSlot:
    """The version segment of a path: every spelling of one label, or every text that reads as a version.

    Attributes:
        label: the version, or None for any.
    """

    label: Label | None

    @property
    def regex(self) -> str:
        """The constraint; the host matches it ignoring case."""
        return ANY_VERSION if self.label is None else self.label.pattern


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A path segment that may be anything."""

    name: str


Part = str | Placeholder | VersionSlot


@dataclass(frozen=True, slots=True)
class Pattern:
    """A route pattern.

    Attributes:
        parts: one for each segment; literals are plain texts.
        open_ended: whether any number of further segments may follow.
    """

    parts: tuple[Part, ...]
    open_ended: bool = False

    @classmethod
    def of(cls, path: str, slot: VersionSlot | None = None) -> Pattern:
        """The pattern of a row's path, below a version segment or without one."""
        lead: tuple[Part, ...] = () if slot is None else (slot,)
        return cls((*lead, *(_part(segment) for segment in path.split("/"))))

    @property
    def template(self) -> str:
        """The pattern as a route template of the host."""
        written = [_written(part) for part in self.parts]
        return "/".join([*written, "{*path}"] if self.open_ended else written)

    def matches(self, segments: Sequence[str]) -> bool:
        """Whether a path, split and decoded, matches."""
        if len(segments) < len(self.parts) or (len(segments) > len(self.parts) and not self.open_ended):
            return False
        return all(_takes(part, segment) for part, segment in zip(self.parts, segments, strict=False))

    def matches_lead(self, segment: str) -> bool:
        """Whether the first segment of a path matches."""
        return _takes(self.parts[0], segment)

    def overlaps(self, other: Pattern) -> bool:
        """Whether some path matches both."""
        if not self._may_be_as_long_as(other) or not other._may_be_as_long_as(self):
            return False
        return all(_meet(mine, theirs) for mine, theirs in zip(self.parts, other.parts, strict=False))

    def _may_be_as_long_as(self, other: Pattern) -> bool:
        return self.open_ended or len(self.parts) >= len(other.parts)

    def covers(self, other: Pattern) -> bool:
        """Whether every path that matches the other matches this one too."""
        if other.open_ended and not self.open_ended:
            return False
        if len(self.parts) > len(other.parts) or (len(self.parts) < len(other.parts) and not self.open_ended):
            return False
        return all(_covers(mine, theirs) for mine, theirs in zip(self.parts, other.parts, strict=False))


def _part(segment: str) -> Part:
    if segment.startswith("{") and segment.endswith("}"):
        return Placeholder(segment[1:-1])
    return segment


def _written(part: Part) -> str:
    if isinstance(part, Placeholder):
        return f"{{{part.name}}}"
    return part if isinstance(part, str) else f"{{version:regex({part.regex})}}"


def _takes(part: Part, segment: str) -> bool:
    """Whether a segment of a path satisfies a part; empty segments satisfy none, and literals ignore case."""
    if not segment or isinstance(part, Placeholder):
        return bool(segment)
    if isinstance(part, str):
        return part.lower() == segment.lower()
    return spells(part.regex, segment)


def _meet(one: Part, other: Part) -> bool:
    """Whether some segment satisfies both. Spellings of different labels never meet."""
    if isinstance(one, Placeholder) or isinstance(other, Placeholder):
        return True
    if isinstance(one, VersionSlot) and isinstance(other, VersionSlot):
        return one.label is None or other.label is None or one.label == other.label
    if isinstance(one, str):
        return _takes(other, one)
    return isinstance(other, str) and _takes(one, other)


def _covers(wide: Part, narrow: Part) -> bool:
    if isinstance(wide, Placeholder):
        return True
    if isinstance(narrow, str):
        return _takes(wide, narrow)
    if isinstance(wide, VersionSlot) and isinstance(narrow, VersionSlot):
        return wide.label is None or wide.label == narrow.label
    return False
