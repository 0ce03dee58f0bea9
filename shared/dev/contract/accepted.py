"""The reviewed exceptions to the gate: versions/accepted-breaks.yaml."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from shared.api import decode
from shared.api.breaking.findings import Finding, Level
from shared.api.decode import Entry, Faults
from shared.dev.contract.remarks import Remark

FILE = "accepted-breaks.yaml"
# Long enough for a change of several commits to land; short enough that no exception waits for a later break.
STANDS = timedelta(days=30)
_DOCUMENT = "document"
_LABEL = r"v[0-9][A-Za-z0-9.-]*"
_RULE = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_OPERATION = rf"[A-Z]+ /\S*|{_DOCUMENT}"


@dataclass(frozen=True, slots=True)
class AcceptedBreak:
    """One exception.

    Attributes:
        rule: id of the rule that may be broken.
        label: version that may break it.
        operation: where, as findings name it (`GET /v2/studies`), or `document`.
        reason: why, for clients to read.
        approver: who answers for it.
        decided: the day it was accepted; it stands for 30 days.
        place: file and line.
    """

    rule: str
    label: str
    operation: str
    reason: str
    approver: str
    decided: date
    place: str

    @property
    def last_day(self) -> date:
        """The last day on which it excuses anything."""
        return self.decided + STANDS

    def covers(self, label: str, finding: Finding, today: date) -> bool:
        """Whether a finding is the one that was accepted, not too long ago."""
        where = finding.operation or _DOCUMENT
        return today <= self.last_day and (self.rule, self.label, self.operation) == (finding.id, label, where)


def load(folder: Path) -> tuple[AcceptedBreak, ...]:
    """All exceptions.

    Raises:
        ManifestError: listing all faults of the file, each with its line.
    """
    faults = Faults()
    root = decode.read(folder / FILE, faults)
    found: dict[tuple[str, str, str], AcceptedBreak] = {}
    for item in root.fields(("accepted",))["accepted"].items():
        line = _line(item)
        key = (line.rule, line.label, line.operation)
        if key in found:
            item.fault("the same break is accepted twice")
        found[key] = line
    faults.raise_if_any()
    return tuple(found.values())


def _line(item: Entry) -> AcceptedBreak:
    parts = item.fields(("rule", "label", "operation", "reason", "approver", "decided"))
    return AcceptedBreak(
        rule=parts["rule"].word(_RULE),
        label=parts["label"].word(_LABEL),
        operation=parts["operation"].word(_OPERATION),
        reason=parts["reason"].text(),
        approver=parts["approver"].text(),
        decided=parts["decided"].day(),
        place=item.place,
    )


def unused(lines: Iterable[AcceptedBreak], used: set[AcceptedBreak], today: date) -> Iterable[Remark]:
    """Exceptions that excuse nothing: left over from a change that has landed, too old, or misspelt."""
    for line in lines:
        if line not in used:
            lapsed = f"; it stood until {line.last_day}" if today > line.last_day else ""
            text = f"{line.place} accepts {line.rule} and excuses nothing{lapsed}: delete it."
            yield Remark(line.label, "accepted-break-unused", text, Level.WARN, line.operation)
