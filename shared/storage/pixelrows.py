"""Where the pixel data of an instance is and its frames begin, as it is written down in its row or in a blob beside it.

The blob has one whole number of 64 bits, little-endian, for the start of each frame, and one more for the end of the
last. So the two that say where a frame is are read by their place, however many there are.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any

from shared.dicom.frames import frame_table
from shared.dicom.part10 import ScannedFile
from shared.storage.tables import Entity, binary, whole

FRAMES_SUFFIX = ".frames"
"""Of the blob with the frame starts of an instance that has too many for a row."""

START_BYTES = 8
"""Of one number in that blob."""

_FRAMES_IN_ROW = 256

PIXEL_COLUMNS = ("pixelOffset", "pixelLength", "encapsulated", "frames", "starts")


@dataclass(frozen=True, slots=True)
class PixelColumns:
    """Where the pixel data of an instance is, and its frames in it.

    Attributes:
        keyword: PixelData, FloatPixelData or DoubleFloatPixelData.
        vr: as the file has it.
        offset_bytes: of the value, from the start of the instance; -1 in a deflated file.
        length_bytes: of the value.
        encapsulated: whether it is a sequence of fragments.
        frames: how many frames there are; 0 when they cannot be told apart.
        frame_bits: of a native frame; 0 when encapsulated.
        starts: of encapsulated frames, and their end, packed; empty when native.
    """

    keyword: str
    vr: str
    offset_bytes: int
    length_bytes: int
    encapsulated: bool
    frames: int
    frame_bits: int
    starts: bytes

    @property
    def starts_in_row(self) -> bytes:
        """The packed starts as far as they go into the instance's row."""
        return self.starts if self.frames <= _FRAMES_IN_ROW else b""

    @property
    def beside(self) -> bool:
        """Whether the starts are in a blob beside the instance's."""
        return bool(self.starts) and not self.starts_in_row


def pixel_columns(scanned: ScannedFile) -> PixelColumns | None:
    """Where the pixel data of a scanned file is, and its frames; None when it has none."""
    pixels, frames = scanned.pixels, frame_table(scanned)
    if pixels is None:
        return None
    return PixelColumns(
        keyword=pixels.keyword,
        vr=pixels.vr,
        offset_bytes=-1 if pixels.offset_bytes is None else pixels.offset_bytes,
        length_bytes=pixels.length_bytes,
        encapsulated=pixels.encapsulated,
        frames=frames.count if frames else 0,
        frame_bits=frames.frame_bits if frames else 0,
        starts=packed_starts(frames.starts) if frames and frames.starts else b"",
    )


def packed_starts(starts: array[int]) -> bytes:
    """Starts as their differences, compressed."""
    return zlib.compress(_bytes_of(array("Q", (stop - start for start, stop in pairwise(chain((0,), starts))))))


def unpacked_starts(packed: bytes) -> array[int]:
    """The reverse of `packed_starts`."""
    return array("Q", accumulate(starts_of(zlib.decompress(packed))))


def starts_blob(packed: bytes) -> bytes:
    """Content of the blob with the starts."""
    return _bytes_of(unpacked_starts(packed))


def starts_of(content: bytes) -> array[int]:
    """The numbers in a part of such a blob."""
    return _little(array("Q", content))


def pixel_entity(pixels: PixelColumns) -> dict[str, Any]:
    """The properties that an instance row has of its pixel data."""
    entity: dict[str, Any] = {
        "pixelOffset": pixels.offset_bytes,
        "pixelLength": pixels.length_bytes,
        "encapsulated": pixels.encapsulated,
        "frames": f"{pixels.keyword} {pixels.vr} {pixels.frames} {pixels.frame_bits}",
    }
    if pixels.starts_in_row:
        entity["starts"] = pixels.starts_in_row
    return entity


def pixels_of(row: Entity) -> PixelColumns | None:
    """The pixel data of an instance row; None when there is none, or when the row is older than its frames' columns."""
    if "frames" not in row:
        return None
    keyword, vr, frames, frame_bits = row["frames"].split(" ")
    return PixelColumns(
        keyword=keyword,
        vr=vr,
        offset_bytes=whole(row, "pixelOffset"),
        length_bytes=whole(row, "pixelLength"),
        encapsulated=row["encapsulated"],
        frames=int(frames),
        frame_bits=int(frame_bits),
        starts=binary(row, "starts"),
    )


def older_than_frames(row: Mapping[str, Any]) -> bool:
    """Whether an instance row says that there is pixel data and nothing of its frames."""
    return "pixelOffset" in row and "frames" not in row


def _bytes_of(numbers: array[int]) -> bytes:
    return _little(numbers).tobytes()


def _little(numbers: array[int]) -> array[int]:
    """The numbers between the order of this machine and that in which they are stored."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
