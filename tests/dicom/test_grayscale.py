"""Windows, ranges and functional groups: what becomes of a stored value is computed once more here."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing

from shared.dicom.headers import parse_header
from shared.dicom.pixels import describe
from shared.dicom.rendering import PNG, render
from tests.dicom.viewing import (
    RAMP,
    SIGNED_RAMP,
    item,
    look_at,
    native_file,
    render_stored,
    shown,
)


def test_linear_window_is_the_formula_of_the_standard() -> None:
    """PS3.3 §C.11.2.1.2.1."""
    picture = shown(RAMP, WindowCenter=1000, WindowWidth=401)
    values = RAMP.astype(float)
    wanted = np.where(
        values <= 999.5 - 200, 0, np.where(values > 999.5 + 200, 255, ((values - 999.5) / 400 + 0.5) * 255)
    )
    assert np.array_equal(picture, np.rint(wanted))


def test_linear_exact_window_is_the_formula_of_the_standard() -> None:
    """PS3.3 §C.11.2.1.3.2."""
    picture = shown(RAMP, WindowCenter=1000, WindowWidth=400, VOILUTFunction="LINEAR_EXACT")
    values = RAMP.astype(float)
    wanted = np.where(values <= 800, 0, np.where(values > 1200, 255, ((values - 1000) / 400 + 0.5) * 255))
    assert np.array_equal(picture, np.rint(wanted))


def test_sigmoid_window_is_the_formula_of_the_standard() -> None:
    """PS3.3 §C.11.2.1.3.1."""
    picture = shown(RAMP, WindowCenter=1000, WindowWidth=400, VOILUTFunction="SIGMOID")
    assert np.array_equal(picture, np.rint(255 / (1 + np.exp(-4 * (RAMP.astype(float) - 1000) / 400))))


def test_a_sigmoid_of_values_far_away_does_not_overflow() -> None:
    picture = shown(RAMP, WindowCenter=4000, WindowWidth=0.001, VOILUTFunction="SIGMOID")
    assert set(np.unique(picture)) <= {0, 128, 255}


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("window", [(100, 50), (0, 2), (-300.5, 1000.25), (2047, 4096), (5, 1)])
def test_windows_are_those_of_pydicom(function: str, window: tuple[float, float]) -> None:
    dataset = item(
        PhotometricInterpretation="MONOCHROME2",
        BitsStored=16,
        PixelRepresentation=1,
        WindowCenter=window[0],
        WindowWidth=window[1],
        VOILUTFunction=function,
    )
    if function != "LINEAR" or window[1] > 1:  # pydicom divides by width - 1
        with np.errstate(over="ignore"):
            theirs = (apply_windowing(SIGNED_RAMP, dataset) + 32768) / 65535 * 255
        ours = shown(SIGNED_RAMP, WindowCenter=window[0], WindowWidth=window[1], VOILUTFunction=function)
        assert np.abs(np.rint(theirs) - ours).max() <= 1
    else:
        ours = shown(SIGNED_RAMP, WindowCenter=window[0], WindowWidth=window[1])
        assert np.array_equal(ours, np.where(window[0] - 0.5 < SIGNED_RAMP, 255, 0))


def test_the_first_of_several_windows_is_used() -> None:
    several = shown(RAMP, WindowCenter=[1000, 50], WindowWidth=[400, 100])
    assert np.array_equal(several, shown(RAMP, WindowCenter=1000, WindowWidth=400))


@pytest.mark.parametrize("width", [0, -5])
def test_a_window_without_width_leaves_the_full_range(width: int) -> None:
    assert np.array_equal(shown(RAMP, WindowCenter=1000, WindowWidth=width), shown(RAMP))


def test_a_narrow_window_on_fractions_is_not_lost() -> None:
    samples = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    picture = shown(samples, WindowCenter=0.5, WindowWidth=0.5)
    assert np.array_equal(picture, np.rint(np.clip((samples.astype(float) - 0.5) / 0.5 + 0.5, 0, 1) * 255))


def test_without_a_window_the_frame_uses_the_full_range() -> None:
    picture = shown(np.array([[300, 400], [500, 700]], dtype=np.uint16))
    assert picture.tolist() == [[0, 64], [128, 255]]


def test_each_frame_has_its_own_range() -> None:
    frames = np.array([[[0, 10]], [[1000, 3000]]], dtype=np.uint16)
    assert shown(frames, 2).tolist() == [[0, 255]]


@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "i4", "f4", "f8"])
def test_a_constant_frame_is_a_picture(kind: str) -> None:
    picture = shown(np.full((3, 4), 7, dtype=kind))
    assert np.array_equal(picture, np.full((3, 4), 7 if kind == "u1" else 0))


def test_the_lowest_value_of_monochrome1_is_white() -> None:
    inverted = shown(RAMP, PhotometricInterpretation="MONOCHROME1", WindowCenter=1000, WindowWidth=400)
    plain = shown(RAMP, WindowCenter=1000, WindowWidth=400)
    assert np.array_equal(inverted, 255 - plain)
    assert inverted[0, 0] == 255


def test_rescale_comes_before_the_window() -> None:
    picture = shown(RAMP, RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=100, WindowWidth=401)
    wanted = np.clip((RAMP * 2.0 - 1024 - 99.5) / 400 + 0.5, 0, 1) * 255
    assert np.array_equal(picture, np.rint(wanted))


def test_a_negative_slope_turns_the_picture_around() -> None:
    assert np.array_equal(shown(RAMP, RescaleSlope=-1, RescaleIntercept=4095), 255 - shown(RAMP))


def test_a_slope_of_nothing_is_passed_over() -> None:
    assert np.array_equal(shown(RAMP, RescaleSlope=0, RescaleIntercept=5), shown(RAMP))


def grouped(center: int, slope: float = 1.0) -> Dataset:
    return item(
        FrameVOILUTSequence=[item(WindowCenter=center, WindowWidth=201)],
        PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="US")],
    )


@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"], ids=["implicit", "explicit"])
def test_the_groups_of_a_frame_go_before_shared_ones(undefined: bool, syntax: str) -> None:
    """PS3.3 §C.7.6.16: an attribute is in the shared groups or in those of each frame."""
    frames = np.stack([RAMP, RAMP, RAMP])
    groups = [grouped(200), grouped(1000, slope=2), item()]
    for group in groups:
        group.is_undefined_length_sequence_item = undefined
    file = native_file(
        frames,
        syntax,
        SharedFunctionalGroupsSequence=[grouped(3000)],
        PerFrameFunctionalGroupsSequence=groups,
        WindowCenter=9,
        WindowWidth=1,
    )
    for number, (center, slope) in enumerate([(200, 1), (1000, 2), (3000, 1)], start=1):
        wanted = np.clip((RAMP * float(slope) - (center - 0.5)) / 200 + 0.5, 0, 1) * 255
        assert np.array_equal(look_at(render_stored(file, number)), np.rint(wanted)), number


def test_a_converted_data_set_looks_the_same_as_a_raw_one() -> None:
    file = native_file(np.stack([RAMP, RAMP]), PerFrameFunctionalGroupsSequence=[grouped(200), grouped(1000)])
    converted = parse_header(file.header)
    assert sum(element.VM for element in converted.iterall()) > 20
    description = describe(converted, file.transfer_syntax)
    picture = render(converted, description, file.frames[1], 2, PNG, 100)
    assert picture == render_stored(file, 2)


def test_padding_is_left_out_of_the_range() -> None:
    samples = np.array([[-2000, -2000], [0, 100]], dtype=np.int16)
    assert shown(samples, PixelPaddingValue=-2000).tolist() == [[0, 0], [0, 255]]


def test_a_range_of_padding_is_left_out_of_the_range() -> None:
    samples = np.array([[4000, 3990], [0, 100]], dtype=np.uint16)
    picture = shown(samples, PixelPaddingValue=4095, PixelPaddingRangeLimit=3990)
    assert picture.tolist() == [[255, 255], [0, 255]]


def test_a_frame_of_nothing_but_padding_is_a_picture() -> None:
    assert shown(np.full((2, 2), -5, dtype=np.int16), PixelPaddingValue=-5).tolist() == [[0, 0], [0, 0]]


def test_a_byte_without_a_window_is_shown_as_it_is() -> None:
    samples = np.array([[10, 20], [30, 40]], dtype=np.uint8)
    assert np.array_equal(shown(samples), samples)


def test_fewer_bits_than_a_byte_use_the_full_range() -> None:
    samples = np.array([[0, 5], [10, 15]], dtype=np.uint8)
    assert shown(samples, BitsStored=4, HighBit=3).tolist() == [[0, 85], [170, 255]]


def test_one_bit_is_black_and_white() -> None:
    samples = np.zeros((2, 1), dtype=np.uint8)
    samples[:] = [[0b10100101], [0b00001111]]
    bits = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "Columns": 8}
    assert (shown(samples, **bits) // 255).tolist() == [[1, 0, 1, 0, 0, 1, 0, 1], [1, 1, 1, 1, 0, 0, 0, 0]]


def test_no_number_is_black_and_does_not_count() -> None:
    samples = np.array([[np.nan, 1.0], [np.inf, 3.0], [-np.inf, 2.0]], dtype=np.float32)
    assert shown(samples).tolist() == [[0, 0], [255, 255], [0, 128]]


def test_the_largest_floats_have_a_range() -> None:
    samples = np.array([[-1.7e308, 0, 1.7e308]], dtype=np.float64)
    assert shown(samples).tolist() == [[0, 128, 255]]


def test_many_samples_of_32_bits_are_rendered_in_blocks() -> None:
    samples = np.arange(1000 * 700, dtype=np.uint32).reshape(1000, 700) * 5000
    assert np.array_equal(shown(samples), np.rint(samples / samples.max() * 255))


def test_the_groups_of_ten_thousand_frames_are_not_read_for_one() -> None:
    """A picture of the last frame reads one item: the others may be broken without anybody noticing."""
    frames = np.zeros((2, 4, 4), dtype=np.uint8)
    file = native_file(frames, PerFrameFunctionalGroupsSequence=[grouped(10), grouped(-500)])
    header = parse_header(file.header)
    raw = header.get_item("PerFrameFunctionalGroupsSequence")
    length = int.from_bytes(raw.value[4:8], "little")
    value = raw.value[:8] + b"\xff" * length + raw.value[8 + length :]
    header["PerFrameFunctionalGroupsSequence"] = RawDataElement(raw.tag, "SQ", len(value), value, 0, False, True)
    description = describe(header, file.transfer_syntax)
    assert np.all(look_at(render(header, description, file.frames[1], 2, PNG, 100)) == 255)
