"""The conformance statement's part on search: keys, how they match, and which attributes a match carries."""

from __future__ import annotations

from collections.abc import Iterator

from shared.api.about.prose import Line, Paragraph, Section, Table
from shared.api.about.statement import Subject, attribute, parameter_table
from shared.api.manifest import Row
from shared.api.params import Kind
from shared.dicom.attributes import COMPUTED, RETURN_SETS, SEARCHABLE, Level, all_return_set

_BY_KEYWORD = {one.keyword: one for one in SEARCHABLE}

_RULES = Paragraph(
    "Keys are given as keyword or as tag, and all of them have to match. No character is a wildcard (PS3.4 §C.2.2.2). "
    "A key that is not listed for a resource is refused with 400. Matches come newest first."
)
_SETS = Paragraph(
    "A match carries the set of its own level and of the levels above it that the path does not name, the UIDs of "
    "the path, the attributes that were searched for, and those that `includefield` names. An attribute that was not "
    "stored is absent."
)


def keys_of(subject: Subject, row: Row) -> tuple[str, ...]:
    """Keywords of the attributes that a search takes."""
    return tuple(one.name for one in subject.inputs(row) if one.kind is Kind.MATCHING_KEY)


def levels_of(subject: Subject, row: Row) -> tuple[Level, ...]:
    """The levels whose attributes a search is about, the widest first."""
    found = {_BY_KEYWORD[keyword].level for keyword in keys_of(subject, row)}
    return tuple(level for level in Level if level in found)


def default_set(subject: Subject, level: Level) -> tuple[int, ...]:
    """The tags that a match of one level carries by default."""
    return tuple(sorted(RETURN_SETS[subject.version.behaviours.search_return_set.value][level]))


def section(subject: Subject) -> Section:
    """Search, for a version."""
    rows = subject.tagged("Search")
    inputs = parameter_table(subject, rows)
    return Section(
        "Search",
        (_RULES, *((inputs,) if inputs else ())),
        (
            Section("Search keys", (_keys(subject, rows),)),
            Section("Returned attributes", (_SETS, _levels(subject, rows), *_sets(subject))),
        ),
    )


def _keys(subject: Subject, rows: tuple[Row, ...]) -> Table:
    texts = {one.name: one.text for row in rows for one in subject.inputs(row) if one.kind is Kind.MATCHING_KEY}
    keys = {row.operation: keys_of(subject, row) for row in rows}
    head = ("Attribute", "VR", "Matching", *keys)
    return Table(head, tuple(_key(keyword, text, keys) for keyword, text in texts.items()))


def _key(keyword: str, text: str, keys: dict[str, tuple[str, ...]]) -> tuple[Line, ...]:
    found = _BY_KEYWORD[keyword]
    marks = ("yes" if keyword in taken else "" for taken in keys.values())
    return (attribute(found.tag), found.vr, text, *marks)


def _levels(subject: Subject, rows: tuple[Row, ...]) -> Table:
    found = ((f"`{row.operation}`", ", ".join(one.value for one in levels_of(subject, row))) for row in rows)
    return Table(("Operation", "Sets"), tuple(found))


def _sets(subject: Subject) -> Iterator[Table]:
    for level in Level:
        default, every, counted = default_set(subject, level), all_return_set(level), COMPUTED[level]
        tags = sorted({*default, *every, *counted})
        rows = tuple((attribute(tag), _how(tag, default, every)) for tag in tags)
        yield Table((f"Set of the level: {level.value}", "Given"), rows)


def _how(tag: int, default: tuple[int, ...], every: tuple[int, ...]) -> str:
    if tag in default:
        return "by default" if tag in every else "by default, but not with `includefield=all`"
    return "with `includefield=all`, or by name" if tag in every else "by name; computed"
