"""Matching keys that are extended query tags → conditions (contract C6.3, C9). Values are checked by the tag's VR."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from shared.dicom.extendedtags import DECIMAL_VRS, INTEGER_VRS, ExtendedTag, filled, fold_value
from shared.dicom.matching import fold, name_words
from shared.dicom.valuerules import calendar_date, clock_time, date_time
from shared.errors import InvalidParameter
from shared.storage.tagconditions import TagCondition, tag_begins, tag_is, tag_within
from shared.storage.tagset import TagEntry, TagSet

_INTEGER = re.compile(r" *[+-]?[0-9]{1,20} *", re.ASCII)
_DECIMAL = re.compile(r" *[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})? *", re.ASCII)
_ZONE = re.compile(r"[+-][0-9]{4}$", re.ASCII)
_FORMS = {
    "DA": (calendar_date, "YYYYMMDD"),
    "DT": (date_time, "YYYYMMDDHHMMSS.FFFFFF or the begin of it, without an offset from UTC"),
    "TM": (clock_time, "HHMMSS.FFFFFF or the begin of it"),
}
_DIGITS_OF_A_NUMBER = 100

Uids = Callable[[str, str], Sequence[str]]


def searchable(entry: TagEntry | None, name: str) -> ExtendedTag:
    """The tag of a matching key.

    Args:
        entry: what the service knows of it; None when it knows nothing.
        name: the key, fit to be shown.

    Raises:
        InvalidParameter: it cannot be searched for, at least not now.
    """
    if entry is None or not entry.ready:
        raise InvalidParameter(name, "the attribute cannot be searched for at this resource")
    if not entry.enabled:
        raise InvalidParameter(name, "the extended query tag is disabled; its errors say why")
    return entry.tag


def erroneous(tags: TagSet, keys: Mapping[str, int]) -> tuple[str, ...]:
    """Those of the matching keys, as they were typed, that some stored instances could not be indexed by."""
    bad = {entry.tag.tag for entry in tags.entries if entry.erroneous}
    return tuple(name for name, tag in keys.items() if tag in bad)


def condition(tag: ExtendedTag, name: str, text: str, uids: Uids, *, fuzzy: bool) -> TagCondition | None:
    """What a value asks for; None when nothing can have it.

    Args:
        tag: the tag.
        name: the key, fit to be shown.
        text: the value without trailing padding, not empty.
        uids: reads a list of UIDs.
        fuzzy: whether names match by the beginnings of their words.

    Raises:
        InvalidParameter: the value does not fit the VR.
    """
    if tag.vr in _FORMS:
        return _span(tag, name, text.strip(" "))
    if tag.vr in INTEGER_VRS or tag.vr in DECIMAL_VRS:
        return _number(tag, name, text)
    if tag.vr == "UI":
        return tag_is(tag, uids(name, text))
    if tag.vr == "PN" and fuzzy:
        return _beginnings(tag, name, text)
    return tag_is(tag, [fold(tag.vr, text)])


def _span(tag: ExtendedTag, name: str, text: str) -> TagCondition:
    rule, form = _FORMS[tag.vr]
    first, dash, last = text.partition("-")
    wrong = any(end and (rule(end) or _ZONE.search(end)) for end in (first, last))
    if wrong or not (first or last):
        raise InvalidParameter(name, f"must be {form}, or two of them with a hyphen of which one may be left out")
    if not dash:
        return tag_is(tag, [fold_value(tag.vr, first)])
    low, high = first and fold_value(tag.vr, first), last and _end(tag.vr, last)
    if low and high and low > high:
        raise InvalidParameter(name, "the range ends before it begins")
    return tag_within(tag, low, high)


def _end(vr: str, text: str) -> str:
    """The last moment of what a text stands for: a range includes it (PS3.4 §C.2.2.2.5)."""
    return text if vr == "DA" else filled(vr, text, latest=True)


def _number(tag: ExtendedTag, name: str, text: str) -> TagCondition | None:
    whole = tag.vr in INTEGER_VRS
    fits = (_INTEGER if whole else _DECIMAL).fullmatch(text)
    if fits is None or len(text) > _DIGITS_OF_A_NUMBER:
        raise InvalidParameter(name, "must be a whole number" if whole else "must be a number")
    folded = fold_value(tag.vr, text)
    return tag_is(tag, [folded]) if folded else None


def _beginnings(tag: ExtendedTag, name: str, text: str) -> TagCondition:
    if '"' in text:
        raise InvalidParameter(name, "the value has a double quote, which fuzzy matching does not take")
    words = name_words(text.replace("*", " "))
    if not words:
        raise InvalidParameter(name, "the value has no word to look for")
    return tag_begins(tag, words)
