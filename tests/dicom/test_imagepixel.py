"""What a data set must say about its pixels, and what nobody may believe."""

from __future__ import annotations

import pydicom
import pytest
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from shared.dicom.pixels import MAX_FRAME_BYTES, CannotDecode, describe
from tests.dicom import pictures as made
from tests.support.files import shipped_file

IMPLICIT = "1.2.840.10008.1.2"


def header(**attributes):
    dataset = Dataset()
    usual = {
        "Rows": 4,
        "Columns": 6,
        "SamplesPerPixel": 1,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PhotometricInterpretation": "MONOCHROME2",
    }
    for keyword, value in (usual | attributes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def test_all_attributes_are_taken_over():
    found = describe(
        header(SamplesPerPixel=3, PlanarConfiguration=1, PhotometricInterpretation="RGB ", NumberOfFrames=5),
        made.EXPLICIT,
    )
    assert (found.rows, found.columns, found.samples, found.planar, found.frames) == (4, 6, 3, 1, 5)
    assert (found.bits_allocated, found.bits_stored, found.high_bit, found.signed) == (16, 12, 11, False)
    assert (found.photometric, found.keyword, found.vr, found.little) == ("RGB", "PixelData", "OW", True)
    assert found.decoded_frame_bytes == found.native_frame_bytes == 4 * 6 * 3 * 2


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation"])
def test_what_a_picture_needs_must_be_there(keyword):
    with pytest.raises(CannotDecode, match=f"{keyword} is missing"):
        describe(header(**{keyword: None}), made.EXPLICIT)


def test_what_has_an_obvious_value_may_be_missing():
    found = describe(header(SamplesPerPixel=None, HighBit=None, PixelRepresentation=None), made.EXPLICIT)
    assert (found.samples, found.high_bit, found.signed, found.frames, found.planar) == (1, 11, False, 1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"Rows": 0},
        {"Columns": 0},
        {"SamplesPerPixel": 0},
        {"SamplesPerPixel": 5},
        {"BitsAllocated": 12},
        {"BitsAllocated": 72},
        {"BitsAllocated": 0},
        {"BitsStored": 17},
        {"BitsStored": 0},
        {"HighBit": 10},
        {"HighBit": 16},
        {"SamplesPerPixel": 3, "PlanarConfiguration": 2},
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(CannotDecode, match=f"{list(wrong)[-1]} cannot be"):
        describe(header(**wrong), made.EXPLICIT)


def test_a_value_that_is_no_number_is_refused_and_not_repeated():
    dataset = header()
    dataset[0x00280010] = RawDataElement(Tag(0x00280010), "US", 3, b"\1\2\3", 0, False, True)
    with pytest.raises(CannotDecode, match=r"^Rows is not one number\.$"):
        describe(dataset, made.EXPLICIT)


def test_several_values_where_one_is_due_are_refused():
    dataset = header()
    dataset[0x00280010] = DataElement(0x00280010, "US", [4, 5])
    dataset[0x00280004] = DataElement(0x00280004, "CS", ["RGB", "RGB"])
    with pytest.raises(CannotDecode, match="Rows"):
        describe(dataset, made.EXPLICIT)
    dataset.Rows = 4
    with pytest.raises(CannotDecode, match="PhotometricInterpretation"):
        describe(dataset, made.EXPLICIT)


def test_a_frame_that_no_memory_should_hold_is_refused():
    with pytest.raises(CannotDecode, match="65535 x 65535 pixels is too large"):
        describe(header(Rows=65535, Columns=65535), made.J2K)
    sides = header(Rows=16384, Columns=8192)
    assert describe(sides, made.J2K).decoded_frame_bytes == MAX_FRAME_BYTES


@pytest.mark.parametrize(("keyword", "vr", "bits"), [("FloatPixelData", "OF", 32), ("DoubleFloatPixelData", "OD", 64)])
def test_floating_point_needs_neither_bits_nor_a_sign(keyword, vr, bits):
    dataset = header(BitsStored=None, HighBit=None, PixelRepresentation=None, BitsAllocated=None)
    setattr(dataset, keyword, b"")
    for found in (describe(dataset, made.EXPLICIT), describe(header(), made.EXPLICIT, keyword=keyword)):
        assert (found.keyword, found.vr, found.bits_allocated, found.bits_stored) == (keyword, vr, bits, bits)


@pytest.mark.parametrize(
    ("syntax", "bits", "written", "vr"),
    [
        (made.EXPLICIT, 8, None, "OB"),
        (made.EXPLICIT, 16, None, "OW"),
        (made.BIG_ENDIAN, 8, "OW", "OW"),
        (made.EXPLICIT, 8, "OW", "OW"),
        (IMPLICIT, 8, None, "OW"),
        (made.RLE, 16, None, "OB"),
    ],
)
def test_the_vr_is_that_of_the_file_or_of_the_standard(syntax, bits, written, vr):
    dataset = header(BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1)
    if written:
        dataset[0x7FE00010] = DataElement(0x7FE00010, written, b"")
    assert describe(dataset, syntax).vr == vr
    assert describe(dataset, syntax, vr="OB").vr == "OB"


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "Rows": 3, "Columns": 3}, 2),
        (
            {
                "SamplesPerPixel": 3,
                "PhotometricInterpretation": "YBR_FULL_422",
                "BitsAllocated": 8,
                "BitsStored": 8,
                "HighBit": 7,
            },
            48,
        ),
    ],
)
def test_a_native_frame_is_as_long_as_its_bits(attributes, size):
    assert describe(header(**attributes), made.EXPLICIT).native_frame_bytes == size


def test_a_real_header_without_pixels_is_enough():
    path = shipped_file("CT_small.dcm")
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    found = describe(dataset, dataset.file_meta.TransferSyntaxUID)
    assert (found.rows, found.columns, found.signed, found.vr) == (128, 128, True, "OW")
