"""Matching keys that are extended query tags → conditions (contract C6.3, C9). Values are checked by the tag's VR."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from shared.dicom.extendedtags import DECIMAL_VRS, INTEGER_VRS, ExtendedTag, fold_value
from shared.dicom.matching import fold
from shared.errors import InvalidParameter
from shared.storage.tagconditions import TagCondition, tag_begins, tag_is, tag_within
from shared.storage.tagset import TagEntry, TagSet
from shared.wire.searchkeys import TIME_VRS, beginnings, span

_INTEGER = re.compile(r" *[+-]?[0-9]{1,20} *", re.ASCII)
_DECIMAL = re.compile(r" *[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})? *", re.ASCII)
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
    if tag.vr in TIME_VRS:
        return _span(tag, name, text)
    if tag.vr in INTEGER_VRS or tag.vr in DECIMAL_VRS:
        return _number(tag, name, text)
    if tag.vr == "UI":
        return tag_is(tag, uids(name, text))
    if tag.vr == "PN" and fuzzy:
        return tag_begins(tag, beginnings(name, text))
    return tag_is(tag, [fold(tag.vr, text)])


def _span(tag: ExtendedTag, name: str, text: str) -> TagCondition:
    asked = span(tag.vr, name, text)
    return tag_is(tag, [asked]) if isinstance(asked, str) else tag_within(tag, *asked)


def _number(tag: ExtendedTag, name: str, text: str) -> TagCondition | None:
    whole = tag.vr in INTEGER_VRS
    fits = (_INTEGER if whole else _DECIMAL).fullmatch(text)
    if fits is None or len(text) > _DIGITS_OF_A_NUMBER:
        raise InvalidParameter(name, "must be a whole number" if whole else "must be a number")
    folded = fold_value(tag.vr, text)
    return tag_is(tag, [folded]) if folded else None
