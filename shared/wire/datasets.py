"""DICOM JSON that clients send (PS3.18 Annex F) → a data set in the same model, its structure checked.

Values are not judged here, only their form: what an attribute may hold is for those who know what it is for.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import AsyncIterator
from typing import Any

import orjson
from pydicom.datadict import tag_for_keyword

from shared.dicom.elements import ALL_VRS, BULK_VRS
from shared.dicom.nested import MAX_DEPTH
from shared.errors import InvalidRequest, MalformedBody, PayloadTooLarge
from shared.wire.dicomjson import Json

_KEY = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_KEYWORD = re.compile(r"[A-Z][A-Za-z0-9]{0,79}", re.ASCII)
_MEMBERS = frozenset({"vr", "Value", "BulkDataURI", "InlineBinary"})
_NAME_GROUPS = frozenset({"Alphabetic", "Ideographic", "Phonetic"})
_NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_FIRST_DATA_GROUP = 0x0008


async def whole_body(body: AsyncIterator[bytes], most_bytes: int) -> bytes:
    """A body that has to be read as a whole.

    Raises:
        PayloadTooLarge: it is longer than it may be.
    """
    content = bytearray()
    async for chunk in body:
        content += chunk
        if len(content) > most_bytes:
            raise PayloadTooLarge(most_bytes)
    return bytes(content)


def json_value(content: bytes) -> Any:
    """The value of a JSON text. A byte order mark before it is no part of it (RFC 8259 §8.1): editors write one.

    Raises:
        MalformedBody: it is none.
    """
    try:
        return orjson.loads(content.removeprefix(BOM_UTF8))
    except orjson.JSONDecodeError as error:
        raise MalformedBody("The body is not JSON.") from error


def first_dataset(content: bytes) -> Json:
    """The first data set of an array, or the one that stands alone (contract C7.1, E24).

    Raises:
        MalformedBody: it is not JSON.
        InvalidRequest: it is not a data set in the DICOM JSON model; says where.
    """
    value = json_value(content)
    if not isinstance(value, list):
        return _dataset(value, "$", 0)
    if not value:
        raise InvalidRequest("$: the array has no data set.")
    return _dataset(value[0], "$[0]", 0)


def tag_of_key(name: str) -> int | None:
    """The attribute that a key of a data set is for; None when it is for none.

    PS3.18 §F.2.2 has hexadecimal digits only. Keywords are read as well: the original's own client writes them.
    """
    if _KEY.fullmatch(name):
        return int(name, 16)
    return tag_for_keyword(name) if _KEYWORD.fullmatch(name) else None


# Any: what a client sent is known only after looking.
def _dataset(value: Any, where: str, depth: int) -> Json:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where}: must be a data set, a JSON object.")
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"Sequences are nested more than {MAX_DEPTH} deep.")
    members: Json = {}
    for name, element in value.items():
        tag = tag_of_key(name)
        if tag is None or tag >> 16 < _FIRST_DATA_GROUP:
            raise InvalidRequest(f"{where}: each key must be an attribute's tag, eight hexadecimal digits, or keyword.")
        key = f"{tag:08X}"
        if key in members:
            raise InvalidRequest(f"{where}.{key}: the attribute is there twice.")
        members[key] = _element(element, f"{where}.{key}", depth)
    return dict(sorted(members.items()))


def _element(element: Any, where: str, depth: int) -> dict[str, Any]:
    if not isinstance(element, dict) or not element.keys() <= _MEMBERS:
        raise InvalidRequest(f"{where}: must be an object with vr and Value, BulkDataURI or InlineBinary.")
    vr = element.get("vr")
    if not isinstance(vr, str) or vr not in ALL_VRS:
        raise InvalidRequest(f"{where}.vr: must be a value representation (PS3.5 §6.2).")
    given = {name: value for name, value in element.items() if name != "vr" and value is not None}
    if len(given) > 1:
        raise InvalidRequest(f"{where}: may have one of Value, BulkDataURI and InlineBinary.")
    if "Value" not in given:
        return {"vr": vr, **_bytes(vr, given, where)}
    values = given["Value"]
    if not isinstance(values, list) or (vr in BULK_VRS and values):
        raise InvalidRequest(f"{where}.Value: must be an array, and is not for a VR of bytes.")
    checked = [_value(vr, value, f"{where}.Value[{place}]", depth) for place, value in enumerate(values)]
    return {"vr": vr, "Value": checked} if checked else {"vr": vr}


def _bytes(vr: str, given: dict[str, Any], where: str) -> dict[str, str]:
    for name, text in given.items():
        if not isinstance(text, str) or vr == "SQ" or (name == "InlineBinary" and vr not in BULK_VRS):
            raise InvalidRequest(f"{where}.{name}: must be a text, of a VR that can have it.")
    return given


def _value(vr: str, value: Any, where: str, depth: int) -> Any:
    """One value, checked; an empty item is an object without members."""
    if vr == "SQ":
        return _dataset({} if value is None else value, where, depth + 1)
    if value is None:
        return None
    if vr == "PN":
        value = _name_groups(value)
        right = value is not None
    elif vr in _NUMBER_VRS:
        right = isinstance(value, int | float | str) and not isinstance(value, bool)
    else:
        right = isinstance(value, str)
    if not right:
        raise InvalidRequest(f"{where}: must be a value of VR {vr} (PS3.18 §F.2.3).")
    return value


def _name_groups(value: Any) -> dict[str, str] | None:
    """The component groups of a name, null ones left out: clients write so what is not set. None when it is no name."""
    if not isinstance(value, dict) or not value.keys() <= _NAME_GROUPS:
        return None
    groups = {name: group for name, group in value.items() if group is not None}
    return groups if all(isinstance(group, str) for group in groups.values()) else None
