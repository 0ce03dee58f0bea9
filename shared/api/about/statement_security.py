"""What the conformance statement says of access control and audit (PS3.2), from the table that the gate works with."""

from __future__ import annotations

from shared.api.about.prose import Line, Paragraph, Section, Table, listed
from shared.api.about.statement import Subject
from shared.api.access.actions import ANYONE, Action
from shared.api.access.keys import CURVES, RSA_ALGORITHMS
from shared.api.access.tokens import LEEWAY_SECONDS, MOST_CHARACTERS
from shared.api.audit import MOST_HEADER_CHARACTERS, MOST_HEADERS, PREFIX
from shared.settings import AccessSettings

_OFF = (
    "Access control is off in this deployment: the service does not ask who a caller is, and whoever can reach it can "
    "use it. When it is on, callers show a bearer token, and what they may do follows from its roles."
)


def section(subject: Subject) -> Section:
    """Security."""
    access = subject.settings.access
    return Section(
        "Security",
        (
            Paragraph(_on(access) if access.on else _OFF),
            Table(("Data action", "Operations"), _actions(subject)),
        ),
        (Section("Audit", (Paragraph(_AUDIT),)),),
    )


def _on(access: AccessSettings) -> str:
    issuers = listed(access.issuers or (access.authority,))
    return (
        "Access control is on in this deployment. Callers send `Authorization: Bearer` and a JSON Web Token of "
        f"{issuers} for {listed(access.audiences)}, of at most {MOST_CHARACTERS:,} characters, signed with one of "
        f"{listed((*sorted(RSA_ALGORITHMS), *CURVES.values()))}. Clocks may differ by {LEEWAY_SECONDS} seconds. "
        f"The claim `{access.roles_claim}` names roles; one of them has to allow the data action of the operation."
    )


def _actions(subject: Subject) -> tuple[tuple[Line, ...], ...]:
    operations: dict[Action | None, list[str]] = {action: [] for action in (*Action, None)}
    for row in subject.version.rows:
        operations[subject.shapes.access[row.handler].action].append(row.operation)
    return tuple(
        (f"`{action.value if action else ANYONE}`", listed(tuple(names)))
        for action, names in operations.items()
        if names
    )


_AUDIT = (
    "Each call of an operation that needs a data action leaves one record: who called, what was done, the UIDs it was "
    "about and the status. Neither records nor logs have attribute values or anything of a query string. Request "
    f"headers whose names begin with `{PREFIX}` become part of the record: at most {MOST_HEADERS}, each of at most "
    f"{MOST_HEADER_CHARACTERS:,} characters."
)
