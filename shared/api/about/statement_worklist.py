"""The conformance statement's part on the worklist: what workitems must have, who may change them, how to find them."""

from __future__ import annotations

from shared.api.about.prose import Line, Paragraph, Section, Table
from shared.api.about.statement import Subject, attribute, parameter_table
from shared.dicom import workitemrules as rules
from shared.dicom.workitemkeys import RETURN_SET, SEARCHABLE
from shared.dicom.workitemrules import Need, Rule
from shared.dicom.workitemstates import CANCELLATIONS, CHANGES, UPDATES, Outcome, Verdict
from shared.storage.workitemrows import MOST_BYTES
from shared.worklist.requests import MOST_BYTES as MOST_BODY_BYTES

NEEDS = {
    Need.VALUE: "must have a value",
    Need.PRESENT: "must be there, may be empty",
    Need.NEVER_EMPTY: "has a value when it is there",
    Need.ABSENT: "must not be given",
    Need.EMPTY: "must be there, empty",
    Need.FREE: "may be there, may be empty",
}
_OUTCOMES = {
    Outcome.DO: "done",
    Outcome.DO_IF_FINAL: "done, when what the final state needs is there; otherwise 400",
    Outcome.DONE_BEFORE: "200 with a warning",
    Outcome.REFUSE: "400",
    Outcome.CONFLICT: "409",
}

_LEAD = Paragraph(
    "Unified procedure steps are made, retrieved, claimed, changed, finished, canceled and searched for (PS3.18 §11). "
    "There are no subscriptions and no events; workitems are kept for good. The Transaction UID is the key that holds "
    "a workitem, and is never given. Of two who claim one workitem at the same time, one gets it."
)
_LIMITS = Paragraph(
    f"A body has at most {MOST_BODY_BYTES:,} bytes, and a workitem at most {MOST_BYTES:,} bytes when compressed. What "
    "workitems are found by is checked by the rules of its value representation. Conditional attributes are optional."
)


def section(subject: Subject) -> Section:
    """The worklist, for a version."""
    inputs = parameter_table(subject, subject.tagged("Worklist"))
    return Section(
        "Worklist",
        (_LEAD, _LIMITS, *((inputs,) if inputs else ())),
        (
            Section("Attributes of workitems", (_attributes(),)),
            Section("What final states need", (_final(),)),
            Section("Changes of state", (_changes(),)),
            Section("Updates of workitems", (_updates(),)),
            Section("Requests for cancellation", (_cancellations(),)),
            Section("Search keys of workitems", (_keys(),)),
            Section("Attributes of found workitems", (_returned(),)),
        ),
    )


def _attributes() -> Table:
    on_update = {rule.tag: rule.need for rule in rules.UPDATE}
    rows = sorted((rule.tag, rule.need) for rule in rules.CREATE)
    cells = ((attribute(tag), NEEDS[need], NEEDS[on_update[tag]]) for tag, need in rows)
    return Table(("Attribute", "When it is made", "In an update"), tuple(cells))


def _final() -> Table:
    rows: list[tuple[Line, ...]] = []
    for state, table in (("COMPLETED", rules.COMPLETED), ("CANCELED", rules.CANCELED)):
        for rule in table:
            rows += [(state, *cells) for cells in _needed(rule)]
    return Table(("State", "Attribute", "Rule"), tuple(rows))


def _needed(rule: Rule) -> list[tuple[Line, Line]]:
    inner: list[tuple[Line, Line]] = [
        (f"{attribute(rule.tag)}, in its items {attribute(item.tag)}", NEEDS[item.need]) for item in rule.items
    ]
    return [(attribute(rule.tag), NEEDS[rule.need]), *inner]


def _told(verdict: Verdict) -> tuple[Line, Line]:
    return _OUTCOMES[verdict.outcome], verdict.text


def _changes() -> Table:
    cells = ((now.value, wanted.value, key.value, *_told(said)) for (wanted, now, key), said in CHANGES.items())
    return Table(("State", "Requested", "Transaction UID", "Answer", "Said"), tuple(cells))


def _updates() -> Table:
    cells = ((now.value, key.value, *_told(said)) for (now, key), said in UPDATES.items())
    return Table(("State", "Transaction UID", "Answer", "Said"), tuple(cells))


def _cancellations() -> Table:
    return Table(("State", "Answer", "Said"), tuple((now.value, *_told(said)) for now, said in CANCELLATIONS.items()))


def _keys() -> Table:
    cells = (
        (f"`{key.name}`", f"`{'.'.join(f'{tag:08X}' for tag in key.path)}`", _MATCHING[key.vr]) for key in SEARCHABLE
    )
    return Table(("Key", "As tags", "How it matches"), tuple(cells))


def _returned() -> Table:
    return Table(("Attribute",), tuple((attribute(tag),) for tag in sorted(RETURN_SET)))


_MATCHING = {
    "PN": "the whole name, or with `fuzzymatching` the beginnings of its words; case and accents do not count",
    "LO": "the whole value; case does not count",
    "SH": "the whole value, in any item of the sequence; case does not count",
    "CS": "one of a list",
    "UI": "one of a list",
    "DT": "a moment, or a range with a hyphen",
}
