"""How frame tables are written down."""

from __future__ import annotations

import base64
import random
from array import array

import numpy
import orjson
import pytest

from shared.storage.pixelrows import (
    PixelColumns,
    older_than_frames,
    packed_starts,
    pixel_columns,
    pixel_entity,
    pixels_of,
    starts_blob,
    unpacked_starts,
)
from tests.support.pixels import DEFLATED, JPEG, PixelFile, file_of, scan


def columns(starts: array[int]) -> PixelColumns:
    return PixelColumns("PixelData", "OB", 400, starts[-1], True, len(starts) - 1, 0, packed_starts(starts))


def random_starts(frames: int) -> array[int]:
    dice = random.Random(frames)
    starts = array("Q", [dice.randrange(8, 5000)])
    for _ in range(frames):
        starts.append(starts[-1] + dice.randrange(8, 2**32))
    return starts


@pytest.mark.parametrize("frames", [1, 2, 255, 256, 257, 5000])
def test_starts_survive_packing(frames):
    starts = random_starts(frames)
    assert unpacked_starts(packed_starts(starts)) == starts
    assert starts_blob(packed_starts(starts)) == numpy.array(starts, "<u8").tobytes()


def test_a_table_goes_into_the_row_up_to_256_frames():
    small, large = columns(random_starts(256)), columns(random_starts(257))
    assert (small.beside, large.beside) == (False, True)
    assert "starts" in pixel_entity(small)
    assert "starts" not in pixel_entity(large)
    assert len(small.starts) < 2200


@pytest.mark.parametrize(
    "wanted",
    [
        PixelFile(value=bytes(16)),
        PixelFile(value=bytes(16), syntax=DEFLATED),
        PixelFile(syntax=JPEG, frames="2", fragments=[bytes(20), bytes(40)]),
        PixelFile(syntax="1.2.840.10008.1.2.4.102", frames="9", fragments=[bytes(20)]),
    ],
)
def test_a_row_gives_back_what_was_written(wanted):
    found = pixel_columns(scan(file_of(wanted)))
    assert found is not None
    # Numbers and bytes come back from storage as text.
    entity = {name: _as_answered(value) for name, value in pixel_entity(found).items()}
    assert pixels_of(entity) == found
    assert not older_than_frames(entity)


def test_a_row_without_pixel_data_is_no_older_row():
    assert pixels_of({"blob": "b"}) is None
    assert not older_than_frames({"blob": "b"})
    assert older_than_frames({"blob": "b", "pixelOffset": 3})


def test_the_row_of_a_small_instance_hardly_grows():
    found = pixel_columns(scan(file_of(PixelFile(value=bytes(16)))))
    assert found is not None
    entity = pixel_entity(found)
    del entity["pixelOffset"], entity["pixelLength"], entity["encapsulated"]
    assert len(orjson.dumps(entity)) < 50


def _as_answered(value):
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
