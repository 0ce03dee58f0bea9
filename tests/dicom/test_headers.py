"""Headers as data sets, against pydicom's reading of the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from shared.dev.gallery.files import StoredFile
from shared.dicom.elements import PIXEL_KEYWORDS
from shared.dicom.pixels import CannotDecode
from shared.dicom.recoding import parse_header
from tests.dicom.viewing import native_file, picture_files, shipped_stored
from tests.support.files import file_parameters

SAMPLE = native_file(np.zeros((2, 3, 5, 3), dtype=np.uint8), ExplicitVRLittleEndian)
IMPLICIT_SAMPLE = native_file(np.zeros((2, 3, 5, 3), dtype=np.uint8), ImplicitVRLittleEndian)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2000), st.sampled_from([SAMPLE, IMPLICIT_SAMPLE]))
def test_a_header_that_is_cut_off_is_refused_or_read(at: int, stored: StoredFile) -> None:
    header = stored.header[: at % len(stored.header)]
    try:
        dataset = parse_header(header)
    except CannotDecode:
        return
    assert "PixelData" not in dataset


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", file_parameters(picture_files()))
def test_a_header_is_the_data_set_that_pydicom_reads(path: Path) -> None:
    stored = shipped_stored(path)
    header = parse_header(stored.header)
    raw = [element for element in header.values() if isinstance(element, RawDataElement)]
    assert len(raw) == len(header)  # nothing is converted before it is asked for
    theirs = pydicom.dcmread(path)
    missing = set(theirs.keys()) - set(header.keys())
    assert all(theirs[tag].VR in ("OB", "OW", "OB or OW", "UN", "OF", "OV") or tag > 0x7FE00010 for tag in missing)
    assert set(header.keys()) <= set(theirs.keys())
    for tag in header.keys():  # noqa: SIM118 - keys do not convert
        if tag in PIXEL_KEYWORDS:
            assert not header.get_item(tag).value
        elif isinstance(theirs[tag].value, Sequence):
            assert len(header[tag].value) == len(theirs[tag].value)
        else:
            assert header[tag].value == theirs[tag].value


def test_a_palette_is_held_and_other_bulk_is_not() -> None:
    stored = native_file(
        np.zeros((4, 4), dtype=np.uint8),
        RedPaletteColorLookupTableDescriptor=[2, 0, 16],
        RedPaletteColorLookupTableData=b"1234",
        EncapsulatedDocument=b"12",
    )
    header = parse_header(stored.header)
    assert header.RedPaletteColorLookupTableData == b"1234"
    assert "EncapsulatedDocument" not in header
    assert len(parse_header(native_file(np.zeros((4, 4), dtype=np.uint8)).header)) == len(header) - 2


def test_text_is_read_in_its_character_set() -> None:
    stored = native_file(np.zeros((4, 4), dtype=np.uint8), StudyDescription="Größe 漢字")
    assert parse_header(stored.header).StudyDescription == "Größe 漢字"
