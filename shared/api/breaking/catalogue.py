"""All rules there are, for documents and tests."""

from __future__ import annotations

from typing import Any

from shared.api.breaking.findings import Level
from shared.api.breaking.rulebook import Rule, Rulebook
from shared.api.breaking.rules import bodies, limits, objects, operations, parameters, security, values, wholes

CUT_SHORT = Rule("comparison-cut-short", Level.ERR, "what was not looked at may break clients, so nothing is promised")

_MODULES = (operations, parameters, bodies, security, values, limits, objects, wholes)


def all_rules() -> tuple[Rule, ...]:
    """Every rule, by module and in the order it is written there."""
    # Any: each book is about another kind of subject.
    books: list[Rulebook[Any]] = [
        book for module in _MODULES for book in vars(module).values() if isinstance(book, Rulebook)
    ]
    return (*(rule for book in books for rule in book.rules), CUT_SHORT)
