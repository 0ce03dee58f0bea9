"""What an instance says about its study, its series and itself: what search answers with, and what it compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.dicom.attributes import INDEXED, Attribute, Level, all_return_set
from shared.dicom.matching import fold, name_words
from shared.storage.rows import LevelValues

ANSWER_KEYS = {level: tuple(f"{tag:08X}" for tag in all_return_set(level)) for level in Level}
"""Tags of what a search may answer with at a level, as DICOM JSON has them."""

_INDEXED_AT = {level: tuple(one for one in INDEXED if one.level is level) for level in Level}
_NAME_WORDS = 5
_DIGITS = "0123456789"


def level_values(metadata: Mapping[str, Any], level: Level) -> LevelValues:
    """What an instance's metadata, or a part of it, says about a level."""
    index: dict[str, Any] = {}
    columns: dict[str, str] = {}
    for attribute in _INDEXED_AT[level]:
        key = f"{attribute.tag:08X}"
        element = metadata.get(key)
        text = first_text(element)
        if element is None or not text:
            continue
        index[key] = {"vr": element["vr"], "Value": element["Value"][:1]}
        columns |= _columns(attribute, text)
    answer = {key: metadata[key] for key in ANSWER_KEYS[level] if key in metadata}
    return LevelValues(answer, index, columns)


def keyword_of(column: str) -> str:
    """The keyword of the attribute that a folded column is of: words of names have columns of their own."""
    return column.rstrip(_DIGITS)


def _columns(attribute: Attribute, text: str) -> dict[str, str]:
    columns = {attribute.keyword: fold(attribute.vr, text)}
    if attribute.vr == "PN":
        words = name_words(text)[:_NAME_WORDS]
        columns |= {f"{attribute.keyword}{place}": word for place, word in enumerate(words, start=1)}
    return columns


def first_text(element: Mapping[str, Any] | None) -> str:
    """The first value of a DICOM JSON element as text; a person name with its groups joined as in a file."""
    if not element or not element.get("Value") or element["Value"][0] is None:
        return ""
    value = element["Value"][0]
    if isinstance(value, dict):
        groups = [value.get(name, "") for name in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return str(value)
