"""Pictures of real files against the formulas of the standard, written down once more here; and of odd ones."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRBigEndian

from shared.dicom.headers import parse_header
from shared.dicom.pixels import CannotDecode, describe
from shared.dicom.rendering import JPEG, PNG, render
from tests.dicom.viewing import (
    RAMP,
    SAME_PICTURE,
    SIGNED_RAMP,
    UNDECODABLE,
    look_at,
    native_file,
    picture_files,
    render_stored,
    shipped_stored,
    shown,
    signal_to_noise,
)
from tests.support.files import file_parameters, shipped_file


def groups_of(dataset: Dataset, sequence: str) -> list[Dataset]:
    """The places of an attribute for the first frame, from the general to the special."""
    places = [dataset]
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        groups = dataset.get(keyword)
        if groups and groups[0].get(sequence):
            places.append(groups[0][sequence].value[0])
    return places


def table_values(lut: Dataset, values: np.ndarray) -> np.ndarray:
    entries = lut.LUTData if isinstance(lut.LUTData, list) else np.frombuffer(lut.LUTData, "<u2")
    count, first, _ = lut.LUTDescriptor
    table = np.asarray(entries, dtype=float)
    return np.array([table[int(min(max(value - first, 0), (count or 65536) - 1))] for value in values.ravel()])


def first_number(value: Any) -> float:
    return float(value[0] if isinstance(value, MultiValue) else value)


def independent_grey(dataset: Dataset, stored: np.ndarray) -> np.ndarray:
    """PS3.3 §C.11.1 and §C.11.2 for one frame, in the plainest way."""
    values = stored.astype(float)
    ends = np.array([0.0, 2.0**dataset.BitsStored - 1])
    for place in groups_of(dataset, "PixelValueTransformationSequence"):
        if "ModalityLUTSequence" in place:
            values = table_values(place.ModalityLUTSequence[0], stored).reshape(stored.shape)
        elif "RescaleSlope" in place:
            slope, intercept = float(place.RescaleSlope), float(place.RescaleIntercept)
            values = stored * slope + intercept
            ends = ends * slope + intercept
    shades = None
    for place in groups_of(dataset, "FrameVOILUTSequence"):
        if "VOILUTSequence" in place:
            lut = place.VOILUTSequence[0]
            shades = table_values(lut, values).reshape(stored.shape) / (2 ** lut.LUTDescriptor[2] - 1)
        elif place.get("WindowCenter") is not None and place.get("WindowWidth") is not None:
            center, width = first_number(place.WindowCenter), first_number(place.WindowWidth)
            low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
            inside = (values - (center - 0.5)) / (width - 1) + 0.5
            shades = np.where(values <= low, 0, np.where(values > high, 1, inside))
    if shades is None and stored.dtype == np.uint8:
        shades = (values - ends.min()) / (ends.max() - ends.min())
    elif shades is None:
        image = values[stored != dataset.PixelPaddingValue] if "PixelPaddingValue" in dataset else values
        shades = np.clip((values - image.min()) / max(image.max() - image.min(), 1e-9), 0, 1)
    assert isinstance(shades, np.ndarray)
    return 255 * (1 - shades if dataset.PhotometricInterpretation == "MONOCHROME1" else shades)


def independent_palette(dataset: Dataset, indices: np.ndarray) -> np.ndarray:
    if "RedPaletteColorLookupTableData" not in dataset:
        return apply_color_lut(indices, dataset) / 257
    colours = []
    for colour in ("Red", "Green", "Blue"):
        count, first, bits = dataset[f"{colour}PaletteColorLookupTableDescriptor"].value
        data = dataset[f"{colour}PaletteColorLookupTableData"].value
        big = dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
        table = np.frombuffer(data, (">u2" if big else "<u2") if len(data) >= 2 * count else "u1")
        places = np.clip(indices.astype(int) - first, 0, (count or 65536) - 1)
        colours.append(table[places] / (257 if bits == 16 and table.max() > 255 else 1))
    return np.stack(colours, axis=-1)


def independent(dataset: Dataset) -> np.ndarray:
    samples = pixel_array(dataset, index=0)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return independent_palette(dataset, samples)
    if samples.ndim == 3:
        return samples / (2.0 ** (8 * samples.itemsize) - 1) * 255
    return independent_grey(dataset, samples)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", file_parameters(picture_files()))
def test_a_real_file_looks_as_the_standard_says(path: Path) -> None:
    stored = shipped_stored(path)
    dataset = pydicom.dcmread(shipped_file(SAME_PICTURE[path.name]) if path.name in SAME_PICTURE else path)
    if path.name == "badVR.dcm":
        del dataset.NumberOfFrames  # is "1A"
    wanted = np.clip(np.rint(independent(dataset)), 0, 255)
    picture = look_at(render_stored(stored))
    # Lossy decoders round differently, which a narrow window makes visible.
    assert signal_to_noise(wanted, picture) >= 60
    assert signal_to_noise(picture, look_at(render_stored(stored, media_type=JPEG))) >= 50


@pytest.mark.parametrize("name", sorted(UNDECODABLE))
def test_a_damaged_frame_is_refused(name: str) -> None:
    stored = shipped_stored(shipped_file(name))
    with pytest.raises(CannotDecode):
        render_stored(stored)


def test_sixteen_bits_of_colour_become_eight() -> None:
    samples = (np.arange(48, dtype=np.uint16) * 1300).reshape(4, 4, 3)
    assert np.array_equal(shown(samples), np.rint(samples / 65535 * 255))


def test_colour_of_twelve_bits_uses_the_full_range() -> None:
    samples = np.array([[[0, 2048, 4095]]], dtype=np.uint16)
    assert shown(samples, BitsStored=12, HighBit=11).tolist() == [[[0, 128, 255]]]


def test_pictures_have_no_alpha_and_grey_ones_one_channel() -> None:
    for media_type in (JPEG, PNG):
        for samples, mode in ((RAMP, "L"), (np.zeros((4, 4, 3), dtype=np.uint8), "RGB")):
            with Image.open(BytesIO(render_stored(native_file(samples), media_type=media_type))) as image:
                assert image.mode == mode
                assert image.format == media_type.partition("/")[2].upper()


def test_a_lower_quality_is_a_smaller_picture() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = native_file(noise)
    sizes = [len(render_stored(file, media_type=JPEG, quality=quality)) for quality in (1, 30, 60, 89, 90, 100)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(sizes)


def test_quality_does_not_matter_to_png() -> None:
    file = native_file(RAMP)
    assert render_stored(file, quality=1) == render_stored(file, quality=100)


def test_colour_keeps_its_resolution_at_high_quality() -> None:
    lines = np.zeros((16, 16, 3), dtype=np.uint8)
    lines[:, ::2, 0] = 255
    lines[:, 1::2, 2] = 255
    picture = look_at(render_stored(native_file(lines), media_type=JPEG, quality=100))
    assert signal_to_noise(lines, picture) > 40


def test_a_frame_that_is_too_wide_for_jpeg_is_refused_and_is_a_png() -> None:
    file = native_file(np.zeros((1, 65_535), dtype=np.uint8))
    with pytest.raises(CannotDecode, match="65500"):
        render_stored(file, media_type=JPEG)
    assert look_at(render_stored(file)).shape == (1, 65_535)


ODD_TEXT = st.sampled_from(
    [
        "",
        " ",
        "abc",
        "1",
        "-1",
        "0",
        "1e400",
        "nan",
        "inf",
        "1\\2",
        "\\",
        "\\5",
        "1_0",
        "9" * 300,
        "LINEAR",
        "1,5",
        "\0",
    ]
)


ODD_BYTES = st.one_of(ODD_TEXT.map(str.encode), st.binary(max_size=24))


TAGS = st.sampled_from(
    [
        (0x00281050, "DS"), (0x00281051, "DS"), (0x00281052, "DS"), (0x00281053, "DS"), (0x00281056, "CS"),
        (0x00280120, "US"), (0x00280121, "SS"), (0x00283000, "SQ"), (0x00283010, "SQ"), (0x52009229, "SQ"),
        (0x52009230, "SQ"), (0x00281101, "US"), (0x00281201, "OW"), (0x00281221, "OW"), (0x00281050, "UN"),
        (0x00281053, "FD"), (0x00281051, "US"), (0x00281101, "SS"), (0x00281102, "US"), (0x00281202, "OW"),
        (0x00281103, "US"), (0x00281203, "OW"), (0x00281222, "OW"), (0x00281223, "OW"),
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(TAGS, ODD_BYTES), max_size=8),
    st.sampled_from(["MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"]),
    st.sampled_from(["u1", "u2", "i2", "u4", "f4"]),
)
def test_odd_values_are_passed_over_or_refused(odd: list[Any], photometric: str, kind: str) -> None:
    samples = np.arange(16, dtype=kind).reshape(4, 4)
    file = native_file(samples, PhotometricInterpretation=photometric)
    header = parse_header(file.header)
    for (tag, vr), value in odd:
        header[tag] = RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)
    description = describe(header, file.transfer_syntax)
    try:
        picture = look_at(render(header, description, file.frames[0], 1, PNG, 100))
    except CannotDecode:
        assert photometric == "PALETTE COLOR"
    else:
        assert picture.shape[:2] == samples.shape


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "WindowCenter": st.floats(-1e6, 1e6),
            "WindowWidth": st.floats(-10, 1e6),
            "RescaleSlope": st.floats(-1e6, 1e6),
            "RescaleIntercept": st.floats(-1e6, 1e6),
            "PixelPaddingValue": st.integers(-32768, 32767),
        }
    )
)
def test_any_numbers_make_a_picture(attributes: dict[str, float]) -> None:
    header = parse_header(native_file(SIGNED_RAMP).header)
    for keyword, value in attributes.items():
        setattr(header, keyword, value if isinstance(value, int) else f"{value:.9g}")
    description = describe(header, "1.2.840.10008.1.2.1")
    assert look_at(render(header, description, SIGNED_RAMP.tobytes(), 1, PNG, 100)).shape == SIGNED_RAMP.shape
