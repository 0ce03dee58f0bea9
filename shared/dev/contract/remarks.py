"""What the gate says: remarks on versions, and how a reader sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.api.breaking.findings import Finding, Level


class GateError(Exception):
    """The gate cannot decide: a file or the history cannot be read. The text says which and why."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing the gate has to say.

    Attributes:
        label: of the version; empty when it is about none.
        rule: id, of the comparison's rules or of the gate's own.
        text: one sentence.
        level: as for findings; what is ERR fails unless it is excused.
        operation: method and path, and the operation id in brackets; empty for the version as a whole.
        path: JSON pointer of the place in the document; empty where there is none.
        excuse: why it does not fail although it is ERR; empty when nothing excuses it.
    """

    label: str
    rule: str
    text: str
    level: Level = Level.ERR
    operation: str = ""
    path: str = ""
    excuse: str = ""

    @property
    def fails(self) -> bool:
        """Whether the gate is closed by this."""
        return self.level is Level.ERR and not self.excuse

    def lines(self) -> Iterable[str]:
        """The remark for people."""
        where = " ".join(part for part in (self.label, self.operation) if part)
        yield f"{self.level.value:4} {where or 'versions'} [{self.rule}] {self.text}"
        if self.path:
            yield f"     at {self.path}"
        if self.excuse:
            yield f"     does not fail: {self.excuse}"


def of_finding(label: str, finding: Finding, excuse: str = "") -> Remark:
    """A finding of the comparison as a remark on a version."""
    named = f"{finding.operation} ({finding.operation_id})" if finding.operation_id else finding.operation
    return Remark(label, finding.id, finding.text, finding.level, named or "document", finding.path, excuse)
