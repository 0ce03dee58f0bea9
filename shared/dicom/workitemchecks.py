"""Whether a workitem keeps its rules: a data set in the DICOM JSON model against a table of `workitemrules`.

Nothing here repeats a value; faults name attributes and say what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared.dicom.elements import known_vr
from shared.dicom.workitemrules import Need, Rule

_MISSING = "is missing (0120)"
_NO_VALUE = "has no value (0121)"


def faults(dataset: Mapping[str, Any], rules: Iterable[Rule], place: str = "") -> Iterator[str]:
    """What is wrong with a data set, an entry for each fault.

    Args:
        dataset: in the DICOM JSON model, its keys in capitals.
        rules: what is asked of it.
        place: where it is, for messages: empty, or sequence and item with a dot behind.
    """
    for rule in rules:
        element = dataset.get(f"{rule.tag:08X}")
        name = f"{place}{rule.keyword} ({rule.tag >> 16:04X},{rule.tag & 0xFFFF:04X})"
        fault = _fault(rule, element)
        if fault:
            yield f"{name} {fault}"
        elif element is not None:
            yield from _item_faults(rule, element, place)


def has_value(element: Mapping[str, Any] | None) -> bool:
    """Whether an element is there and says something; a sequence does with its first item."""
    if element is None:
        return False
    if element.get("InlineBinary") or element.get("BulkDataURI"):
        return True
    return any(_says_something(value, element["vr"]) for value in element.get("Value", ()))


def items_of(element: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The items of a sequence; none of anything else."""
    if element is None or element["vr"] != "SQ":
        return []
    return list(element.get("Value", ()))


def _says_something(value: Any, vr: str) -> bool:
    if vr == "SQ":
        return True
    if isinstance(value, dict):
        return any(isinstance(group, str) and group.strip(" \0") for group in value.values())
    return value is not None and str(value).strip(" \0") != ""


def _fault(rule: Rule, element: Mapping[str, Any] | None) -> str:
    """What is wrong with an element itself; empty when nothing is."""
    if element is None:
        return _MISSING if rule.need in (Need.VALUE, Need.PRESENT, Need.EMPTY) else ""
    if rule.need is Need.ABSENT:
        return "must not be given"
    known = known_vr(rule.tag)
    if known is not None and element["vr"] not in known.split(" or "):
        return f"must have the VR {known}"
    valued = has_value(element)
    if rule.need is Need.EMPTY:
        return "must be empty" if valued else ""
    return _NO_VALUE if not valued and rule.need in (Need.VALUE, Need.NEVER_EMPTY) else ""


def _item_faults(rule: Rule, element: Mapping[str, Any], place: str) -> Iterator[str]:
    for number, item in enumerate(items_of(element), 1):
        where = f"{place}{rule.keyword}[{number}]"
        if rule.bare_items and item:
            yield f"{where} must be empty"
        yield from faults(item, rule.items, f"{where}.")
