"""Which bytes of the pixel data are which frame, found while a file is read and never by reading pixels again.

Encapsulated frames begin at items (PS3.5 §A.4): offset tables say at which, or each item is a frame, or an item that
ends an image ends a frame. Native frames follow each other without any gap (PS3.5 §8.1.1), bit for bit.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

from shared.dicom.elements import BITS_ALLOCATED, DEFLATED_EXPLICIT_LITTLE, WORD_BYTES, settled_vr
from shared.dicom.part10 import PixelLocation, ScannedFile

_SAMPLES_PER_PIXEL = 0x00280002
_PHOTOMETRIC_INTERPRETATION = 0x00280004
_NUMBER_OF_FRAMES = 0x00280008
_ROWS = 0x00280010
_COLUMNS = 0x00280011
_GEOMETRY = frozenset({_SAMPLES_PER_PIXEL, _NUMBER_OF_FRAMES, _ROWS, _COLUMNS, BITS_ALLOCATED})

_FLOAT_BITS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}

# Two of three samples of such a pixel are stored when it is native (PS3.3 §C.7.6.3.1.2).
_SUBSAMPLED = frozenset({b"YBR_FULL_422", b"YBR_PARTIAL_422"})

# One stream for all frames: MPEG2, MPEG-4, HEVC, each whole or in fragments (PS3.5 §8.2.5 to §8.2.8, §8.2.12), and
# uncompressed video over a network (PS3.5 §8.2.16).
_VIDEO = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))
_VIDEO_PREFIXES = (*(f"{uid}." for uid in _VIDEO), "1.2.840.10008.1.2.7.")

_RLE = "1.2.840.10008.1.2.5"
"""One fragment is one frame there, always (PS3.5 §A.4.2)."""

# Their streams end with nothing that could be recognised: JPEG XL, and frames that are deflated one by one.
_WITHOUT_END_MARK = frozenset(
    {"1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112", "1.2.840.10008.1.2.8.1"}
)

# Not more digits than an integer string has (PS3.5 §6.2).
_WHOLE_NUMBER = re.compile(rb"[ \0]*\+?([0-9]{1,12})[ \0]*(?:\\.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FrameTable:
    """Where the frames of a file are.

    Attributes:
        count: how many frames there are, at least 1.
        starts: of encapsulated frames: offset of the first item of each, counted from the item of the basic offset
            table, and one more for the end; empty when native.
        frame_bits: bits of a native frame; 0 when encapsulated.
    """

    count: int
    starts: array[int]
    frame_bits: int


def frame_table(scanned: ScannedFile) -> FrameTable | None:
    """The frames of a scanned file that are really there, whatever it claims.

    This is work for the processor when there are very many fragments.

    Returns:
        None when there is no pixel data, or when its frames cannot be told apart, as in a video.
    """
    if scanned.pixels is None or scanned.transfer_syntax in _VIDEO:
        return None
    if scanned.transfer_syntax.startswith(_VIDEO_PREFIXES):
        return None
    if not scanned.pixels.encapsulated:
        return _native(scanned, scanned.pixels)
    if scanned.transfer_syntax == DEFLATED_EXPLICIT_LITTLE:
        return None  # PS3.5 §A.5 has no fragments; they would be compressed twice
    starts = _encapsulated(scanned, scanned.pixels)
    return FrameTable(len(starts) - 1, starts, 0) if starts is not None else None


def _native(scanned: ScannedFile, pixels: PixelLocation) -> FrameTable | None:
    numbers = _numbers(scanned)
    there_bits = pixels.length_bytes * 8
    allocated = _FLOAT_BITS.get(pixels.keyword) or numbers.get(BITS_ALLOCATED)
    rows, columns, samples = (numbers.get(tag) for tag in (_ROWS, _COLUMNS, _SAMPLES_PER_PIXEL))
    # Single-frame objects do without the attribute.
    claimed = numbers.get(_NUMBER_OF_FRAMES) if _NUMBER_OF_FRAMES in numbers else 1
    frame_bits = (rows or 0) * (columns or 0) * (samples or 1) * (allocated or 0)
    if _photometric(scanned) in _SUBSAMPLED and there_bits - frame_bits * (claimed or 1) not in (0, 8):
        # What is as long as all samples, or a byte of padding longer, has all of them, whatever it says.
        frame_bits = frame_bits // 3 * 2
    if not frame_bits:
        return None
    count = there_bits // frame_bits
    count = min(count, claimed) if claimed else count
    return FrameTable(count, array("Q"), frame_bits) if count else None


def _encapsulated(scanned: ScannedFile, pixels: PixelLocation) -> array[int] | None:
    """Starts of the frames and their end; None when they cannot be told apart."""
    # Of every item and of what follows the last one; the first is the basic offset table.
    items = array("Q", accumulate((8 + length for length in pixels.fragment_lengths), initial=0))
    fragments = len(items) - 2
    if fragments < 1:
        return None
    claimed = _numbers(scanned).get(_NUMBER_OF_FRAMES)
    tables = _believable_tables(pixels, items, little=scanned.little)
    exact = next((table for table in tables if claimed in (None, len(table) - 1)), None)
    if exact is not None:
        return exact
    if fragments in (1, claimed) or scanned.transfer_syntax == _RLE:
        return items[1:]
    if claimed == 1:
        return array("Q", (items[1], items[-1]))
    marked = _by_end_marks(pixels.fragment_ends, items) if scanned.transfer_syntax not in _WITHOUT_END_MARK else None
    return _best_guess(claimed, tables, marked, items)


def _best_guess(
    claimed: int | None, tables: list[array[int]], marked: array[int] | None, items: array[int]
) -> array[int] | None:
    """The starts where nothing agrees with the number of frames that is claimed."""
    if marked is not None and claimed in (None, len(marked) - 1):
        return marked
    if tables:
        return tables[0]
    if marked is not None:
        return marked
    if claimed is None:
        return array("Q", (items[1], items[-1]))
    return items[1:] if len(items) - 2 < claimed else None


def _believable_tables(pixels: PixelLocation, items: array[int], *, little: bool) -> list[array[int]]:
    """Starts by the extended (PS3.3 §C.7.6.3.1.8) and by the basic offset table, as far as they make sense."""
    extended = _unpacked("Q", pixels.extended_offsets, little=little)
    basic = _unpacked("I", pixels.basic_offsets, little=little)
    lengths = _unpacked("Q", pixels.extended_lengths, little=little)
    tables = []
    starts = _starts_at_items(extended, items)
    if starts is not None and _lengths_fit(lengths, starts):
        tables.append(starts)
    starts = _starts_at_items(basic, items)
    if starts is not None:
        tables.append(starts)
    return tables


def _unpacked(code: str, value: bytes, *, little: bool) -> array[int]:
    numbers = array(code)
    if len(value) % numbers.itemsize == 0:
        numbers.frombytes(value)
    if little != _HOST_IS_LITTLE:
        numbers.byteswap()
    return numbers


_HOST_IS_LITTLE = array("H", [1]).tobytes() == b"\x01\x00"


def _starts_at_items(offsets: Iterable[int], items: array[int]) -> array[int] | None:
    """The starts that a table gives, and the end; None unless it begins at the first item and each offset meets one."""
    starts = array("Q")
    place = 0
    for offset in offsets:
        start = items[1] + offset
        # From the place behind the one before: offsets that do not ascend meet nothing there. The last is the end.
        place = bisect_left(items, start, place + 1)
        if place >= len(items) - 1 or items[place] != start:
            return None
        starts.append(start)
    if not starts or starts[0] != items[1]:
        return None
    starts.append(items[-1])
    return starts


def _lengths_fit(lengths: array[int], starts: array[int]) -> bool:
    """Whether each frame of an extended offset table is as long as it says, or a little longer by its padding."""
    if not lengths:
        return True
    if len(lengths) != len(starts) - 1:
        return False
    return all(length + 8 <= stop - start for length, (start, stop) in zip(lengths, pairwise(starts), strict=True))


def _by_end_marks(ends: bytes, items: array[int]) -> array[int] | None:
    """Starts where a frame goes as far as the next fragment that ends an image; None when no fragment does."""
    if not any(ends):
        return None
    starts = array("Q", [items[1]])
    starts.extend(items[place] for place, ended in enumerate(ends[:-1], start=2) if ended)
    starts.append(items[-1])
    return starts


def _photometric(scanned: ScannedFile) -> bytes:
    for element in scanned.elements:
        if element.tag == _PHOTOMETRIC_INTERPRETATION:
            return scanned.kept[element.start : element.stop].strip(b" \0")
    return b""


def _numbers(scanned: ScannedFile) -> Mapping[int, int | None]:
    """The geometry that the file gives; None for what cannot be read or is zero."""
    found: dict[int, int | None] = {}
    for element in scanned.elements:
        if element.tag in _GEOMETRY:
            value = scanned.kept[element.start : element.stop]
            read = _READERS.get(settled_vr(element.tag, element.vr, len(value)), _text_number)
            found[element.tag] = read(value, "little" if scanned.little else "big") or None
    return found


def _text_number(value: bytes, _order: str) -> int:
    match = _WHOLE_NUMBER.fullmatch(value)
    return int(match[1]) if match else 0


def _binary_number(size_bytes: int) -> Callable[[bytes, str], int]:
    def read(value: bytes, order: str) -> int:
        return int.from_bytes(value[:size_bytes], "little" if order == "little" else "big")

    return read


_READERS = {vr: _binary_number(WORD_BYTES[vr]) for vr in ("US", "UL", "UV")}
