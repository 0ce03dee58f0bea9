"""Data actions, of which every operation needs one (contract b, C16), and the words that audit records call it by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from shared.api.decode import Entry


class Action(Enum):
    """What a role allows; a member's value is the word that role files and shapes.yaml write."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    MANAGE_TAGS = "manageExtendedQueryTags"
    EXPORT = "export"


ANYONE = "anyone"
"""The word for an operation that needs no token."""

# Rooms that give out nothing of what is stored. No other room's operation can be opened to anyone by a word in a file.
OPEN_ROOMS = ("api", "health")


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call an operation, and how its calls are recorded.

    Attributes:
        action: that a role of the caller has to allow; None for anyone, without a token.
        audit: the word of audit records; empty for operations that are not recorded.
    """

    action: Action | None
    audit: str


def rule(handler: str, entry: Entry) -> Rule:
    """What shapes.yaml says of one handler."""
    parts = entry.fields(("action",), ("audit",))
    word = parts["action"].word("|".join((ANYONE, *(action.value for action in Action))))
    audit = parts["audit"].word(r"[a-z]+(?:-[a-z]+)*") if parts["audit"].given else ""
    if word != ANYONE:
        if not audit:
            entry.fault("an operation that needs an action needs an audit word as well")
        return Rule(Action(word) if word else Action.READ, audit)
    if handler.partition(".")[0] not in OPEN_ROOMS:
        entry.fault(f"only operations of {' and '.join(OPEN_ROOMS)} are open to anyone")
    if audit:
        entry.fault("an operation that is open to anyone is not recorded")
    return Rule(None, "")
