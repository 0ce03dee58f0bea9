"""Bodies of requests about extended query tags → what they ask for, strictly (contract C9.1, C9.3)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from pydicom.datadict import tag_for_keyword

from shared.dicom.attributes import SEARCHABLE, Level
from shared.dicom.elements import known_vr
from shared.dicom.extendedtags import ALLOWED_VRS
from shared.dicom.valuerules import MINIMUM_RULES
from shared.errors import InvalidParameter, InvalidRequest
from shared.storage.tagchanges import NewTag
from shared.storage.tagset import MOST
from shared.wire.datasets import json_value, whole_body

MOST_BYTES = 1024 * 1024
_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_KEYWORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,79}", re.ASCII)
_CORE = frozenset(attribute.tag for attribute in SEARCHABLE)
_ENTRY_KEYS = {key.lower(): key for key in ("path", "vr", "privateCreator", "level")}
_LEVELS = {level.value: level for level in Level}
_FIRST_DATA_GROUP = 0x0008
_FIRST_CREATOR, _LAST_CREATOR = 0x10, 0xFF


async def read_json(body: AsyncIterator[bytes]) -> Any:
    """The JSON value of a body.

    Raises:
        InvalidRequest: it is none.
        PayloadTooLarge: it is much longer than any that is sensible.
    """
    return json_value(await whole_body(body, MOST_BYTES))


def new_tags(value: Any) -> list[NewTag]:
    """The tags that a request wants added.

    Raises:
        InvalidRequest: it breaks a rule; says where.
    """
    if not isinstance(value, list):
        raise InvalidRequest("$: must be an array of extended query tags.")
    if not 1 <= len(value) <= MOST:
        raise InvalidRequest(f"$: must have 1 to {MOST} extended query tags.")
    found = [_new_tag(entry, f"[{place}]") for place, entry in enumerate(value)]
    if len({tag.tag for tag in found}) < len(found):
        raise InvalidRequest("$: an attribute is given twice.")
    return found


def query_status(value: Any) -> bool:
    """Whether a request wants a tag enabled.

    Raises:
        InvalidRequest: it breaks a rule.
    """
    word = _members(value, "$", {"querystatus": "queryStatus"}).get("queryStatus")
    if not isinstance(word, str) or word.lower() not in ("enabled", "disabled"):
        raise InvalidRequest("$.queryStatus: must be enabled or disabled.")
    return word.lower() == "enabled"


def tag_of(path: str, name: str = "tagPath") -> int:
    """The attribute that a path names.

    Args:
        path: eight hexadecimal digits, or a keyword.
        name: of the parameter or member that has it.

    Raises:
        InvalidParameter: it names none.
    """
    if _TAG.fullmatch(path):
        return int(path, 16)
    tag = tag_for_keyword(path) if _KEYWORD.fullmatch(path) else None
    if tag is None:
        raise InvalidParameter(name, "must be eight hexadecimal digits or the keyword of an attribute")
    return int(tag)


def _new_tag(entry: Any, where: str) -> NewTag:
    members = _members(entry, where, _ENTRY_KEYS)
    texts = {name: _text(members, name, where) for name in _ENTRY_KEYS.values()}
    tag = tag_of(texts["path"], f"{where}.path")
    level = _LEVELS.get(texts["level"].lower())
    if level is None:
        raise InvalidRequest(f"{where}.level: must be Study, Series or Instance.")
    if tag in _CORE:
        raise InvalidRequest(f"{where}.path: the attribute can be searched for as it is.")
    kind = _private_vr if tag >> 16 & 1 else _standard_vr
    vr = kind(tag, texts["vr"].upper(), texts["privateCreator"], where)
    if vr not in ALLOWED_VRS:
        raise InvalidRequest(f"{where}.vr: must be one of {', '.join(sorted(ALLOWED_VRS))}.")
    return NewTag(tag, vr, level, texts["privateCreator"])


def _standard_vr(tag: int, vr: str, creator: str, where: str) -> str:
    known = known_vr(tag)
    if known is None or tag >> 16 < _FIRST_DATA_GROUP:
        raise InvalidRequest(f"{where}.path: there is no such attribute in data sets.")
    if creator:
        raise InvalidRequest(f"{where}.privateCreator: must not be given for a standard attribute.")
    choices = known.split(" or ")
    if len(choices) > 1 and not vr:
        raise InvalidRequest(f"{where}.vr: must be given: {known}.")
    if vr and vr not in choices:
        raise InvalidRequest(f"{where}.vr: must be {known} for this attribute.")
    return vr or known


def _private_vr(tag: int, vr: str, creator: str, where: str) -> str:
    element = tag & 0xFFFF
    if _FIRST_CREATOR <= element <= _LAST_CREATOR:
        if creator:
            raise InvalidRequest(f"{where}.privateCreator: must not be given for a private creator.")
        if vr not in ("", "LO"):
            raise InvalidRequest(f"{where}.vr: must be LO for a private creator.")
        return "LO"
    if element >> 8 < _FIRST_CREATOR or tag >> 16 < _FIRST_DATA_GROUP:
        raise InvalidRequest(f"{where}.path: there are no private attributes with such a tag (PS3.5 §7.8.1).")
    if not creator:
        raise InvalidRequest(f"{where}.privateCreator: must be given for a private attribute.")
    fault = MINIMUM_RULES["LO"](creator)
    if fault or "\\" in creator or creator != creator.strip():
        raise InvalidRequest(f"{where}.privateCreator: must be 1 to 64 characters without backslash or padding.")
    if not vr:
        raise InvalidRequest(f"{where}.vr: must be given for a private attribute.")
    return vr


def _members(value: Any, where: str, known: Mapping[str, str]) -> dict[str, Any]:
    """The members of an object by their proper names; case does not count. A null is no member."""
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where}: must be an object.")
    unknown = [key for key in value if key.lower() not in known]
    if unknown or len({key.lower() for key in value}) < len(value):
        raise InvalidRequest(f"{where}: may have the members {_listed(known.values())}, each once, and no others.")
    return {known[key.lower()]: member for key, member in value.items() if member is not None}


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)


def _text(members: Mapping[str, Any], name: str, where: str) -> str:
    """A member that is a text; empty when it is blank or not given, which only the optional ones may be."""
    value = members.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequest(f"{where}.{name}: must be a text.")
    if not value.strip() and name in ("path", "level"):
        raise InvalidRequest(f"{where}.{name}: must be a text that is not empty.")
    return value if value.strip() else ""
