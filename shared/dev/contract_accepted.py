"""The reviewed exceptions to the gate: versions/accepted-breaks.yaml."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shared.api import decode
from shared.api.breaking.findings import Finding
from shared.api.decode import Entry, Faults
from shared.dev.contract_remarks import Remark

FILE = "accepted-breaks.yaml"
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
        place: file and line.
    """

    rule: str
    label: str
    operation: str
    reason: str
    approver: str
    place: str

    def covers(self, label: str, finding: Finding) -> bool:
        """Whether a finding is the one that was accepted."""
        where = finding.operation or _DOCUMENT
        return (self.rule, self.label, self.operation) == (finding.id, label, where)


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
    parts = item.fields(("rule", "label", "operation", "reason", "approver"))
    return AcceptedBreak(
        rule=parts["rule"].word(_RULE),
        label=parts["label"].word(_LABEL),
        operation=parts["operation"].word(_OPERATION),
        reason=parts["reason"].text(),
        approver=parts["approver"].text(),
        place=item.place,
    )


def unused(lines: Iterable[AcceptedBreak], used: set[AcceptedBreak]) -> Iterable[Remark]:
    """Exceptions that excuse nothing: left over from a change that has landed, or misspelt."""
    for line in lines:
        if line not in used:
            text = f"{line.place} accepts {line.rule}, which nothing breaks (any more): delete the line."
            yield Remark(line.label, "accepted-break-unused", text, operation=line.operation)
