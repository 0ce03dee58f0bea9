"""Version labels: how one is written, in which order versions stand, and every spelling a caller may use for one.

A label parses as major, optional minor (a missing one is 0) and optional status; the status compares without case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.api.decode import Entry

# What may stand where a file names a version; whether it is a label is another question.
WORD = r"v[0-9][A-Za-z0-9.-]*"
_LABEL = re.compile(r"v(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*))?(?:-([a-z][a-z0-9]*))?")

# Any text that reads as a version: [date][major[.minor]][status], at least a date or a major number. It does without
# braces, colons and equal signs, because those have a meaning of their own in a route template.
ANY_VERSION = (
    r"^v([0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9](\.?[0-9]+(\.[0-9]+)?)?|[0-9]+(\.[0-9]+)?)(-?[a-z][a-z0-9]*)?$"
)


def spells(pattern: str, text: str) -> bool:
    """Whether the whole text matches the pattern of a version segment, ignoring case.

    The host's own match takes a line feed before the end for the end; this one does not.
    """
    return "\n" not in text and re.fullmatch(pattern, text, re.IGNORECASE | re.ASCII) is not None


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """One version's label. Labels sort ascending: a status (prerelease) comes before the release of the same number.

    Attributes:
        major: first number.
        minor: second number.
        released: False when there is a status.
        status: lower case, empty for none.
        text: as the manifest writes it, for example `v1.0-prerelease`.
    """

    major: int
    minor: int
    released: bool
    status: str
    text: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Label | None:
        """The label a manifest writes, or None when the text is none."""
        match = _LABEL.fullmatch(text)
        if match is None:
            return None
        major, minor, status = match.groups()
        return cls(int(major), int(minor or 0), not status, status or "", text)

    @property
    def name(self) -> str:
        """The label as version headers and documents give it: without the leading letter."""
        return self.text[1:]

    @property
    def slug(self) -> str:
        """The label as part of a function name."""
        return re.sub(r"[^A-Za-z0-9]", "_", self.text)

    @property
    def pattern(self) -> str:
        """Regular expression of all spellings, good for a route constraint and for Python; used ignoring case."""
        minor = rf"\.0*{self.minor}" if self.minor else r"(\.0+)?"
        status = f"-?{self.status}" if self.status else ""
        return f"^v0*{self.major}{minor}{status}$"

    def spelled(self, text: str) -> bool:
        """Whether a caller's version segment means this version."""
        return spells(self.pattern, text)


def read(entry: Entry) -> Label:
    """The label a version file gives itself, which is also its name."""
    text = entry.word(WORD)
    label = Label.parse(text)
    if label is None and text:
        entry.fault(f"{text!r} is not a label such as v2 or v2.0-prerelease")
    if text and entry.file != f"{text}.yaml":
        entry.fault(f"the file of {text} must be named {text}.yaml")
    return label or Label(0, 0, True, "", "v0")


def check_unique(found: Sequence[tuple[Entry, Label]]) -> None:
    """No two files, given by their roots, are of the same version."""
    labels = [label for _, label in found]
    for root, label in found:
        if labels.count(label) > 1:
            root.fault(f"{label.text} means the same version as another file")
