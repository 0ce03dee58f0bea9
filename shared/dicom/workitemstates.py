"""What may become of a workitem: its states, and who may change it when, as tables (PS3.4 §CC.1.1, contract C7.4-C7.6).

A verdict carries the code that PS3.4 and the original service name it by; codes are for messages, and clients see no
other trace of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum


class State(StrEnum):
    """ProcedureStepState (0074,1000); the values are those of the attribute."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


class Key(Enum):
    """How the Transaction UID of a request stands to the one that holds the workitem."""

    ABSENT = "absent"
    RIGHT = "right"
    OTHER = "other"


class Outcome(Enum):
    """What a verdict comes to."""

    DO = "do"
    DO_IF_FINAL = "do, if what the final state needs is there"
    DONE_BEFORE = "nothing to do, with a warning"
    REFUSE = "refuse"
    CONFLICT = "refuse, because it collides with what was done before"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is carried out.

    Attributes:
        text: why not, or what to know; empty when there is nothing to say.
    """

    outcome: Outcome
    text: str = ""


_DO = Verdict(Outcome.DO)
_DO_IF_FINAL = Verdict(Outcome.DO_IF_FINAL)
_NO_LONGER = Verdict(Outcome.REFUSE, "C300: The workitem is completed or canceled and can no longer be changed.")
_WRONG_KEY = Verdict(Outcome.REFUSE, "C301: The Transaction UID is not the one that holds the workitem.")
_IN_PROGRESS = Verdict(Outcome.REFUSE, "C302: The workitem is in progress already.")
_NOT_STARTED = Verdict(Outcome.REFUSE, "C310: The workitem is not in progress yet.")
_CANCELED_BEFORE = Verdict(Outcome.DONE_BEFORE, "B304: The workitem is already in the requested state, CANCELED.")
_COMPLETED_BEFORE = Verdict(Outcome.DONE_BEFORE, "B306: The workitem is already in the requested state, COMPLETED.")

# Contract C7.5, cell by cell: requested state, current state, how the Transaction UID stands.
CHANGES: Mapping[tuple[State, State, Key], Verdict] = {
    (State.IN_PROGRESS, State.SCHEDULED, Key.RIGHT): _DO,
    (State.IN_PROGRESS, State.SCHEDULED, Key.OTHER): _DO,
    (State.IN_PROGRESS, State.IN_PROGRESS, Key.RIGHT): _IN_PROGRESS,
    (State.IN_PROGRESS, State.IN_PROGRESS, Key.OTHER): _WRONG_KEY,
    (State.IN_PROGRESS, State.COMPLETED, Key.RIGHT): _NO_LONGER,
    (State.IN_PROGRESS, State.COMPLETED, Key.OTHER): _WRONG_KEY,
    (State.IN_PROGRESS, State.CANCELED, Key.RIGHT): _NO_LONGER,
    (State.IN_PROGRESS, State.CANCELED, Key.OTHER): _WRONG_KEY,
    (State.COMPLETED, State.SCHEDULED, Key.RIGHT): _NOT_STARTED,
    (State.COMPLETED, State.SCHEDULED, Key.OTHER): _WRONG_KEY,
    (State.COMPLETED, State.IN_PROGRESS, Key.RIGHT): _DO_IF_FINAL,
    (State.COMPLETED, State.IN_PROGRESS, Key.OTHER): _WRONG_KEY,
    (State.COMPLETED, State.COMPLETED, Key.RIGHT): _COMPLETED_BEFORE,
    (State.COMPLETED, State.COMPLETED, Key.OTHER): _WRONG_KEY,
    (State.COMPLETED, State.CANCELED, Key.RIGHT): _NO_LONGER,
    (State.COMPLETED, State.CANCELED, Key.OTHER): _WRONG_KEY,
    (State.CANCELED, State.SCHEDULED, Key.RIGHT): _NOT_STARTED,
    (State.CANCELED, State.SCHEDULED, Key.OTHER): _WRONG_KEY,
    (State.CANCELED, State.IN_PROGRESS, Key.RIGHT): _DO_IF_FINAL,
    (State.CANCELED, State.IN_PROGRESS, Key.OTHER): _WRONG_KEY,
    (State.CANCELED, State.COMPLETED, Key.RIGHT): _NO_LONGER,
    (State.CANCELED, State.COMPLETED, Key.OTHER): _WRONG_KEY,
    (State.CANCELED, State.CANCELED, Key.RIGHT): _CANCELED_BEFORE,
    (State.CANCELED, State.CANCELED, Key.OTHER): _WRONG_KEY,
}

_KEY_TOO_EARLY = Verdict(
    Outcome.REFUSE, "C301: The workitem is scheduled, and no Transaction UID holds it: leave it out to update."
)
_KEY_MISSING = Verdict(Outcome.REFUSE, "C302: The workitem is in progress; its Transaction UID has to be given.")
_COMPLETED = Verdict(Outcome.REFUSE, "C306: The workitem is completed and can no longer be updated.")
_CANCELED = Verdict(Outcome.CONFLICT, "C304: The workitem is canceled and can no longer be updated.")

# Contract C7.4.
UPDATES: Mapping[tuple[State, Key], Verdict] = {
    (State.SCHEDULED, Key.ABSENT): _DO,
    (State.SCHEDULED, Key.RIGHT): _KEY_TOO_EARLY,
    (State.SCHEDULED, Key.OTHER): _KEY_TOO_EARLY,
    (State.IN_PROGRESS, Key.ABSENT): _KEY_MISSING,
    (State.IN_PROGRESS, Key.RIGHT): _DO,
    (State.IN_PROGRESS, Key.OTHER): _WRONG_KEY,
    (State.COMPLETED, Key.ABSENT): _COMPLETED,
    (State.COMPLETED, Key.RIGHT): _COMPLETED,
    (State.COMPLETED, Key.OTHER): _COMPLETED,
    (State.CANCELED, Key.ABSENT): _CANCELED,
    (State.CANCELED, Key.RIGHT): _CANCELED,
    (State.CANCELED, Key.OTHER): _CANCELED,
}

# Contract C7.6.
CANCELLATIONS: Mapping[State, Verdict] = {
    State.SCHEDULED: _DO_IF_FINAL,
    State.IN_PROGRESS: Verdict(
        Outcome.REFUSE, "C312: The workitem is in progress, and whoever performs it cannot be notified."
    ),
    State.COMPLETED: Verdict(Outcome.REFUSE, "C311: The workitem is completed and cannot be canceled."),
    State.CANCELED: Verdict(Outcome.CONFLICT, _CANCELED_BEFORE.text),
}
