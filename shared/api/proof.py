"""Proof that the host, which takes the first function by name that matches, always takes the most specific one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from shared.api.endpoints import Endpoint

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")


def rank(endpoint: Endpoint) -> str:
    """What the host sorts by: upper-cased names, so that an underscore comes after letters."""
    return endpoint.name.upper()


def faults(endpoints: Sequence[Endpoint]) -> list[str]:
    """All that would make the host drop a function or send a request to the wrong one; empty when all is well."""
    found = _name_faults(endpoints)
    ordered = sorted(endpoints, key=rank)
    for index, first in enumerate(ordered):
        for second in ordered[index + 1 :]:
            if set(first.methods) & set(second.methods) and first.pattern.overlaps(second.pattern):
                found.extend(_order_faults(first, second))
    return found


def _name_faults(endpoints: Sequence[Endpoint]) -> list[str]:
    checks: tuple[tuple[Callable[[str], bool], str], ...] = (
        (lambda name: _NAME.fullmatch(name) is None, "is not a name the host accepts"),
        (lambda name: name.lower() == "host", "is a name the host keeps for itself"),
    )
    found = [f"function {one.name!r} {text}" for one in endpoints for wrong, text in checks if wrong(one.name)]
    names = [rank(one) for one in endpoints]
    found.extend(
        f"two functions are named {name!r} (case does not count)" for name in sorted({*names}) if names.count(name) > 1
    )
    found.extend(
        f"function {one.name!r} has a route that starts with a word the host keeps for itself"
        for one in endpoints
        if one.pattern.template.lower().startswith(("admin", "runtime"))
    )
    return found


def _order_faults(first: Endpoint, second: Endpoint) -> list[str]:
    """What is wrong with two overlapping functions, the one the host tries first being first."""
    one, other = f"{first.name} ({first.pattern.template})", f"{second.name} ({second.pattern.template})"
    wide, narrow = first.pattern.covers(second.pattern), second.pattern.covers(first.pattern)
    if narrow and not wide:
        return []
    if wide and narrow:
        return [f"{one} and {other} take the same paths with the same method"]
    if wide:
        return [f"{other} is never reached: {one} sorts before it and takes its paths; rename one of the operations"]
    return [f"{one} and {other} share some paths and neither is the more specific one"]
