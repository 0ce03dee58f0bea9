"""Lookup tables of a data set: modality and VOI LUTs (PS3.3 §C.11.1, §C.11.2) and palettes (PS3.3 §C.7.9).

pydicom's functions for them look a table of 8-bit entries up with 8-bit indices, read indirect segments at another
place than PS3.3 §C.7.9.2.3 gives, and raise whatever a broken table makes them run into. So the tables are read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from shared.dicom.elements import LUT_DATA, LUT_DESCRIPTOR, find
from shared.dicom.shades import Floats
from shared.dicom.values import whole_numbers, words_of

_MAX_ENTRIES = 65_536
_PALETTE_DESCRIPTORS = (0x00281101, 0x00281102, 0x00281103)
_PALETTE_COLOURS = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED_COLOURS = (0x00281221, 0x00281222, 0x00281223)
_DISCRETE, _LINEAR, _INDIRECT = range(3)


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A table from input values to entries.

    Attributes:
        entries: at least one.
        first: the input value that the first entry stands for; smaller ones get it too, and larger ones the last.
        bits: an entry is below 2 to the power of it.
    """

    entries: NDArray[np.uint16]
    first: int
    bits: int

    def look_up(self, inputs: Floats) -> Floats:
        """The entries of input values."""
        places = np.clip(np.nan_to_num(np.rint(inputs - self.first)), 0, len(self.entries) - 1).astype(np.int64)
        found: Floats = self.entries[places].astype(np.float64)
        return found

    def shades(self, inputs: Floats) -> Floats:
        """The same from 0 to 1."""
        return self.look_up(inputs) / ((1 << self.bits) - 1)


def lookup_table(chain: Sequence[Dataset], *, signed: bool) -> LookupTable | None:
    """The table in an item of Modality LUT Sequence or VOI LUT Sequence; None when it is not a usable one.

    Args:
        chain: the item, then the data sets around it.
        signed: whether its input values may be negative.
    """
    count, first, bits = _descriptor(chain, LUT_DESCRIPTOR, signed=signed)
    entries = _entries(words_of(chain[0], LUT_DATA), count)
    return LookupTable(entries, first, _entry_bits(entries, bits)) if len(entries) else None


def palette(dataset: Dataset, *, signed: bool) -> tuple[LookupTable, LookupTable, LookupTable] | None:
    """The tables of red, green and blue; None when one of them is not usable."""
    tables = []
    for descriptor, plain, segmented in zip(_PALETTE_DESCRIPTORS, _PALETTE_COLOURS, _SEGMENTED_COLOURS, strict=True):
        count, first, bits = _descriptor((dataset,), descriptor, signed=signed)
        if find(dataset, plain) is not None:
            entries = _entries(words_of(dataset, plain), count)
        else:
            entries = _expanded(words_of(dataset, segmented), count, bits)
        if not len(entries):
            return None
        tables.append((entries, first, bits))
    # What the descriptor says of the depth is often wrong; one colour alone can be too dark to tell.
    depth = max(_entry_bits(entries, bits) for entries, _, bits in tables)
    if depth > 8 and all(int(entries.max()) < 256 for entries, _, _ in tables):
        depth = 8
    red, green, blue = (LookupTable(entries, first, depth) for entries, first, _ in tables)
    return red, green, blue


def _descriptor(chain: Sequence[Dataset], tag: int, *, signed: bool) -> tuple[int, int, int]:
    """Number of entries, first input value in its true sign, and bits of an entry; zeros if it is broken."""
    found = whole_numbers(chain, tag)
    if len(found) < 3:
        return 0, 0, 0
    count, first, bits = found[:3]
    first = (first + 0x8000) % 0x10000 - 0x8000 if signed else first % 0x10000
    return count % 0x10000 or _MAX_ENTRIES, first, bits


def _entries(data: bytes, count: int) -> NDArray[np.uint16]:
    if len(data) < 2 * count and count <= len(data) <= count + 1:
        return np.frombuffer(data, dtype=np.uint8)[:count].astype(np.uint16)  # two entries a word
    return np.frombuffer(data[: len(data) - len(data) % 2], dtype="<u2")[:count].astype(np.uint16)


def _entry_bits(entries: NDArray[np.uint16], bits: int) -> int:
    return min(max(int(entries.max()).bit_length(), bits, 8), 16)


def _expanded(data: bytes, count: int, bits: int) -> NDArray[np.uint16]:
    """The entries of a segmented palette (PS3.3 §C.7.9.2); none when its segments make no sense."""
    wide = bits > 8
    stream = np.frombuffer(data[: len(data) - len(data) % 2], dtype="<u2" if wide else np.uint8).tolist()
    entries = _segments(stream, 0, None, [], count, wide=wide)
    return np.array([] if entries is None else entries[:count], dtype=np.uint16)


def _segments(
    stream: Sequence[int], at: int, segments: int | None, entries: list[int], count: int, *, wide: bool
) -> list[int] | None:
    """Adds the entries of so many segments, all there are for None, and ends when there are enough of them."""
    while at + 2 < len(stream) and segments != 0 and len(entries) < count:
        kind, length = stream[at], stream[at + 1]
        at += 2
        if not length:
            return None  # would also make a small palette take long
        if kind == _DISCRETE:
            entries += stream[at : at + length]
            at += length
        elif kind == _LINEAR and entries:
            ramp = np.linspace(entries[-1], stream[at], length + 1)[1:]
            entries += np.rint(ramp).astype(int).tolist()
            at += 1
        elif kind == _INDIRECT and segments is None:
            # Indirect segments stand for discrete and linear ones only, so this goes one level deep.
            target, at = _indirect_target(stream, at, wide=wide)
            if _segments(stream, target, length, entries, count, wide=wide) is None:
                return None
        else:
            return None
        segments = None if segments is None else segments - 1
    return entries


def _indirect_target(stream: Sequence[int], at: int, *, wide: bool) -> tuple[int, int]:
    """Where an indirect segment points, in entries, and where the next one is; the offset counts bytes."""
    size, unit_bits = (2, 16) if wide else (4, 8)
    offset_bytes = sum(part << (unit_bits * place) for place, part in enumerate(stream[at : at + size]))
    return offset_bytes // (2 if wide else 1), at + size
