"""The framing of elements (PS3.5 §7.1) and what is said of bytes that break it."""

from __future__ import annotations

from struct import Struct, pack

from shared.dicom.elements import LONG_VRS, VR_BY_CODE

MAX_KEPT_BYTES = 32 * 1024 * 1024
MAX_INFLATED_BYTES = 1024 * 1024 * 1024
MAX_ELEMENTS = 500_000

# The standard defines some five thousand attributes. A small file can hold a hundred thousand empty elements, each of
# which costs a thousand times its size in memory.
MAX_TOP_LEVEL_ELEMENTS = 20_000

_IMPLICIT_HEADER = {True: Struct("<HHL"), False: Struct(">HHL")}
_EXPLICIT_HEADER = {True: Struct("<HH2sH"), False: Struct(">HH2sH")}
_LONG_LENGTH = {True: Struct("<L"), False: Struct(">L")}

Header = tuple[int, str | None, int, int]
"""Tag, VR (None in implicit VR), bytes of the header, length of the value."""


class NotDicom(Exception):
    """The bytes are not a DICOM file that can be read to its end; the text is safe to show."""


def looks_explicit(code: bytes) -> bool:
    """True when two bytes after a tag look like a VR; a length would have to be over 16,000 to look like that."""
    return len(code) == 2 and 0x41 <= code[0] <= 0x5A and 0x41 <= code[1] <= 0x5A


def parse_header(data: bytes, at: int, *, implicit: bool, little: bool) -> Header | None:
    """The element header at that place, where at least 8 bytes follow; None when it takes 12 and they are not there."""
    if not implicit:
        group, element, code, length = _EXPLICIT_HEADER[little].unpack_from(data, at)
        vr = VR_BY_CODE.get(code)
        if vr is not None:
            if vr not in LONG_VRS:
                return group << 16 | element, vr, 8, length
            if len(data) - at < 12:
                return None
            return group << 16 | element, vr, 12, _LONG_LENGTH[little].unpack_from(data, at + 8)[0]
        if looks_explicit(code):
            # A VR of a later edition: PS3.5 §6.2 note 2 gives new ones a long length, writers of odd ones a short one.
            return group << 16 | element, code.decode("ascii"), 8, length
    # Some writers switch to implicit VR within an explicit data set.
    group, element, length = _IMPLICIT_HEADER[little].unpack_from(data, at)
    return group << 16 | element, None, 8, length


def element_header(tag: int, vr: str, length: int) -> bytes:
    """Header of an element in explicit VR, little-endian (PS3.5 §7.1.2)."""
    if vr in LONG_VRS:
        return pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)
    return pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), length)


def parse_item_header(data: bytes, at: int, *, little: bool) -> tuple[int, int]:
    """Tag and length of an item or a delimiter, where at least 8 bytes follow."""
    group, element, length = _IMPLICIT_HEADER[little].unpack_from(data, at)
    return group << 16 | element, length
