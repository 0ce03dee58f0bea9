"""Arrays of samples: each step by itself, on numbers that can be checked by eye."""

from __future__ import annotations

import numpy as np
import pytest

from shared.dicom.samples import by_pixel, packed, stored_bits, swapped, unpacked, with_full_chroma, ybr_to_rgb


@pytest.mark.parametrize(
    ("unit", "wanted"), [(2, "0100030205040706"), (4, "0302010007060504"), (8, "0706050403020100")]
)
def test_words_are_turned_around(unit, wanted):
    assert swapped(bytes(range(8)), unit).hex() == wanted


def test_the_first_bit_is_the_lowest():
    assert unpacked(b"\x05\x80", 16).tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert unpacked(b"\x05", 3).tolist() == [1, 0, 1]
    assert packed(np.array([[1, 0, 1], [0, 0, 0], [0, 0, 1]], "u1")) == b"\x05\x01"


def test_planes_become_pixels():
    planes = np.array([1, 2, 3, 4, 10, 20, 30, 40, 100, 110, 120, 130])
    assert by_pixel(planes, 2, 2, 3, planar=1)[0].tolist() == [[1, 10, 100], [2, 20, 110]]
    assert by_pixel(planes, 2, 2, 3, planar=0)[0].tolist() == [[1, 2, 3], [4, 10, 20]]
    assert by_pixel(planes, 3, 4, 1, planar=0).shape == (3, 4)


def test_two_pixels_share_their_colour_differences():
    assert with_full_chroma(np.array([10, 20, 128, 129], "u1")).tolist() == [10, 128, 129, 20, 128, 129]


@pytest.mark.parametrize(
    ("value", "bits", "shift", "signed", "wanted"),
    [
        (0xF123, 12, 0, False, 0x123),
        (0xF823, 12, 0, True, 0x823 - 0x1000),
        (0x0FFF, 12, 0, True, -1),
        (0x1234, 12, 4, False, 0x123),
        (0x8234, 12, 4, True, 0x823 - 0x1000),
        (0xFFFF, 16, 0, False, 0xFFFF),
        (0xFFFF, 16, 0, True, -1),
    ],
)
def test_only_stored_bits_count(value, bits, shift, signed, wanted):
    source = np.array([[value]], "u2")
    found = stored_bits(source, 2, bits, shift=shift, signed=signed)
    assert found.tolist() == [[wanted]]
    assert found.dtype == ("i2" if signed else "u2")
    assert source.tolist() == [[value]], "the source may be somebody else's bytes"


def test_a_smaller_integer_is_widened_by_its_bits():
    assert stored_bits(np.array([200], "u1"), 2, 8, shift=0, signed=True).tolist() == [-56]
    assert stored_bits(np.array([-56], "i1"), 2, 8, shift=0, signed=False).tolist() == [200]


def test_grey_has_no_colour_differences():
    samples = np.array([[[0, 128, 128], [77, 128, 128], [255, 128, 128]]], "u1")
    assert ybr_to_rgb(samples).tolist() == [[[0] * 3, [77] * 3, [255] * 3]]
