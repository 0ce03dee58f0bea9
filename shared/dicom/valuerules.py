"""The rules of the value representations as tables: the full ones (PS3.5 §6.2) and the minimum for indexed attributes.

A rule looks at one value without its padding and gives back what is wrong with it, or None. No text repeats the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

from shared.dicom.uids import follows_standard, normalise_uid

Rule = Callable[[str], str | None]

_CONTROL_BUT_ESC = re.compile(r"[\x00-\x1a\x1c-\x1f\x7f]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_AGE = re.compile(r"\d{3}[DWMY]", re.ASCII)
_CODE = re.compile(r"[A-Z0-9_ ]*", re.ASCII)
_DECIMAL = re.compile(r" *[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)? *", re.ASCII)
_INTEGER = re.compile(r" *[+-]?\d+ *", re.ASCII)
_CLOCK = r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?"
_TIME = re.compile(_CLOCK, re.ASCII)
_DATE_TIME = re.compile(
    rf"(\d{{4}})((0[1-9]|1[0-2])(([0-2]\d|3[01])({_CLOCK})?)?)?([+-](0\d|1[0-4])[0-5]\d)?", re.ASCII
)
_REFERENCE = re.compile(r"[A-Za-z0-9_:/?#\[\]@!$&'()*+,;=%\-.~]*", re.ASCII)


def _longer(value: str, characters: int) -> str | None:
    return f"The value is longer than {characters} characters." if len(value) > characters else None


def _controls(value: str) -> str | None:
    return "The value has a control character." if _CONTROL_BUT_ESC.search(value) else None


def _text(characters: int) -> Rule:
    """LO, SH, UC: a line of text."""

    def rule(value: str) -> str | None:
        if value.isascii() and value.isprintable() and len(value) <= characters:
            return None
        return _longer(value, characters) or _controls(value)

    return rule


def _paragraphs(characters: int) -> Rule:
    """ST, LT, UT: text that may have line ends."""

    def rule(value: str) -> str | None:
        if _CONTROL_BUT_LINES.search(value):
            return "The value has a control character."
        return _longer(value, characters)

    return rule


def _at_most(characters: int) -> Rule:
    return lambda value: _longer(value, characters)


def application_entity(value: str) -> str | None:
    """AE: a title in the default repertoire."""
    if not value.isascii() or _CONTROL_BUT_ESC.search(value) or "\x1b" in value:
        return "The value has a character that VR AE does not allow."
    return _longer(value.strip(), 16)


def age(value: str) -> str | None:
    """AS: three digits and a unit."""
    return None if _AGE.fullmatch(value) else "The value is not an age of the form nnnD, nnnW, nnnM or nnnY."


def code_string(value: str) -> str | None:
    """CS: upper case, digits, space and underscore."""
    if not _CODE.fullmatch(value):
        return "The value has a character that VR CS does not allow."
    return _longer(value.strip(), 16)


def calendar_date(value: str) -> str | None:
    """DA: a day that exists, as YYYYMMDD."""
    if len(value) == 8 and value.isascii() and value.isdigit() and _is_day(value):
        return None
    return "The value is not a date of the form YYYYMMDD."


def _is_day(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return True


def date_time(value: str) -> str | None:
    """DT: a point in time, to the precision that is known."""
    match = _DATE_TIME.fullmatch(value)
    if match is None or (match[5] and not _is_day(value[:8])):
        return "The value is not a date and time of the form YYYYMMDDHHMMSS.FFFFFF&ZZXX."
    return None


def clock_time(value: str) -> str | None:
    """TM: a time of day, to the precision that is known."""
    return None if _TIME.fullmatch(value) else "The value is not a time of the form HHMMSS.FFFFFF."


def decimal_string(value: str) -> str | None:
    """DS: a number in at most 16 characters."""
    if not _DECIMAL.fullmatch(value):
        return "The value is not a decimal number."
    return _longer(value.strip(), 16)


def integer_string(value: str) -> str | None:
    """IS: a whole number of 32 bits."""
    if not _INTEGER.fullmatch(value) or len(value.strip()) > 12:
        return "The value is not a whole number."
    return None if -(2**31) <= int(value) < 2**31 else "The value is outside of the range of VR IS."


def person_name(value: str) -> str | None:
    """PN: up to three groups of up to five components."""
    groups = value.split("=")
    if len(groups) > 3:
        return "The name has more than three component groups."
    if any(len(group) > 64 for group in groups):
        return "A component group of the name is longer than 64 characters."
    if any(group.count("^") > 4 for group in groups):
        return "A component group of the name has more than five components."
    return _controls(value)


def unique_identifier(value: str) -> str | None:
    """UI: PS3.5 §9.1 to the letter."""
    return None if follows_standard(value) else "The value is not a UID: digits and dots, 64 at most, no leading zeros."


def readable_identifier(value: str) -> str | None:
    """UI: good enough to name something (contract C1.7)."""
    return None if normalise_uid(value) else "The value is not a UID: digits and dots, 64 at most, a digit at the end."


def reference(value: str) -> str | None:
    """UR: the characters of RFC 3986."""
    return None if _REFERENCE.fullmatch(value) else "The value has a character that VR UR does not allow."


# PS3.5 table 6.2-1; values of other VRs are numbers (below), sequences or bytes.
FULL_RULES: dict[str, Rule] = {
    "AE": application_entity,
    "AS": age,
    "CS": code_string,
    "DA": calendar_date,
    "DS": decimal_string,
    "DT": date_time,
    "IS": integer_string,
    "LO": _text(64),
    "LT": _paragraphs(10240),
    "PN": person_name,
    "SH": _text(16),
    "ST": _paragraphs(1024),
    "TM": clock_time,
    "UC": _text(2**32 - 2),
    "UI": unique_identifier,
    "UR": reference,
    "UT": _paragraphs(2**32 - 2),
}

# Contract, appendix 1.
MINIMUM_RULES: dict[str, Rule] = {
    "AE": _at_most(16),
    "AS": lambda value: None if len(value) == 4 else "The value is not 4 characters long.",
    "CS": _at_most(16),
    "DA": calendar_date,
    "DT": date_time,
    "IS": integer_string,
    "LO": _text(64),
    "PN": person_name,
    "SH": _at_most(16),
    "TM": clock_time,
    "UI": readable_identifier,
}

# Bytes of one value of the binary VRs.
VALUE_BYTES = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}

# Text VRs in which a backslash does not separate values (PS3.5 §6.4).
SINGLE_VALUE_VRS = frozenset({"LT", "ST", "UR", "UT"})

# VRs whose text is in SpecificCharacterSet and not always in the default repertoire (PS3.5 §6.1.2.3).
CHARACTER_SET_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
