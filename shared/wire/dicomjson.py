"""DICOM JSON (PS3.18 Annex F): data set to JSON straight from raw values, and JSON text to and from bytes.

What leaves on the way: group 0002, lengths of groups (§F.2.2), and every element whose value is bytes to the service
(OB OD OF OL OV OW UN), in sequences as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from struct import unpack
from typing import Any

import orjson
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from shared.dicom.elements import ALL_VRS, BULK_VRS, elements_of, resolve_vr
from shared.dicom.text import DEFAULT_ENCODINGS, decode_text

Json = dict[str, dict[str, Any]]

_PADDING = b" \0"
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_PERSON_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")

# Whole numbers beyond this lose digits in a JavaScript client; any text up to so many digits fits a double exactly.
_LARGEST_SAFE_INTEGER = 2**53 - 1
_SAFE_DECIMAL_CHARACTERS = 15

# Lookup tables start with a count that is unsigned whatever the VR says (PS3.3 §C.7.6.3.1.5).
_LUT_DESCRIPTORS = frozenset({0x00281101, 0x00281102, 0x00281103, 0x00283002})


def dataset_to_json(dataset: Dataset, dropped_tags: frozenset[int] = frozenset()) -> Json:
    """The data set in the DICOM JSON model.

    Args:
        dataset: as `shared.dicom.part10.read_dataset` gives it, or made by hand.
        dropped_tags: top-level tags to leave out.
    """
    return _object(dataset, dropped_tags, (dataset,))


def dumps(value: Any) -> bytes:
    """JSON text in UTF-8."""
    return orjson.dumps(value)


def loads(text: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        orjson.JSONDecodeError: it is not JSON.
    """
    return orjson.loads(text)


def _object(dataset: Dataset, dropped_tags: frozenset[int], chain: tuple[Dataset, ...]) -> Json:
    encodings = dataset.original_character_set or DEFAULT_ENCODINGS
    if isinstance(encodings, str):
        encodings = (encodings,)
    members: Json = {}
    for tag, element in elements_of(dataset):
        if tag in dropped_tags or tag >> 16 == 2 or not tag & 0xFFFF:
            continue
        if isinstance(element, RawDataElement):
            member = _raw_member(element, encodings, chain)
        else:
            member = _built_member(element, chain)
        if member is not None:
            members[_key(tag)] = member
    return members


@lru_cache(maxsize=16384)
def _key(tag: int) -> str:
    return f"{tag:08X}"


def _raw_member(raw: RawDataElement, encodings: Sequence[str], chain: tuple[Dataset, ...]) -> dict[str, Any] | None:
    vr = resolve_vr(raw, chain)
    if vr in BULK_VRS or vr not in ALL_VRS:
        return None
    value = raw.value
    if not value:
        return {"vr": vr}
    if vr in _TEXT_READERS:
        if not value.strip(_PADDING):
            return {"vr": vr}
        return _member(vr, _TEXT_READERS[vr](value, encodings))
    if vr not in _NUMBER_FORMATS:
        return {"vr": vr}  # only SQ is left; one with items is never raw
    numbers = _numbers(value, vr, "<" if raw.is_little_endian else ">")
    if numbers is None:
        return None
    if raw.tag in _LUT_DESCRIPTORS and len(numbers) > 1 and numbers[0] < 0:
        numbers[0] += 65536
    return {"vr": vr, "Value": numbers}


def _member(vr: str, values: list[Any]) -> dict[str, Any]:
    if len(values) == 1 and values[0] is None:
        return {"vr": vr}
    return {"vr": vr, "Value": values}


def _built_member(element: DataElement, chain: tuple[Dataset, ...]) -> dict[str, Any] | None:
    """An element that is not raw: a sequence, or made by hand."""
    if element.VR == "SQ":
        items = [_object(item, frozenset(), (item, *chain)) for item in element.value]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    if len(element.VR) > 2 or element.VR in BULK_VRS:
        return None
    member = element.to_json_dict(None, 0)
    if element.VR in ("FL", "FD") and "Value" in member:
        member["Value"] = [_finite(number) for number in member["Value"]]
    return member


def _texts(value: bytes, _encodings: Sequence[str]) -> list[Any]:
    """AS, CS, DA, DT, TM: default repertoire, several values; trailing NULs belong to the value."""
    return [text or None for text in value.decode("latin-1").rstrip(" ").split("\\")]


def _application_entities(value: bytes, _encodings: Sequence[str]) -> list[Any]:
    return [text.strip() or None for text in value.decode("latin-1").split("\\")]


def _uids(value: bytes, _encodings: Sequence[str]) -> list[Any]:
    return [uid or None for uid in value.decode("latin-1").rstrip(" \0").split("\\")]


def _reference(value: bytes, _encodings: Sequence[str]) -> list[Any]:
    return [value.decode("latin-1").rstrip()]


def _long_text(value: bytes, encodings: Sequence[str]) -> list[Any]:
    """LT, ST, UT: one value, whatever it holds."""
    return [decode_text(value, encodings).rstrip(" ")]


def _short_texts(value: bytes, encodings: Sequence[str]) -> list[Any]:
    """LO, SH, UC: several values in the data set's character set."""
    return [text.rstrip(" ") or None for text in decode_text(value, encodings).split("\\")]


def _person_names(value: bytes, encodings: Sequence[str]) -> list[Any]:
    return [_person_name(name) for name in decode_text(value.rstrip(b" "), encodings).split("\\")]


def _person_name(name: str) -> dict[str, str] | None:
    groups = {key: group for key, group in zip(_PERSON_NAME_GROUPS, name.split("="), strict=False) if group}
    return groups or None


def _decimals(value: bytes, _encodings: Sequence[str]) -> list[Any]:
    return [_decimal(text) for text in value.decode("latin-1").strip(" \0").split("\\")]


def _decimal(text: str) -> float | str | None:
    """DS as a number, unless that would change its value."""
    text = text.strip(" \0")
    if not text:
        return None
    if not _DECIMAL.fullmatch(text):
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text)
    number = float(text)
    if len(text) <= _SAFE_DECIMAL_CHARACTERS and "e" not in text and "E" not in text:
        return number
    return number if math.isfinite(number) and Decimal(text) == Decimal(repr(number)) else text


def _integers(value: bytes, _encodings: Sequence[str]) -> list[Any]:
    return [_integer(text) for text in value.decode("latin-1").strip(" \0").split("\\")]


def _integer(text: str) -> int | str | None:
    text = text.strip(" \0")
    if not _INTEGER.fullmatch(text) or len(text) > 17:
        return text or None
    number = int(text)
    return number if abs(number) <= _LARGEST_SAFE_INTEGER else text


_TEXT_READERS: dict[str, Callable[[bytes, Sequence[str]], list[Any]]] = {
    "AE": _application_entities,
    "AS": _texts,
    "CS": _texts,
    "DA": _texts,
    "DS": _decimals,
    "DT": _texts,
    "IS": _integers,
    "LO": _short_texts,
    "LT": _long_text,
    "PN": _person_names,
    "SH": _short_texts,
    "ST": _long_text,
    "TM": _texts,
    "UC": _short_texts,
    "UI": _uids,
    "UR": _reference,
    "UT": _long_text,
}

_NUMBER_FORMATS = {
    "AT": ("H", 4), "FD": ("d", 8), "FL": ("f", 4), "SL": ("i", 4), "SS": ("h", 2),
    "SV": ("q", 8), "UL": ("I", 4), "US": ("H", 2), "UV": ("Q", 8),
}  # fmt: skip


def _numbers(value: bytes, vr: str, byte_order: str) -> list[Any] | None:
    """Binary values; None when the length is no multiple of the VR's."""
    code, size_bytes = _NUMBER_FORMATS[vr]
    if len(value) % size_bytes:
        return None
    if vr == "AT":
        halves = unpack(f"{byte_order}{len(value) // 2}H", value)
        return [f"{group:04X}{element:04X}" for group, element in zip(halves[::2], halves[1::2], strict=True)]
    numbers = list(unpack(f"{byte_order}{len(value) // size_bytes}{code}", value))
    return [_finite(number) for number in numbers] if code in "fd" else numbers


def _finite(number: float) -> float | str:
    """JSON has no word for these; the text keeps what an empty value would lose."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
