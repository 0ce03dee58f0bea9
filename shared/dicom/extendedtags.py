"""Extended query tags: attributes that are searchable because somebody asked for it (contract C9), and their values.

A value is taken from the metadata that is kept with an instance, the first one only, and folded so that equal folds
match and that dates and times sort in the order of time.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.dicom.attributes import Level
from shared.dicom.matching import fold
from shared.dicom.valuerules import MINIMUM_RULES

INTEGER_VRS = frozenset({"IS", "SL", "SS", "UL", "US"})
DECIMAL_VRS = frozenset({"FD", "FL"})
TIME_VRS = frozenset({"DA", "DT", "TM"})
ALLOWED_VRS = frozenset({"AE", "AS", "CS", "LO", "PN", "SH", "UI"}) | INTEGER_VRS | DECIMAL_VRS | TIME_VRS
"""Contract C9.1."""

_FIRST_BLOCK, _LAST_BLOCK = 0x10, 0xFF
_PADDING = " \0"
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_EARLIEST = {"DT": "00000101000000", "TM": "000000"}
_LATEST = {"DT": "99991231235959", "TM": "235959"}
_FRACTION_DIGITS = 6
_OFFSET = re.compile(r"[+-]\d{4}$", re.ASCII)


@dataclass(frozen=True, slots=True)
class ExtendedTag:
    """An attribute that is indexed beside those that always are.

    Attributes:
        tag: group and element; of a private attribute with some block of its group.
        vr: value representation that values must have.
        level: where it is indexed.
        number: never used a second time; values of a tag that is gone are told from others by it.
        slot: the column its values are in, from 0; used again when those of a tag before are gone.
        creator: of a private attribute; empty for others.
    """

    tag: int
    vr: str
    level: Level
    number: int
    slot: int
    creator: str = ""

    @property
    def path(self) -> str:
        """Eight upper-case hexadecimal digits."""
        return f"{self.tag:08X}"


@dataclass(frozen=True, slots=True)
class TagValue:
    """What an instance says about a tag.

    Attributes:
        folded: to compare and to sort by.
        element: DICOM JSON with the one value.
    """

    tag: ExtendedTag
    folded: str
    element: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TagFault:
    """Why a tag is not indexed with what an instance says; the text does not repeat the value."""

    tag: ExtendedTag
    text: str


def values_of(
    metadata: Mapping[str, Any], tags: Iterable[ExtendedTag]
) -> tuple[tuple[TagValue, ...], tuple[TagFault, ...]]:
    """The values that an instance has of some tags, and what is wrong with others. Absent and empty ones are neither.

    Args:
        metadata: of the instance, DICOM JSON.
        tags: any.
    """
    values: list[TagValue] = []
    faults: list[TagFault] = []
    for tag in tags:
        element = metadata.get(tag.path if not tag.creator else _private_key(metadata, tag))
        found = _read(tag, element) if element is not None else None
        if isinstance(found, TagValue):
            values.append(found)
        elif found is not None:
            faults.append(found)
    return tuple(values), tuple(faults)


def private_blocks(tag: int) -> Iterable[tuple[int, int]]:
    """Where a private attribute may be: tags of the creators of its group, each with the attribute's in that block."""
    group, element = tag & 0xFFFF0000, tag & 0xFF
    first = tag >> 8 & 0xFF
    for block in (first, *(other for other in range(_FIRST_BLOCK, _LAST_BLOCK + 1) if other != first)):
        yield group | block, group | block << 8 | element


def fold_value(vr: str, text: str) -> str:
    """A valid value in the form that is stored and compared; empty for a number that none is equal to."""
    if vr in INTEGER_VRS:
        return str(int(text))
    if vr in DECIMAL_VRS:
        return _decimal(vr, text)
    if vr == "DA":
        return text
    return filled(vr, text) if vr in TIME_VRS else fold(vr, text)


def filled(vr: str, text: str, *, latest: bool = False) -> str:
    """A date and time (DT) or a time (TM), to the microsecond; an offset from UTC is left out.

    Args:
        vr: DT or TM.
        text: to the precision that is known.
        latest: fill up to the end of what it stands for, not to its begin.
    """
    clock, _, fraction = _OFFSET.sub("", text.strip()).partition(".")
    template = (_LATEST if latest else _EARLIEST)[vr]
    filler = "9" if latest else "0"
    return f"{clock}{template[len(clock) :]}.{fraction.ljust(_FRACTION_DIGITS, filler)}"


def text_of(element: Mapping[str, Any]) -> str:
    """The first value of an element as text; a person name with its groups joined as in a file."""
    value = (element.get("Value") or [None])[0]
    if value is None:
        return ""
    if isinstance(value, dict):
        return "=".join(value.get(name, "") for name in _NAME_GROUPS).rstrip("=")
    return str(value)


def _private_key(metadata: Mapping[str, Any], tag: ExtendedTag) -> str:
    """Where the data set has a private attribute; empty when it has no block of that creator (PS3.5 §7.8.1)."""
    for creator, attribute in private_blocks(tag.tag):
        if text_of(metadata.get(f"{creator:08X}", {})).strip(_PADDING) == tag.creator:
            return f"{attribute:08X}"
    return ""


def _read(tag: ExtendedTag, element: Mapping[str, Any]) -> TagValue | TagFault | None:
    text = text_of(element).rstrip(_PADDING)
    if element["vr"] != tag.vr:
        return TagFault(tag, f"The VR is not {tag.vr}.")
    if not text.strip(_PADDING):
        return None
    rule = MINIMUM_RULES.get(tag.vr)
    fault = rule(text) if rule is not None else None
    if fault is not None:
        return TagFault(tag, fault)
    folded = fold_value(tag.vr, text)
    return TagValue(tag, folded, {"vr": tag.vr, "Value": element["Value"][:1]}) if folded else None


def _decimal(vr: str, text: str) -> str:
    number = float(text)
    if vr == "FL" and math.isfinite(number):
        try:
            # As the file has it: the nearest of 32 bits.
            number = struct.unpack("<f", struct.pack("<f", number))[0]
        except OverflowError:
            return ""
    # Adding zero makes one of the two zeros.
    return repr(number + 0.0) if math.isfinite(number) else ""
