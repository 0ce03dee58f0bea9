"""Files in another transfer syntax, against pydicom's reading of both and against the bytes they came from."""

from __future__ import annotations

import tracemalloc
from io import BytesIO
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from shared.dev.gallery.files import StoredFile
from shared.dicom.headers import read_header
from shared.dicom.pixels import CannotDecode, describe
from shared.dicom.recoding import Recoder, parse_header
from tests.dicom.viewing import SAME_PICTURE, native_file, picture_files, shipped_stored, stored_file
from tests.support.files import file_parameters, shipped_file, synthetic_instance

ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
TARGETS = (ExplicitVRLittleEndian, JPEG2000Lossless)
LOSSY = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81, 91)}

PIXEL_MODULE = {0x00280004, 0x00280006, 0x00280100, 0x00280101, 0x00280102}
OF_THE_ENCODING = {0x7FE00000, 0x7FE00001, 0x7FE00002, 0x7FE00003, 0x7FE00010}

# More than 16 bits, or numbers with fractions.
NOT_FOR_JPEG_2000 = {"rtdose", "32bit", "badVR"}


def recoder_of(stored: StoredFile, target: str, trailer: bytes | None = None) -> Recoder:
    description = describe(parse_header(stored.header), stored.transfer_syntax)
    return Recoder(stored.header, stored.trailer if trailer is None else trailer, description, target)


def recode(stored: StoredFile, target: str, trailer: bytes | None = None) -> bytes:
    recoder = recoder_of(stored, target, trailer)
    whole = recoder.head() + b"".join(map(recoder.frame, stored.frames)) + recoder.tail()
    assert recoder.length_bytes in (None, len(whole))
    assert (recoder.length_bytes is None) == (target == JPEG2000Lossless)
    return whole


def raw_elements(content: bytes) -> dict[int, bytes]:
    """The top-level elements of a file in explicit VR little endian before its pixel data, byte for byte."""
    pixels = read_header_of(content).pixels
    assert pixels is not None
    header = content[: pixels.value_start]
    return {span.tag: header[span.start : span.stop] for span in read_header(header).spans}


def read_header_of(content: bytes) -> Any:
    stored = stored_file(content)
    return read_header(stored.header)


def recodable_files(target: str) -> list[Path]:
    """The files that are not in that syntax anyway, and that can be."""
    return [
        path
        for path in picture_files()
        if SYNTAXES[path] != target
        and (target == ExplicitVRLittleEndian or not any(part in path.name for part in NOT_FOR_JPEG_2000))
    ]


SYNTAXES = {path: shipped_stored(path).transfer_syntax for path in picture_files()}
LARGE_NUMBERS = [path for path in picture_files() if any(part in path.name for part in NOT_FOR_JPEG_2000)]


@pytest.mark.parametrize("path", file_parameters(LARGE_NUMBERS))
def test_numbers_that_are_too_large_for_jpeg_2000_are_refused(path: Path) -> None:
    stored = shipped_stored(path)
    with pytest.raises(CannotDecode, match="16 bits"):
        recode(stored, JPEG2000Lossless)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", file_parameters(recodable_files(ExplicitVRLittleEndian)))
def test_a_real_file_is_the_same_in_explicit_little_endian(path: Path) -> None:
    assert_same(path, ExplicitVRLittleEndian)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", file_parameters(recodable_files(JPEG2000Lossless)))
def test_a_real_file_is_the_same_in_jpeg_2000(path: Path) -> None:
    assert_same(path, JPEG2000Lossless)


def assert_same(path: Path, target: str) -> None:
    stored = shipped_stored(path)
    content = recode(stored, target)
    result = pydicom.dcmread(BytesIO(content))
    source = pydicom.dcmread(shipped_file(SAME_PICTURE[path.name]) if path.name in SAME_PICTURE else path)
    if path.name == "badVR.dcm":
        del source.NumberOfFrames, result.NumberOfFrames  # is "1A"
    assert result.file_meta.TransferSyntaxUID == target
    tolerance = 2 if stored.transfer_syntax in LOSSY else 0
    for index in range(len(stored.frames)):
        wanted, got = pixel_array(source, index=index), pixel_array(result, index=index)
        assert wanted.shape == got.shape
        assert np.abs(wanted.astype(np.int64) - got.astype(np.int64)).max() <= tolerance
    assert_elements_kept(stored, content, pydicom.dcmread(path), pydicom.dcmread(BytesIO(content)))


def assert_elements_kept(stored: StoredFile, content: bytes, source: Dataset, result: Dataset) -> None:
    tags = set(source.keys())
    kept = {tag for tag in tags if tag not in OF_THE_ENCODING and (tag.element or tag.group < 8)}
    assert kept - set(result.keys()) <= {0x00280006}
    # Group lengths stay where nothing of their group has changed.
    assert {tag for tag in set(result.keys()) - kept if tag.element} <= {0x00280006, 0x7FE00010}
    assert 0x7FE00000 not in result
    reader = read_header(stored.header)
    if not reader.implicit and reader.little:
        before = {span.tag: stored.header[span.start : span.stop] for span in reader.spans}
        after = raw_elements(content)
        changed = {tag for tag in after if after[tag] != before.get(tag)}
        assert changed <= PIXEL_MODULE
        assert content.endswith(stored.trailer)
    elif reader.little:
        for tag in kept - PIXEL_MODULE:
            assert result[tag].value == source[tag].value, tag
    meta_kept = [element for element in source.file_meta if element.tag not in (0x00020000, 0x00020010)]
    assert meta_kept == [element for element in result.file_meta if element.tag not in (0x00020000, 0x00020010)]
    group_start = 132 + 12
    assert content[group_start + result.file_meta.FileMetaInformationGroupLength :][:2] != b"\2\0"
    assert content[group_start + result.file_meta.FileMetaInformationGroupLength - 2 :][:2] != b"\2\0"


def odd_elements() -> bytes:
    """What a data set of explicit VR little endian may hold that a parser would not write again, in tag order."""

    def short(tag: int, vr: bytes, value: bytes) -> bytes:
        return pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value

    def long(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
        size = len(value) if length is None else length
        return pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, size) + value

    item_start, item_end = b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0"
    end = b"\xfe\xff\xdd\xe0\0\0\0\0"
    implicit_element = pack("<HHL", 0x0009, 0x1002, 4) + b"abc "
    pieces = [
        short(0x00090010, b"LO", b"ODD CREATOR "),
        long(0x00091001, b"UN", item_start + implicit_element + item_end + end, 0xFFFFFFFF),
        long(0x00091003, b"SQ", item_start + short(0x00080005, b"CS", b"") + item_end + end, 0xFFFFFFFF),
        long(0x00091004, b"SQ", b"\xfe\xff\x00\xe0\0\0\0\0"),
        long(0x00091005, b"OB", b"\xfe\xff\x00\xe0\4\0\0\0abcd" + end, 0xFFFFFFFF),
        short(0x00091006, b"ZZ", b"no VR that anybody knows"),
        short(0x00180050, b"DS", b"not a number"),
        short(0x00180060, b"DS", b"1.123456789012345678901234567890"),
        short(0x00189073, b"FD", b"short!"),
        short(0x00200013, b"IS", b"\\\\\\ "),
    ]
    return b"".join(pieces)


def odd_file(syntax: str, value: DataElement, **attributes: Any) -> bytes:
    """A file in RGB with the odd elements before group 0028, and group lengths and offset tables that become wrong."""
    content = synthetic_instance(
        transfer_syntax=syntax,
        extra={
            "InstanceNumber": None,
            "Rows": 3,
            "Columns": 5,
            "SamplesPerPixel": 3,
            "PhotometricInterpretation": "RGB",
            "BitsAllocated": 8,
            "BitsStored": 8,
            "HighBit": 7,
            **attributes,
        },
    )
    dataset = pydicom.dcmread(BytesIO(content))
    dataset["PixelData"] = value
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    content = file.getvalue()
    image = content.index(pack("<HH2s", 0x0028, 0x0002, b"US"))
    return content[:image] + odd_elements() + pack("<HH2sHL", 0x0028, 0, b"UL", 4, 777) + content[image:]


def encapsulated_file(frames: list[bytes], **attributes: Any) -> bytes:
    value = DataElement(0x7FE00010, "OB", encapsulate(frames), is_undefined_length=True)
    syntax = ENCAPSULATED_UNCOMPRESSED
    return odd_file(syntax, value, NumberOfFrames=len(frames), **attributes)


COLOURS = np.random.default_rng(11).integers(0, 256, (2, 3, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("target", TARGETS, ids=["explicit", "jpeg2000"])
def test_what_nobody_understands_comes_through_byte_for_byte(target: str) -> None:
    tables = encapsulate_extended([frame.tobytes() for frame in COLOURS])
    content = encapsulated_file(
        [frame.tobytes() for frame in COLOURS],
        PlanarConfiguration=0,
        ExtendedOffsetTable=tables[1],
        ExtendedOffsetTableLengths=tables[2],
    )
    trailer = (
        pack("<HH2sHL", 0x7FE1, 0x0010, b"OB", 0, 4) + b"more" + pack("<HH2sHL", 0xFFFC, 0xFFFC, b"OB", 0, 2) + b"\0\0"
    )
    stored = stored_file(content + trailer)
    assert stored.trailer == trailer
    recoded = recode(stored, target)
    assert odd_elements() in recoded
    assert recoded.endswith(trailer)
    tags = [span.tag for span in read_header(stored_file(recoded).header).spans]
    assert not OF_THE_ENCODING & set(tags)
    assert (0x00280000 in tags) == (target == ExplicitVRLittleEndian)  # there, nothing of its group has changed
    dataset = pydicom.dcmread(BytesIO(recoded))
    assert np.array_equal(pixel_array(dataset), COLOURS)


def test_compressed_colour_says_what_it_is() -> None:
    """PS3.5 §8.2.4: the codec's colour transformation is told by PhotometricInterpretation."""
    stored = native_file(COLOURS[0], PlanarConfiguration=0)
    dataset = pydicom.dcmread(BytesIO(recode(stored, JPEG2000Lossless)))
    assert (dataset.PhotometricInterpretation, dataset.PlanarConfiguration) == ("YBR_RCT", 0)
    assert dataset["PixelData"].VR == "OB"
    assert np.array_equal(pixel_array(dataset), COLOURS[0])


def test_planes_become_pixels() -> None:
    planes = np.ascontiguousarray(COLOURS[0].transpose(2, 0, 1))
    stored = native_file(COLOURS[0], PlanarConfiguration=1, PixelData=planes.tobytes() + b"\0")
    dataset = pydicom.dcmread(BytesIO(recode(stored, JPEG2000Lossless)))
    assert dataset.PlanarConfiguration == 0
    assert np.array_equal(pixel_array(dataset), COLOURS[0])


def test_what_was_lossy_stays_so() -> None:
    """PS3.3 §C.7.6.1.1.5: that pixels went through lossy compression once is never taken back."""
    path = shipped_file("SC_rgb_jpeg_dcmtk.dcm")
    stored = shipped_stored(path)
    before = pydicom.dcmread(path)
    for target in TARGETS:
        after = pydicom.dcmread(BytesIO(recode(stored, target)))
        for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "SOPInstanceUID", "ImageType"):
            assert after.get(keyword) == before.get(keyword)


def test_a_missing_planar_configuration_is_put_in_its_place() -> None:
    content = encapsulated_file([COLOURS[0].tobytes()])
    recoded = recode(stored_file(content), ExplicitVRLittleEndian)
    dataset = pydicom.dcmread(BytesIO(recoded))
    assert dataset.PlanarConfiguration == 0
    tags = [span.tag for span in read_header(stored_file(recoded).header).spans]
    assert tags[tags.index(0x00280006) - 1] == 0x00280004


def test_an_odd_number_of_pixels_is_padded() -> None:
    content = encapsulated_file([COLOURS[0].tobytes()])
    recoded = recode(stored_file(content), ExplicitVRLittleEndian)
    assert len(COLOURS[0].tobytes()) % 2
    assert recoded.endswith(COLOURS[0].tobytes() + b"\0")


def test_fragments_are_even_and_follow_an_empty_table() -> None:
    """PS3.5 §A.4."""
    for size in range(4, 12):
        noise = np.random.default_rng(size).integers(0, 4096, (2, size, size), dtype=np.uint16)
        recoded = recode(native_file(noise, BitsStored=12, HighBit=11), JPEG2000Lossless)
        value = pydicom.dcmread(BytesIO(recoded)).PixelData
        assert value[:8] == b"\xfe\xff\x00\xe0\0\0\0\0"
        frames = list(generate_frames(value, number_of_frames=2))
        assert [len(frame) % 2 for frame in frames] == [0, 0]
        assert all(frame.startswith(b"\xff\x4f\xff\x51") for frame in frames)


@pytest.mark.parametrize("side", [3, 4, 5, 7])
def test_frames_of_single_bits_are_joined(side: int) -> None:
    """PS3.5 §8.1.1: the first bit of a frame follows the last one of the frame before."""
    frames = np.random.default_rng(side).integers(0, 2, (5, side, side), dtype=np.uint8)
    stored_apart = [np.packbits(frame.reshape(-1), bitorder="little").tobytes() for frame in frames]
    content = encapsulated_file(
        [frame + b"\0" * (len(frame) % 2) for frame in stored_apart],
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        Rows=side,
        Columns=side,
    )
    dataset = pydicom.dcmread(BytesIO(recode(stored_file(content), ExplicitVRLittleEndian)))
    joined = np.packbits(frames.reshape(-1), bitorder="little").tobytes()
    assert dataset.PixelData == joined + b"\0" * (len(joined) % 2)
    assert np.array_equal(pixel_array(dataset), frames)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=["implicit", "big endian", "deflated"],
)
@pytest.mark.parametrize("target", TARGETS, ids=["explicit", "jpeg2000"])
def test_other_encodings_of_the_data_set_become_explicit(syntax: str, target: str) -> None:
    item = Dataset()
    item.ReferencedFrameNumber = [1, 2]
    content = synthetic_instance(
        transfer_syntax=syntax,
        frames=3,
        columns=6,
        extra={"ReferencedImageSequence": [item], "SmallestImagePixelValue": 1, "DataSetTrailingPadding": b"\1\2\3\4"},
    )
    source = pydicom.dcmread(BytesIO(content))
    result = pydicom.dcmread(BytesIO(recode(stored_file(content), target)))
    assert result.file_meta.TransferSyntaxUID == target
    for element in source:
        if element.keyword not in ("PixelData", "DataSetTrailingPadding"):
            assert result[element.tag] == element, element.tag
    assert len(result.DataSetTrailingPadding) == 4
    assert np.array_equal(pixel_array(result), pixel_array(source))


def test_an_implicit_data_set_in_a_compressed_file_becomes_explicit() -> None:
    """Some writers name a compressed transfer syntax and write the data set in implicit VR."""
    explicit = stored_file(pydicom_bytes(shipped_file("MR_small_RLE.dcm")))
    implicit = pydicom.dcmread(shipped_file("MR_small_RLE.dcm"))
    value = DataElement(0x7FE00010, "OB", implicit.PixelData, is_undefined_length=True)
    del implicit["PixelData"]
    file = BytesIO()
    pydicom.dcmwrite(file, Dataset(implicit), implicit_vr=True, little_endian=True, force_encoding=True)
    body = file.getvalue()
    meta_end = 132 + 12 + implicit.file_meta.FileMetaInformationGroupLength
    pixel_header = pack("<HHL", 0x7FE0, 0x0010, 0xFFFFFFFF)
    header = explicit.header[:meta_end] + body + pixel_header
    stored = StoredFile("test", RLELossless, header, explicit.frames, b"")
    result = pydicom.dcmread(BytesIO(recode(stored, ExplicitVRLittleEndian)))
    assert value.VR == "OB"
    assert np.array_equal(pixel_array(result), pixel_array(shipped_file("MR_small_RLE.dcm")))


def pydicom_bytes(path: Path) -> bytes:
    return path.read_bytes()


@pytest.mark.parametrize("target", TARGETS, ids=["explicit", "jpeg2000"])
def test_missing_and_surplus_frames_are_noticed(target: str) -> None:
    stored = native_file(np.zeros((3, 4, 4), dtype=np.uint16), ImplicitVRLittleEndian)
    recoder = recoder_of(stored, target)
    recoder.frame(stored.frames[0])
    with pytest.raises(CannotDecode, match="fewer"):
        recoder.tail()
    recoder.frame(stored.frames[1])
    recoder.frame(stored.frames[2])
    with pytest.raises(CannotDecode, match="more"):
        recoder.frame(stored.frames[2])
    recoder.tail()


def test_fractions_are_not_compressed() -> None:
    stored = native_file(np.ones((4, 4), dtype=np.float32))
    with pytest.raises(CannotDecode):
        recoder_of(stored, JPEG2000Lossless)


def test_fractions_lose_their_encoding_only() -> None:
    samples = np.linspace(0, 1, 16, dtype=np.float64).reshape(4, 4)
    recoded = recode(native_file(samples, ImplicitVRLittleEndian), ExplicitVRLittleEndian)
    dataset = pydicom.dcmread(BytesIO(recoded))
    assert dataset["DoubleFloatPixelData"].VR == "OD"
    assert dataset.DoubleFloatPixelData == samples.tobytes()


def test_other_targets_are_refused() -> None:
    with pytest.raises(CannotDecode):
        recoder_of(native_file(np.zeros((4, 4), dtype=np.uint8)), "1.2.840.10008.1.2.4.50")


def test_pixel_data_that_does_not_fit_into_a_length_is_refused() -> None:
    stored = shipped_stored(shipped_file("MR_small_RLE.dcm"))
    header = parse_header(stored.header)
    header.NumberOfFrames = 600_000
    description = describe(header, stored.transfer_syntax)
    with pytest.raises(CannotDecode, match="longer"):
        Recoder(stored.header, b"", description, ExplicitVRLittleEndian)


def test_a_file_without_pixel_data_is_refused() -> None:
    stored = native_file(np.zeros((4, 4), dtype=np.uint8))
    description = describe(parse_header(stored.header), stored.transfer_syntax)
    pixels = read_header(stored.header).pixels
    assert pixels is not None
    with pytest.raises(CannotDecode, match="no pixel data"):
        Recoder(stored.header[: pixels.start], b"", description, JPEG2000Lossless)


def test_memory_does_not_grow_with_the_number_of_frames() -> None:
    samples = np.zeros((1, 128, 128), dtype=np.uint16)
    stored = native_file(samples, ExplicitVRBigEndian, NumberOfFrames=400)
    recoder = recoder_of(stored, JPEG2000Lossless)
    recoder.frame(stored.frames[0])
    tracemalloc.start()
    for _ in range(399):
        recoder.frame(stored.frames[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    recoder.tail()
    assert peak < 10 * samples.nbytes


SAMPLE = native_file(COLOURS, ExplicitVRLittleEndian)
IMPLICIT_SAMPLE = native_file(COLOURS, ImplicitVRLittleEndian)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([SAMPLE, IMPLICIT_SAMPLE]),
    st.integers(0, 2000),
    st.binary(min_size=1, max_size=12),
    st.sampled_from(TARGETS),
    st.binary(max_size=20),
)
def test_a_damaged_header_is_refused_or_recoded(
    stored: StoredFile, at: int, damage: bytes, target: str, trailer: bytes
) -> None:
    at %= len(stored.header)
    header = stored.header[:at] + damage + stored.header[at + len(damage) :]
    description = describe(parse_header(stored.header), stored.transfer_syntax)
    try:
        parse_header(header)
        recoder = Recoder(header, trailer, description, target)
    except CannotDecode:
        return
    whole = recoder.head() + b"".join(map(recoder.frame, stored.frames)) + recoder.tail()
    assert whole[128:132] == b"DICM"
