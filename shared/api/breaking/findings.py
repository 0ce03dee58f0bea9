"""What a comparison says: findings, their levels and their order."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Level(enum.StrEnum):
    """How much a change matters to a client that was written for the base."""

    ERR = "ERR"
    WARN = "WARN"
    INFO = "INFO"


@dataclass(frozen=True, slots=True)
class Finding:
    """One change.

    Attributes:
        id: of the rule that found it.
        level: ERR breaks clients, WARN may break some, INFO is allowed.
        operation: method and path such as `GET /v2/studies`; empty for the document as a whole.
        operation_id: operation id in the base, or in the revision when the operation is new; may be empty.
        path: JSON pointer of the place; references are followed without a trace.
        text: one sentence: what changed, and what that does to a client.
    """

    id: str
    level: Level
    operation: str
    operation_id: str
    path: str
    text: str

    def as_json(self) -> dict[str, str]:
        """The finding as the command writes it."""
        return {
            "id": self.id,
            "level": self.level.value,
            "operation": self.operation,
            "operationId": self.operation_id,
            "path": self.path,
            "text": self.text,
        }


_RANK = {level: rank for rank, level in enumerate(Level)}

# JSON Schema of what `--format json` prints.
JSON_SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Findings, worst first",
    "type": "array",
    "items": {
        "type": "object",
        "required": ["id", "level", "operation", "operationId", "path", "text"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"},
            "level": {"enum": [level.value for level in Level]},
            "operation": {"type": "string"},
            "operationId": {"type": "string"},
            "path": {"type": "string", "pattern": "^(/.*)?$"},
            "text": {"type": "string", "minLength": 1},
        },
    },
}


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings without repetition: worst first, then by operation, place and rule."""

    def place(finding: Finding) -> tuple[object, ...]:
        method, _, path = finding.operation.partition(" ")
        return (_RANK[finding.level], path, method, finding.path, finding.id, finding.text)

    return tuple(sorted(set(findings), key=place))


def pointer(steps: Iterable[str]) -> str:
    """Steps as a JSON pointer (RFC 6901)."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
