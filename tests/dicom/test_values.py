"""Values of raw and converted elements, sound and broken: nothing raises, nothing warns, nothing is logged."""

from __future__ import annotations

import logging
from logging.handlers import BufferingHandler

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag

from shared.dicom.values import item, numbers, whole_numbers, word, words_of
from tests.dicom.viewing import item as dataset_of

CENTER, FUNCTION, PADDING, TABLE = 0x00281050, 0x00281056, 0x00280120, 0x00283006
GROUPS = 0x52009230


def raw(tag: int, vr: str | None, value: bytes | None, *, little: bool = True) -> Dataset:
    length = 0 if value is None else len(value)
    element = RawDataElement(BaseTag(tag), vr, length, value, 0, vr is None, little)
    return Dataset({BaseTag(tag): element})


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("DS", b"40\\-1.5e1 ", (40.0, -15.0)),
        (None, b" 7", (7.0,)),
        ("UN", b"7 ", (7.0,)),
        ("FD", b"\0\0\0\0\0\0\xf0\x3f", (1.0,)),
        ("US", b"\1\0\2\0\3", (1.0, 2.0)),
        ("DS", b"", ()),
        ("DS", None, ()),
        ("DS", b"40\\none", ()),
        ("DS", b"nan", ()),
        ("DS", b"1e999", ()),
        ("FD", b"\0\0\0\0\0\0\xf0\x7f", ()),
    ],
)
def test_numbers_of_raw_elements(vr: str | None, value: bytes | None, expected: tuple[float, ...]) -> None:
    assert numbers((raw(CENTER, vr, value),), CENTER) == expected


def test_numbers_follow_the_byte_order() -> None:
    assert numbers((raw(CENTER, "US", b"\1\2", little=False),), CENTER) == (258.0,)


def test_the_sign_of_an_ambiguous_value_is_that_of_the_pixels() -> None:
    """PS3.5 §A.1: in implicit VR the file does not say whether it is US or SS."""
    assert whole_numbers((raw(PADDING, None, b"\xff\xff"),), PADDING) == (65535,)
    signed = dataset_of(PixelRepresentation=1)
    assert whole_numbers((raw(PADDING, None, b"\xff\xff"), signed), PADDING) == (-1,)


def test_numbers_of_converted_elements() -> None:
    assert numbers((dataset_of(WindowCenter=[40, 50]),), CENTER) == (40.0, 50.0)
    assert numbers((dataset_of(WindowCenter=40),), CENTER) == (40.0,)
    assert numbers((dataset_of(WindowCenter=None),), CENTER) == ()
    assert numbers((dataset_of(PatientName="Nobody"),), 0x00100010) == ()
    assert numbers((Dataset(),), CENTER) == ()


@pytest.mark.parametrize("value", [b"sigmoid ", b"SIGMOID\\LINEAR", b"SIGMOID\0"])
def test_the_first_word_in_capitals(value: bytes) -> None:
    assert word(raw(FUNCTION, "CS", value), FUNCTION) == "SIGMOID"
    assert word(dataset_of(VOILUTFunction=["SIGMOID", "LINEAR"]), FUNCTION) == "SIGMOID"


def test_no_word_is_empty() -> None:
    assert word(Dataset(), FUNCTION) == ""
    assert word(dataset_of(VOILUTFunction=None), FUNCTION) == ""


def test_words_are_little_endian() -> None:
    assert words_of(raw(TABLE, "OW", b"\1\2\3\4", little=False), TABLE) == b"\2\1\4\3"
    assert words_of(raw(TABLE, "OW", b"\1\2\3\4"), TABLE) == b"\1\2\3\4"
    numbers_in_it = dataset_of(LUTData=b"")
    numbers_in_it["LUTData"].VR = "US"
    numbers_in_it.LUTData = [513, 65535]
    assert words_of(numbers_in_it, TABLE) == b"\1\2\xff\xff"
    assert words_of(Dataset(), TABLE) == b""


def groups(undefined: int) -> tuple[bytes, list[Dataset]]:
    """Raw bytes of a sequence of five items with sequences in them; each bit says which of the lengths is left out."""
    items = []
    for number in range(5):
        inner = dataset_of(WindowCenter=number, RedPaletteColorLookupTableData=bytes([number, 1]) * 3)
        inner.is_undefined_length_sequence_item = bool(undefined & 1)
        outer = dataset_of(FrameVOILUTSequence=[inner, dataset_of()] * (number % 3), InstanceNumber=number)
        if number % 3:
            outer["FrameVOILUTSequence"].is_undefined_length = bool(undefined & 2)
        outer.is_undefined_length_sequence_item = bool(undefined & 4)
        items.append(outer)
    written = DicomBytesIO()
    written.is_little_endian, written.is_implicit_VR = True, bool(undefined & 8)
    write_dataset(written, dataset_of(PerFrameFunctionalGroupsSequence=items))
    return written.getvalue(), items


@pytest.mark.parametrize("undefined", range(16))
def test_any_item_is_found_whatever_lengths_the_ones_before_it_leave_out(undefined: int) -> None:
    value, items = groups(undefined)
    vr = None if undefined & 8 else "SQ"
    sequence = raw(GROUPS, vr, value[8 if vr is None else 12 :])
    for index, expected in enumerate(items):
        found = item(sequence, GROUPS, index)
        assert found == expected
    assert item(sequence, GROUPS, len(items)) is None


def test_an_item_that_is_not_there_is_none() -> None:
    sequence = dataset_of(VOILUTSequence=[dataset_of(LUTExplanation="one")])
    assert item(sequence, 0x00283010) is sequence.VOILUTSequence[0]
    assert item(sequence, 0x00283010, 1) is None
    assert item(dataset_of(PatientID="x"), 0x00100020) is None
    assert item(raw(0x00283010, "SQ", b"no items"), 0x00283010) is None
    assert item(raw(0x00283010, "SQ", None), 0x00283010) is None


@given(
    st.sampled_from([CENTER, FUNCTION, PADDING, TABLE, 0x00283010, 0x00283002]),
    st.sampled_from([None, "DS", "US", "SS", "FD", "CS", "SQ", "OW", "UN", "ZZ", "PN"]),
    st.binary(max_size=40),
    st.integers(0, 3),
    st.booleans(),
)
def test_any_bytes_are_read_quietly(tag: int, vr: str | None, value: bytes, index: int, little: bool) -> None:
    dataset = raw(tag, vr, value, little=little)
    handler = BufferingHandler(1000)
    logging.getLogger("pydicom").addHandler(handler)
    try:
        numbers((dataset,), tag)
        whole_numbers((dataset,), tag)
        word(dataset, tag)
        words_of(dataset, tag)
        item(dataset, tag, index)
    finally:
        logging.getLogger("pydicom").removeHandler(handler)
    assert handler.buffer == []
