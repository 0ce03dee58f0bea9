"""Elements as they are encoded: value representations, their sizes, and the VR of a raw element (PS3.5 §6.2, §7.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_DELIMITER = 0xFFFEE00D
SEQUENCE_DELIMITER = 0xFFFEE0DD
SPECIFIC_CHARACTER_SET = 0x00080005
PIXEL_REPRESENTATION = 0x00280103
BITS_ALLOCATED = 0x00280100
LUT_DESCRIPTOR = 0x00283002
LUT_DATA = 0x00283006

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED_EXPLICIT_LITTLE = "1.2.840.10008.1.2.1.99"

PIXEL_KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}

# Values that are bytes to the service: they leave the metadata, and at top level they are not even read.
BULK_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})

# Explicit VRs whose length field has 32 bits after two reserved bytes (PS3.5 §7.1.2).
LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})

# Bytes of the smallest unit that is turned around between byte orders (PS3.5 §7.3); 1 for all others.
WORD_BYTES = {
    "AT": 2, "OW": 2, "SS": 2, "US": 2,
    "FL": 4, "OF": 4, "OL": 4, "SL": 4, "UL": 4,
    "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8,
}  # fmt: skip

ALL_VRS = BULK_VRS | frozenset({
    "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL",
    "SQ", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UR", "US", "UT", "UV",
})  # fmt: skip
VR_BY_CODE = {vr.encode(): vr for vr in ALL_VRS}


@lru_cache(maxsize=16384)
def known_vr(tag: int) -> str | None:
    """The VR of a tag by the dictionary, None when it says nothing; some words name several, such as `US or SS`."""
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        pass
    group, element = tag >> 16, tag & 0xFFFF
    if element == 0:
        return "UL"
    if group & 1 and 0x10 <= element <= 0xFF:
        return "LO"  # a private creator (PS3.5 §7.8.1)
    return None


def settled_vr(tag: int, vr: str | None, length: int) -> str:
    """The VR to read an element by, from what the file says and what the dictionary knows; may be ambiguous.

    UN is what a writer says of an attribute it does not know; where the dictionary knows it and the value is short,
    the value is read by the dictionary's VR (PS3.5 §6.2.2 note 2).
    """
    if vr is not None and vr != "UN":
        return vr
    known = known_vr(tag)
    if known is None or (vr == "UN" and length >= 0xFFFF and length != UNDEFINED_LENGTH):
        return "UN"
    return known


def is_bulk(tag: int, vr: str | None, length: int) -> bool:
    """True when a top-level element of defined length is skipped and not held."""
    if vr is not None and vr not in BULK_VRS:
        return tag in PIXEL_KEYWORDS
    settled = settled_vr(tag, vr, length)
    return settled in BULK_VRS or settled == "OB or OW" or tag in PIXEL_KEYWORDS


def resolve_vr(raw: RawDataElement, chain: Sequence[Dataset]) -> str:
    """The one VR of a raw element.

    Args:
        raw: the element.
        chain: the data set it is in, then the ones around that, innermost first.
    """
    vr = settled_vr(raw.tag, raw.VR, raw.length)
    if len(vr) == 2:
        return vr
    if vr == "OB or OW":
        return "OW"
    if raw.tag == LUT_DATA:
        return "US" if _first_number(chain[:1], LUT_DESCRIPTOR) == 1 else "OW"
    if vr == "US or SS":
        return "SS" if _first_number(chain, PIXEL_REPRESENTATION) else "US"
    return "OW"


def elements_of(dataset: Dataset) -> list[tuple[BaseTag, DataElement | RawDataElement]]:
    """The elements of a data set by ascending tag, raw ones as they are."""
    return sorted(dataset.items(), key=_by_tag)


def find(dataset: Dataset, tag: int) -> DataElement | RawDataElement | None:
    """One element of a data set, raw if it is; None when it is not there."""
    return dataset.get_item(tag) if tag in dataset else None


def _by_tag(pair: tuple[BaseTag, object]) -> int:
    # Tags compare in Python code; whole numbers do not.
    return int(pair[0])


def _first_number(chain: Sequence[Dataset], tag: int) -> int | None:
    """The first value of an attribute of VR US, from the innermost data set that has one."""
    for dataset in chain:
        element = find(dataset, tag)
        if isinstance(element, RawDataElement):
            if element.value:
                return int.from_bytes(element.value[:2], "little" if element.is_little_endian else "big")
        elif element is not None and not element.is_empty:
            value = element.value if element.VM == 1 else element.value[0]
            return value if isinstance(value, int) else None
    return None
