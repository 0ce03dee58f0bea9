"""Numbers, bytes and items of a data set, read so that broken values are simply not there.

A picture is made from whatever a writer left behind: pydicom's conversions raise or warn where a value breaks a rule,
and their texts show the value. What is here does neither.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import isfinite
from struct import iter_unpack
from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from shared.dicom.elements import find, resolve_vr
from shared.dicom.framing import NotDicom
from shared.dicom.nested import SequenceReader
from shared.dicom.part10 import item_dataset
from shared.dicom.text import DEFAULT_ENCODINGS

_BINARY_CODES = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d", "OW": "H"}
_UNIT_BYTES = {"H": 2, "h": 2, "L": 4, "l": 4, "f": 4, "Q": 8, "q": 8, "d": 8}


def numbers(chain: Sequence[Dataset], tag: int) -> tuple[float, ...]:
    """The finite numbers of an attribute of the innermost data set.

    Args:
        chain: the data set it is in, then the ones around that.
        tag: of the attribute.

    Returns:
        Nothing when the attribute is missing, empty, or one of its values is not a number.
    """
    element = find(chain[0], tag)
    if element is None:
        return ()
    found = _raw_numbers(element, chain) if isinstance(element, RawDataElement) else _parts(element.value)
    try:
        values = tuple(float(value) for value in found)
    except (TypeError, ValueError, OverflowError):
        return ()
    return values if all(map(isfinite, values)) else ()


def whole_numbers(chain: Sequence[Dataset], tag: int) -> tuple[int, ...]:
    """The same, cut to whole numbers."""
    return tuple(int(value) for value in numbers(chain, tag))


def word(dataset: Dataset, tag: int) -> str:
    """The first value of a code string, in capitals; empty when it is not there."""
    element = find(dataset, tag)
    if isinstance(element, RawDataElement):
        text = _text(element)
    else:
        text = "" if element is None else str(next(iter(_parts(element.value)), ""))
    return text.split("\\")[0].strip(" \0").upper()


def words_of(dataset: Dataset, tag: int) -> bytes:
    """A value of 16-bit words, or of bytes packed into them, as little endian bytes (PS3.5 §7.3)."""
    element = find(dataset, tag)
    if element is None:
        return b""
    value = element.value
    if not isinstance(value, bytes):
        return _packed(value)
    little = element.is_little_endian if isinstance(element, RawDataElement) else dataset.original_encoding[1]
    if little is not False:
        return value
    swapped = array("H", value[: len(value) - len(value) % 2])
    swapped.byteswap()
    return swapped.tobytes()


def item(dataset: Dataset, tag: int, index: int = 0) -> Dataset | None:
    """One item of a sequence, and of the others of it as little as possible; None when it is not there."""
    element = find(dataset, tag)
    if isinstance(element, RawDataElement):
        if not isinstance(element.value, bytes):
            return None
        try:
            return _raw_item(element, element.value, index)
        except NotDicom:
            return None
    value = None if element is None else element.value
    if not isinstance(value, Sequence) or not index < len(value):
        return None
    found = value[index]
    return found if isinstance(found, Dataset) else None


def _raw_item(element: RawDataElement, value: bytes, index: int) -> Dataset | None:
    """Frames have an item each, thousands of them: only the wanted one is taken apart."""
    reader = SequenceReader(value, little=element.is_little_endian)
    found = reader.item(0, len(value), index, implicit=element.is_implicit_VR)
    return None if found is None else item_dataset(found, DEFAULT_ENCODINGS, little=element.is_little_endian)


def _raw_numbers(element: RawDataElement, chain: Sequence[Dataset]) -> Sequence[Any]:
    code = _BINARY_CODES.get(resolve_vr(element, chain))
    if code is None:
        return [part for part in _text(element).split("\\") if part.strip(" \0")]
    value = element.value or b""
    whole = value[: len(value) - len(value) % _UNIT_BYTES[code]]
    return [number for (number,) in iter_unpack(("<" if element.is_little_endian else ">") + code, whole)]


def _text(element: RawDataElement) -> str:
    return (element.value or b"").decode("latin-1").rstrip(" \0")


def _parts(value: object) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, (MultiValue, list, tuple)) else (value,)


def _packed(value: object) -> bytes:
    """Words that pydicom has read as numbers; signed ones become the bits they were."""
    try:
        return b"".join((int(number) & 0xFFFF).to_bytes(2, "little") for number in _parts(value))
    except (TypeError, ValueError, OverflowError):
        return b""
