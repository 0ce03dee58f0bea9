"""The re-encoder: every shipped file in an uncompressed syntax, against pydicom's reading of the source."""

from __future__ import annotations

import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from shared.dicom.part10 import NotDicom, Part10Scanner, read_dataset
from shared.dicom.transcoding import ExplicitLittleWriter, can_rewrite
from tests.support.files import file_parameters, shipped_file, sound_files, synthetic_instance

SOURCES = (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
WORD_TYPES = {"OW": "u2", "OF": "u4", "OL": "u4", "OD": "u8", "OV": "u8"}


def syntax_of(path: Path) -> str:
    return str(read_file_meta_info(path).get("TransferSyntaxUID", ""))


def rewritable_files() -> list[Path]:
    return [path for path in sound_files() if can_rewrite(syntax_of(path))]


def rewrite(data: bytes, syntax: str, chunk_bytes: int = 65_536) -> bytes:
    writer = ExplicitLittleWriter(syntax)
    pieces = [writer.feed(data[at : at + chunk_bytes]) for at in range(0, len(data), chunk_bytes)]
    return b"".join([*pieces, writer.finish()])


def little(value: bytes, vr: str, dataset: Dataset) -> bytes:
    """A big endian bulk value in little endian, the way numpy does it."""
    kind = WORD_TYPES.get(vr)
    if kind is None:
        return value
    if vr == "OW" and dataset.get("BitsAllocated") == 32 and "PixelData" in dataset:
        kind = "u4"
    return np.frombuffer(value, dtype=f">{kind}").astype(f"<{kind}").tobytes()


def assert_equal(source: Dataset, result: Dataset) -> None:
    tags = [tag for tag in source.keys() if tag.element or tag.group <= 6]  # noqa: SIM118 - keys do not convert
    assert list(result.keys()) == tags
    for tag in tags:
        wanted, got = source[tag], result[tag]
        assert got.VR == wanted.VR, tag
        if wanted.VR == "SQ":
            assert len(got.value) == len(wanted.value)
            for item, other in zip(got.value, wanted.value, strict=True):
                assert_equal(other, item)
        elif source.is_big and wanted.value is not None:
            expected = little(wanted.value, wanted.VR, source) if wanted.VR in WORD_TYPES else wanted.value
            assert got.value == expected, tag
        else:
            assert got.value == wanted.value, tag


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", file_parameters(rewritable_files()))
def test_a_real_file_says_the_same_in_explicit_little_endian(path: Path) -> None:
    data = path.read_bytes()
    source = pydicom.dcmread(BytesIO(data))
    rewritten = rewrite(data, syntax_of(path))
    result = pydicom.dcmread(BytesIO(rewritten))
    mark_byte_order(source, big=source.file_meta.TransferSyntaxUID == ExplicitVRBigEndian)
    assert result.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert result.preamble == source.preamble
    assert_equal(source, result)
    if "Rows" in source and "PixelData" in source:
        assert np.array_equal(result.pixel_array, source.pixel_array)
    scanner = Part10Scanner()
    scanner.feed(rewritten)
    scanned = scanner.finish()
    assert scanned.transfer_syntax == ExplicitVRLittleEndian
    read_dataset(scanned)


@pytest.mark.parametrize("name", ["SC_rgb_expb_16bit.dcm", "SC_rgb_expb_32bit.dcm"])
def test_samples_are_turned_around_whole_where_their_vr_has_bytes(name: str) -> None:
    """Writers use OB for more than 8 bits. The shipped files have values that read the same both ways; these do not."""
    data = shipped_file(name).read_bytes()
    size_bytes = len(pydicom.dcmread(BytesIO(data)).PixelData)
    assert data[-size_bytes:] == pydicom.dcmread(BytesIO(data)).PixelData
    source = data[:-size_bytes] + (bytes(range(251)) * size_bytes)[:size_bytes]
    result = pydicom.dcmread(BytesIO(rewrite(source, ExplicitVRBigEndian)))
    assert np.array_equal(result.pixel_array, pydicom.dcmread(BytesIO(source)).pixel_array)


def mark_byte_order(dataset: Dataset, *, big: bool) -> None:
    """Let `assert_equal` know, down to the innermost item."""
    object.__setattr__(dataset, "is_big", big)
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                mark_byte_order(item, big=big)


def sequences(syntax: str, **extra: Any) -> bytes:
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    item.ReferencedFrameNumber = [1, 2]
    lut = Dataset()
    lut.LUTDescriptor = [4, 0, 16]
    lut.LUTData = b"\1\2\3\4\5\6\7\x08"
    lut["LUTDescriptor"].VR = "US"
    lut["LUTData"].VR = "OW"
    return synthetic_instance(
        transfer_syntax=syntax,
        columns=4,
        extra={"ReferencedImageSequence": [item, item], "ModalityLUTSequence": [lut], **extra},
    )


@pytest.mark.parametrize("syntax", SOURCES, ids=lambda uid: uid.name)
def test_chunks_do_not_matter(syntax: str) -> None:
    data = sequences(syntax)
    whole = rewrite(data, syntax)
    assert all(rewrite(data, syntax, chunk_bytes) == whole for chunk_bytes in (1, 2, 3, 7, 100))


@pytest.mark.parametrize(("representation", "vr", "value"), [(0, "US", 65535), (1, "SS", -1)])
def test_us_or_ss_follows_pixel_representation(representation: int, vr: str, value: int) -> None:
    data = sequences(
        ImplicitVRLittleEndian, PixelRepresentation=representation, SmallestImagePixelValue=0, PixelPaddingValue=value
    )
    result = pydicom.dcmread(BytesIO(rewrite(data, ImplicitVRLittleEndian)))
    assert (result["PixelPaddingValue"].VR, result.PixelPaddingValue) == (vr, value)


def test_a_tag_before_pixel_representation_waits_for_it() -> None:
    data = sequences(ImplicitVRLittleEndian, PixelRepresentation=1, ZeroVelocityPixelValue=-2)
    result = pydicom.dcmread(BytesIO(rewrite(data, ImplicitVRLittleEndian)))
    assert (result["ZeroVelocityPixelValue"].VR, result.ZeroVelocityPixelValue) == ("SS", -2)


def test_words_are_turned_around_in_nested_bulk() -> None:
    result = pydicom.dcmread(BytesIO(rewrite(sequences(ExplicitVRBigEndian), ExplicitVRBigEndian)))
    assert result.ModalityLUTSequence[0].LUTData == b"\2\1\4\3\6\5\x08\7"


def test_a_long_value_of_a_short_vr_becomes_unknown() -> None:
    """PS3.5 §6.2.2: 16 bits cannot hold its length."""
    data = sequences(ImplicitVRLittleEndian, PixelSpacing=["1.0"] * 20_000)
    result = pydicom.dcmread(BytesIO(rewrite(data, ImplicitVRLittleEndian)))
    assert result.get_item("PixelSpacing").VR == "UN"
    assert len(result.get_item("PixelSpacing").value) == 80_000


def test_the_group_length_of_the_file_meta_information_fits() -> None:
    rewritten = rewrite(sequences(ImplicitVRLittleEndian), ImplicitVRLittleEndian)
    length = int.from_bytes(rewritten[140:144], "little")
    assert rewritten[144 + length : 148 + length] == b"\x08\x00\x05\x00"


@pytest.mark.parametrize("syntax", SOURCES, ids=lambda uid: uid.name)
def test_a_cut_file_is_refused(syntax: str) -> None:
    with pytest.raises(NotDicom):
        rewrite(sequences(syntax)[:-3], syntax)


def test_encapsulated_pixels_where_none_may_be_are_refused() -> None:
    data = synthetic_instance(transfer_syntax=JPEG2000Lossless)
    with pytest.raises(NotDicom, match="encapsulated"):
        rewrite(data, JPEG2000Lossless)


def test_only_the_uncompressed_syntaxes_are_rewritten() -> None:
    assert all(can_rewrite(syntax) for syntax in SOURCES)
    assert not can_rewrite(JPEG2000Lossless)
    assert not can_rewrite(ExplicitVRLittleEndian)


def test_pixels_pass_through_and_are_not_held() -> None:
    data = synthetic_instance(transfer_syntax=ExplicitVRBigEndian, pixel_bytes=20_000_000)
    writer = ExplicitLittleWriter(ExplicitVRBigEndian)
    view, written = memoryview(data), 0
    tracemalloc.start()
    for at in range(0, len(data), 65_536):
        written += len(writer.feed(view[at : at + 65_536]))
    written += len(writer.finish())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert written > 20_000_000
    assert peak < 1_000_000
