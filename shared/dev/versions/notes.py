"""What people read of a change of versions: the table of differences in versions/README.md, and the changelog."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

from shared.api.manifest import ApiVersion

HEADING = "## Differences between neighbours"
UNEXPLAINED = "to be written"
UNRELEASED = "## Unreleased"
_HEAD = ("| versions | what | change | why |", "|---|---|---|---|")
_COLUMNS = 4
_LINE_WIDTH = 120
_STABILITY_REASONS = {
    "stable → prerelease": "work in progress: it may change without notice",
    "prerelease → stable": "from here on it is a promise",
}


class NotesError(ValueError):
    """A file has not the form that a note can be written into; the text says which."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between two versions that follow each other.

    Attributes:
        pair: older → newer, by label.
        what: `stability`, a key of the behaviours, or an operation id.
        change: before → after, or `added`, `removed`, `changed` for an operation.
        newer: label of the newer one.
    """

    pair: str
    what: str
    change: str
    newer: str


def differences(versions: Sequence[ApiVersion]) -> Iterator[Difference]:
    """All differences between neighbours, in the order of the versions and of their files."""
    for older, newer in itertools.pairwise(versions):
        pair = f"{older.label.text} → {newer.label.text}"
        for what, change in (*_words(older, newer), *_rows(older, newer)):
            yield Difference(pair, what, change, newer.label.text)


def _words(older: ApiVersion, newer: ApiVersion) -> Iterator[tuple[str, str]]:
    both = [("stability", older.stability, newer.stability)]
    for field in fields(older.behaviours):
        before, after = (getattr(one.behaviours, field.name).value for one in (older, newer))
        both.append((field.name, before, after))
    return ((what, f"{before} → {after}") for what, before, after in both if before != after)


def _rows(older: ApiVersion, newer: ApiVersion) -> Iterator[tuple[str, str]]:
    before, after = ({row.operation: row for row in one.rows} for one in (older, newer))
    for operation, row in after.items():
        if operation not in before:
            yield operation, "added"
        elif before[operation] != row:
            yield operation, "changed"
    yield from ((operation, "removed") for operation in before if operation not in after)


def with_table(text: str, versions: Sequence[ApiVersion], label: str = "", origin: str = "") -> str:
    """versions/README.md with the differences there are. Reasons that people gave stay with what they explain.

    Args:
        text: the file.
        versions: those that are served.
        label: version that is new, empty for none.
        origin: version it starts as.

    Raises:
        NotesError: the file has no such table.
    """
    before, head, after = text.partition("\n".join(_HEAD) + "\n")
    if not head or HEADING not in before:
        raise NotesError(f"versions/README.md has no table below {HEADING!r}")
    lines = list(itertools.takewhile(lambda line: line.startswith("|"), after.splitlines(keepends=True)))
    known = list(_known(lines))
    pairs = {f"{older.label.text} → {newer.label.text}" for older, newer in itertools.pairwise(versions)}
    parted = [(each, why) for each, why in known if each.pair not in pairs]
    own = dict(known)
    start = f"as in {origin}, which it starts from"
    new = [
        _line(each, own.get(each) or _reason(each, parted, start if each.newer == label else UNEXPLAINED))
        for each in differences(versions)
    ]
    return "".join([before, head, *new, after[len("".join(lines)) :]])


def _known(lines: Iterable[str]) -> Iterator[tuple[Difference, str]]:
    """The differences a table has, each with its reason."""
    for line in lines:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|", _COLUMNS - 1)]
        if len(cells) != _COLUMNS:
            raise NotesError(f"a line of the table below {HEADING!r} has not {_COLUMNS} columns: {line.strip()}")
        pair, what, change, why = cells
        yield Difference(pair, what.strip("`"), change, pair.rpartition(" → ")[2]), why


def _reason(difference: Difference, parted: Sequence[tuple[Difference, str]], otherwise: str) -> str:
    """Why two versions differ that were no neighbours before: as it was written of the pairs that a version parted."""
    if difference.what == "stability":
        return _STABILITY_REASONS.get(difference.change, otherwise)
    of_this = [(each.change, why) for each, why in parted if each.what == difference.what]
    same = [why for change, why in of_this if change == difference.change]
    if otherwise != UNEXPLAINED and not same:
        return otherwise
    return "; ".join(dict.fromkeys(same or [why for _, why in of_this])) or otherwise


def _line(difference: Difference, why: str) -> str:
    return f"| {difference.pair} | `{difference.what}` | {difference.change} | {why} |\n"


def with_change(text: str, sentence: str) -> str:
    """CHANGELOG.md with one more line at the end of what is not released.

    Raises:
        NotesError: the file has no such part.
    """
    before, heading, after = text.partition(f"{UNRELEASED}\n")
    if not heading:
        raise NotesError(f"CHANGELOG.md has no part {UNRELEASED!r}")
    later = re.search(r"^## ", after, re.MULTILINE)
    part, rest = (after[: later.start()], after[later.start() :]) if later else (after, "")
    wrapped = textwrap.fill(
        f"- {sentence}", _LINE_WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    held = f"{part.strip()}\n" if part.strip() else ""
    return f"{before}{heading}\n{held}{wrapped}\n" + (f"\n{rest}" if rest else "")
