"""Modality LUTs, VOI LUTs and palettes, sound and broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from shared.dicom.pixels import CannotDecode
from tests.dicom.viewing import (
    RAMP,
    item,
    lut_item,
    shown,
)


def test_a_modality_table_comes_before_the_window() -> None:
    """PS3.3 §C.11.1.1: values before the first one get its entry, and those behind the last the last one's."""
    table = lut_item([10, 20, 30, 40], first=100, bits=16, ModalityLUTType="US")
    samples = np.array([[0, 100, 101], [102, 103, 4000]], dtype=np.uint16)
    picture = shown(samples, ModalityLUTSequence=[table], WindowCenter=25.5, WindowWidth=51)
    wanted = np.clip((np.array([[10, 10, 20], [30, 40, 40]]) - 25.0) / 50 + 0.5, 0, 1) * 255
    assert np.array_equal(picture, np.rint(wanted))


def test_a_voi_table_goes_before_a_window() -> None:
    table = lut_item([0, 255, 128], first=10)
    samples = np.array([[9, 10, 11, 12, 13]], dtype=np.uint16)
    picture = shown(samples, VOILUTSequence=[table], WindowCenter=5, WindowWidth=2)
    assert picture.tolist() == [[0, 0, 255, 128, 128]]


def test_a_voi_table_starts_at_a_negative_value() -> None:
    picture = shown(np.array([[-3, -2, -1, 0]], np.int16), VOILUTSequence=[lut_item([1, 2, 3], first=-2)])
    assert picture.tolist() == [[1, 1, 2, 3]]


def test_the_start_of_a_table_is_negative_where_rescaled_values_are() -> None:
    """PS3.3 §C.11.2.1.1; the VR of the descriptor follows the stored values, which have no sign."""
    table = lut_item([1, 2, 3], first=65534)
    picture = shown(np.array([[7, 8, 9, 10]], np.uint16), VOILUTSequence=[table], RescaleIntercept=-10, RescaleSlope=1)
    assert picture.tolist() == [[1, 1, 2, 3]]


def test_a_table_that_is_deeper_than_it_says_is_not_cut() -> None:
    picture = shown(np.array([[0, 1, 2]], dtype=np.uint16), VOILUTSequence=[lut_item([0, 2048, 4095], bits=8)])
    assert picture.tolist() == [[0, 128, 255]]


def test_entries_of_eight_bits_may_be_packed() -> None:
    table = item(LUTDescriptor=[4, 0, 8])
    table["LUTDescriptor"].VR = "US"
    table.LUTData = bytes([5, 6, 7, 8])
    table["LUTData"].VR = "OW"
    assert shown(np.array([[0, 1, 2, 3]], np.uint16), VOILUTSequence=[table]).tolist() == [[5, 6, 7, 8]]


def test_big_endian_tables_and_samples_look_the_same() -> None:
    table = lut_item([0, 255, 128, 7])
    samples = np.array([[0, 1], [2, 3]], dtype=np.uint16)
    little = shown(samples, VOILUTSequence=[table])
    table.LUTData = np.array([0, 255, 128, 7], dtype=">u2").tobytes()
    big = shown(samples.byteswap(), transfer_syntax="1.2.840.10008.1.2.2", VOILUTSequence=[table])
    assert np.array_equal(little, big)


def palette_of(red: bytes, green: bytes, blue: bytes, descriptor: list[int], prefix: str = "") -> dict[str, Any]:
    attributes: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, data in (("Red", red), ("Green", green), ("Blue", blue)):
        attributes[f"{colour}PaletteColorLookupTableDescriptor"] = descriptor
        attributes[f"{prefix}{colour}PaletteColorLookupTableData"] = data
    return attributes


def entries_of(*numbers: int, kind: str = "<u2") -> bytes:
    return np.array(numbers, dtype=kind).tobytes()


def test_a_palette_of_sixteen_bits() -> None:
    palette = palette_of(entries_of(0, 65535, 32896), entries_of(257, 514, 771), entries_of(65535, 0, 0), [3, 10, 16])
    picture = shown(np.array([[9, 10, 11, 12, 255]], dtype=np.uint8), **palette)
    assert picture.tolist() == [[[0, 1, 255], [0, 1, 255], [255, 2, 0], [128, 3, 0], [128, 3, 0]]]


def test_a_palette_of_bytes() -> None:
    palette = palette_of(bytes([1, 2, 3, 4]), bytes([5, 6, 7, 8]), bytes([9, 10, 11, 12]), [4, 0, 8])
    assert shown(np.array([[0, 3]], dtype=np.uint16), **palette).tolist() == [[[1, 5, 9], [4, 8, 12]]]


def test_a_dark_colour_is_as_deep_as_the_others() -> None:
    palette = palette_of(entries_of(255, 0), entries_of(65535, 0), entries_of(0, 0), [2, 0, 16])
    assert shown(np.array([[0, 1]], dtype=np.uint8), **palette).tolist() == [[[1, 255, 0], [0, 0, 0]]]


def test_a_palette_with_bytes_in_its_words_is_not_black() -> None:
    palette = palette_of(entries_of(255, 0), entries_of(128, 0), entries_of(0, 0), [2, 0, 16])
    assert shown(np.array([[0, 1]], dtype=np.uint8), **palette).tolist() == [[[255, 128, 0], [0, 0, 0]]]


def test_a_palette_starts_at_a_negative_index() -> None:
    palette = palette_of(entries_of(257, 514), entries_of(257, 514), entries_of(65535, 0), [2, -1, 16])
    picture = shown(np.array([[-5, -1, 0]], dtype=np.int16), **palette)
    assert picture[0, :, 0].tolist() == [1, 1, 2]


def test_a_segmented_palette_of_sixteen_bits() -> None:
    """PS3.3 §C.7.9.2: two entries, a ramp of four, and the first segment once more, which begins at byte 0."""
    segments = entries_of(0, 2, 0, 257, 1, 4, 257 * 9, 2, 1, 0, 0)
    palette = palette_of(segments, segments, segments, [8, 0, 16], prefix="Segmented")
    picture = shown(np.arange(8, dtype=np.uint8).reshape(1, 8), **palette)
    assert picture[0, :, 1].tolist() == [0, 1, 3, 5, 7, 9, 0, 1]


def test_an_indirect_segment_points_to_a_byte() -> None:
    segments = entries_of(0, 1, 257, 0, 1, 514, 0, 1, 65535, 2, 1, 6, 0)
    palette = palette_of(segments, segments, segments, [4, 0, 16], prefix="Segmented")
    assert shown(np.array([[0, 1, 2, 3]], np.uint8), **palette)[0, :, 0].tolist() == [1, 2, 255, 2]


def test_a_segmented_palette_of_bytes() -> None:
    segments = bytes([0, 2, 10, 20, 1, 2, 40, 2, 1, 0, 0, 0, 0, 0])
    palette = palette_of(segments, segments, segments, [6, 0, 8], prefix="Segmented")
    assert shown(np.arange(6, dtype=np.uint8).reshape(1, 6), **palette)[0, :, 2].tolist() == [10, 20, 30, 40, 10, 20]


@pytest.mark.parametrize(
    "segments",
    [b"", entries_of(1, 4, 5, 0), entries_of(7, 1, 1, 0), entries_of(2, 9, 0, 0), entries_of(0, 0, 0, 0)],
    ids=["empty", "ramp first", "unknown", "itself", "no length"],
)
def test_a_broken_palette_is_refused(segments: bytes) -> None:
    palette = palette_of(segments, segments, segments, [4, 0, 16], prefix="Segmented")
    with pytest.raises(CannotDecode, match="palette"):
        shown(np.array([[0, 1]], dtype=np.uint8), **palette)


def test_a_missing_palette_is_refused() -> None:
    with pytest.raises(CannotDecode, match="palette"):
        shown(np.array([[0, 1]], dtype=np.uint8), PhotometricInterpretation="PALETTE COLOR")


def test_a_supplemental_palette_is_ignored() -> None:
    palette = palette_of(entries_of(0, 65535), entries_of(0, 0), entries_of(0, 0), [2, 3000, 16])
    palette["PhotometricInterpretation"] = "MONOCHROME2"
    assert np.array_equal(shown(RAMP, PixelPresentation="MIXED", **palette), shown(RAMP))


def broken_tables() -> dict[str, Dataset]:
    tables = {
        "empty": item(),
        "no data": lut_item([1, 2, 3]),
        "no entries": lut_item([]),
        "no descriptor": lut_item([1, 2, 3]),
        "short descriptor": lut_item([1, 2, 3]),
    }
    del tables["no data"].LUTData
    del tables["no descriptor"].LUTDescriptor
    tables["short descriptor"]["LUTDescriptor"].value = [3, 0]
    return tables


@pytest.mark.parametrize("fault", broken_tables())
def test_a_broken_table_leaves_the_window(fault: str) -> None:
    table = broken_tables()[fault]
    window = {"RescaleSlope": 2, "RescaleIntercept": 1, "WindowCenter": 1000, "WindowWidth": 400}
    broken = shown(RAMP, VOILUTSequence=[table], ModalityLUTSequence=[table], **window)
    assert np.array_equal(broken, shown(RAMP, **window))
