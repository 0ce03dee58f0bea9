"""Matching keys and included fields of a search, as requests spell them (PS3.18 §8.3.4, contract C6.1).

What can be searched for is not known here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from pydicom.datadict import dictionary_has_tag, get_entry, tag_for_keyword

from shared.dicom.extendedtags import filled, fold_value
from shared.dicom.matching import name_words
from shared.dicom.uids import normalise_uid
from shared.dicom.valuerules import calendar_date, clock_time, date_time
from shared.errors import InvalidParameter

MOST_CHARACTERS = 256
"""No value of a searchable attribute is longer: a name has three groups of 64 (contract, appendix 1)."""

_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_SHOWN = re.compile(r"[A-Za-z0-9_.,-]{1,64}", re.ASCII)
_SEPARATORS = re.compile(r"[\\,]+")
_PADDING = " \0"
_ZONE = re.compile(r"[+-][0-9]{4}$", re.ASCII)
_FORMS = {
    "DA": (calendar_date, "YYYYMMDD"),
    "DT": (date_time, "YYYYMMDDHHMMSS.FFFFFF or the begin of it, without an offset from UTC"),
    "TM": (clock_time, "HHMMSS.FFFFFF or the begin of it"),
}
TIME_VRS = frozenset(_FORMS)
_MOST_VALUES = 200


def shown(name: str) -> str:
    """A parameter's name as far as it is fit to be repeated."""
    return name if _SHOWN.fullmatch(name) else "a parameter"


def known_tag(name: str) -> int | None:
    """The tag that a keyword or eight hexadecimal digits stand for; None when no attribute has that name."""
    if _TAG.fullmatch(name):
        tag = int(name, 16)
        return tag if tag >> 16 & 1 or _in_dictionary(tag) else None  # private attributes are in no dictionary
    return tag_for_keyword(name) if name else None  # some retired attributes have no keyword


def trimmed(name: str, text: str) -> str:
    """A value without trailing padding.

    Raises:
        InvalidParameter: it is empty, or has a control character.
    """
    value = text.rstrip(_PADDING)
    if not value.strip():
        raise InvalidParameter(shown(name), "the value is empty")
    if any(unicodedata.category(letter) == "Cc" for letter in value):
        raise InvalidParameter(shown(name), "the value has a control character")
    return value


def listed(name: str, text: str) -> list[str]:
    """The values of a list; viewers write it with backslashes or with commas (PS3.4 §C.2.2.2.2).

    Raises:
        InvalidParameter: one of them is empty, or there are too many.
    """
    values = [value.strip(" ") for value in _SEPARATORS.split(text)]
    if not all(values):
        raise InvalidParameter(shown(name), "the list has an empty value")
    if len(values) > _MOST_VALUES:
        raise InvalidParameter(shown(name), f"the list has more than {_MOST_VALUES} values")
    return values


def listed_uids(name: str, text: str) -> list[str]:
    """The UIDs of a list.

    Raises:
        InvalidParameter: one of them is none.
    """
    normalised = [normalise_uid(value) for value in listed(name, text)]
    found = [uid for uid in normalised if uid is not None]
    if len(found) < len(normalised):
        raise InvalidParameter(shown(name), "must be a UID: 1 to 64 digits and dots that end with a digit")
    return found


def beginnings(name: str, text: str) -> tuple[str, ...]:
    """The folded words that consecutive words of a person name shall begin with (contract C6.3, fuzzy matching).

    Raises:
        InvalidParameter: there is none, or the text has a double quote.
    """
    if '"' in text:
        raise InvalidParameter(shown(name), "the value has a double quote, which fuzzy matching does not take")
    # Full-text search drops punctuation around words, so viewers that put wildcards around a name find it.
    words = name_words(text.replace("*", " "))
    if not words:
        raise InvalidParameter(shown(name), "the value has no word to look for")
    return words


def span(vr: str, name: str, text: str) -> tuple[str, str] | str:
    """A moment, folded, or the two ends of a range, of which one may be empty (PS3.4 §C.2.2.2.5).

    Args:
        vr: one of `TIME_VRS`.
        name: of the parameter.
        text: its value.

    Raises:
        InvalidParameter: it is neither.
    """
    rule, form = _FORMS[vr]
    before, dash, behind = text.partition("-")
    first, last = before.strip(" "), behind.strip(" ")
    wrong = any(end and (rule(end) or _ZONE.search(end)) for end in (first, last))
    if wrong or not (first or last):
        raise InvalidParameter(
            shown(name), f"must be {form}, or two of them with a hyphen of which one may be left out"
        )
    if not dash:
        return fold_value(vr, first)
    low, high = first and fold_value(vr, first), last and _end(vr, last)
    if low and high and low > high:
        raise InvalidParameter(shown(name), "the range ends before it begins")
    return low, high


def _end(vr: str, text: str) -> str:
    """The last moment of what a text stands for: a range includes it."""
    return text if vr == "DA" else filled(vr, text, latest=True)


def fields(lists: Iterable[str]) -> tuple[frozenset[int], bool]:
    """The tags that `includefield` names, and whether it asks for all; `all` beside others wins (contract E10).

    Raises:
        InvalidParameter: one of them is no attribute.
    """
    included: set[int] = set()
    all_fields = False
    for name in (part.strip(" ") for text in lists for part in text.split(",")):
        if name.lower() == "all":
            all_fields = True
        elif name:
            tag = known_tag(name)
            if tag is None:
                raise InvalidParameter(
                    "IncludeField", f"{shown(name)} is neither the keyword nor the tag of an attribute"
                )
            included.add(tag)
    return frozenset(included), all_fields


def _in_dictionary(tag: int) -> bool:
    if dictionary_has_tag(tag):
        return True
    try:
        get_entry(tag)  # knows the repeating groups, too
    except KeyError:
        return False
    return True
