"""The scanner: real files, every way to cut them, and bytes that are no DICOM."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from shared.behaviours import InvalidOtherValue, InvalidSearchableValue, NulPadding, PatientIdRule
from shared.dicom.elements import BULK_VRS
from shared.dicom.nested import MAX_DEPTH
from shared.dicom.part10 import NotDicom, Part10Scanner, ScannedFile, read_dataset
from shared.dicom.validation import ValidationRules, check
from shared.wire.dicomjson import dataset_to_json, dumps
from tests.support.files import BROKEN_FILES, shipped_file, sound_files, synthetic_instance

LENIENT = ValidationRules(
    PatientIdRule.MUST_BE_PRESENT, InvalidSearchableValue.WARN, InvalidOtherValue.WARN, NulPadding.TRIMMED
)
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
)
ITEM = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
ITEM_END = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00"
SEQUENCE_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
SEQUENCE = b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff"
PIXELS_UNDEFINED = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"


def scan(data: bytes, chunks: Iterable[int] = (), **limits: int) -> ScannedFile:
    scanner = Part10Scanner(**limits)
    at = 0
    for size in chunks:
        scanner.feed(data[at : at + size])
        at += size
    scanner.feed(data[at:])
    return scanner.finish()


def explicit_file(body: bytes) -> bytes:
    """A file with nothing but a transfer syntax and the given data set in Explicit VR Little Endian."""
    return bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0" + body


@lru_cache
def sample(syntax: str) -> bytes:
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    item.ReferencedFrameNumber = [1, 2]
    outer = Dataset()
    outer.ReferencedImageSequence = [item, Dataset()]
    outer.is_undefined_length_sequence_item = True
    data = synthetic_instance(
        transfer_syntax=syntax,
        columns=4,
        frames=2,
        sop_instance_uid="1.2.3.4",
        study_uid="1.2",
        series_uid="1.3",
        extra={"ReferencedSeriesSequence": [outer, outer], "RescaleSlope": "1.10"},
    )
    assert len(data) < 2500
    return data


@pytest.mark.filterwarnings("ignore")
def test_real_files_give_all_but_their_bulk_and_the_place_of_their_pixels() -> None:
    for path in sound_files():
        data = path.read_bytes()
        scanned = scan(data)
        wanted = pydicom.dcmread(BytesIO(data))
        assert scanned.size_bytes == len(data), path
        assert_kept(read_dataset(scanned), wanted)
        assert_pixels_found(data, scanned, wanted)


def assert_kept(dataset: Dataset, wanted: Dataset) -> None:
    assert set(dataset.keys()) <= set(wanted.keys())
    for tag in set(wanted.keys()) - set(dataset.keys()):
        unknown = tag.is_private and wanted.get_item(tag).VR in (None, "UN")
        assert unknown or wanted[tag].VR in BULK_VRS


def assert_pixels_found(data: bytes, scanned: ScannedFile, wanted: Dataset) -> None:
    pixels = scanned.pixels
    keywords = [keyword for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if keyword in wanted]
    assert ([pixels.keyword] if pixels else []) == keywords
    if pixels is None or pixels.offset_bytes is None:
        return
    value = data[pixels.offset_bytes : pixels.offset_bytes + pixels.length_bytes]
    element = wanted[pixels.keyword]
    assert (pixels.vr, pixels.encapsulated) == (element.VR, element.is_undefined_length)
    assert value == element.value
    if pixels.encapsulated:
        assert sum(pixels.fragment_lengths) + 8 * len(pixels.fragment_lengths) == pixels.length_bytes
        assert pixels.fragment_lengths[0] == int.from_bytes(value[4:8], "little")


@pytest.mark.parametrize("name", sorted(BROKEN_FILES))
def test_a_broken_file_is_refused(name: str) -> None:
    with pytest.raises(NotDicom):
        read_dataset(scan(shipped_file(name).read_bytes()))


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_single_bytes_give_the_same_as_the_whole(syntax: str) -> None:
    data = sample(syntax)
    assert scan(data, [1] * len(data)) == scan(data)


@given(st.sampled_from(SYNTAXES), st.lists(st.integers(0, 200), max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_cutting_into_chunks_gives_the_same(syntax: str, chunks: list[int]) -> None:
    assert scan(sample(syntax), chunks) == scan(sample(syntax))


def test_fragments_are_listed_after_the_offset_table() -> None:
    pixels = scan(sample(JPEG2000Lossless)).pixels
    assert pixels is not None
    assert pixels.encapsulated
    assert list(pixels.fragment_lengths) == [8, 32, 32]


def test_pixels_of_a_deflated_file_have_no_offset() -> None:
    pixels = scan(sample(DeflatedExplicitVRLittleEndian)).pixels
    assert pixels is not None
    assert (pixels.offset_bytes, pixels.length_bytes) == (None, 64)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_a_file_cut_anywhere_but_between_elements_is_refused(syntax: str) -> None:
    data = sample(syntax)
    accepted = [length for length in range(len(data)) if reads(data[:length])]
    assert accepted == whole_element_lengths(data, syntax)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("zeros", [2, 6, 8, 10, 12, 512])
def test_zeros_behind_the_last_element_are_padding(syntax: str, zeros: int) -> None:
    data = sample(syntax)
    padded = scan(data + bytes(zeros))
    assert padded.pixels == scan(data).pixels
    assert [one for one in padded.elements if one.tag] == list(scan(data).elements)


def test_a_single_zero_may_begin_an_element_that_was_cut() -> None:
    with pytest.raises(NotDicom, match="in the middle of an element"):
        scan(sample(ExplicitVRLittleEndian) + b"\0")


def reads(data: bytes) -> bool:
    try:
        read_dataset(scan(data))
    except NotDicom:
        return False
    return True


def whole_element_lengths(data: bytes, syntax: str) -> list[int]:
    """Where pydicom sees an element end: a cut there leaves a shorter file that is complete in itself."""
    file = BytesIO(data)
    file.seek(132)
    lengths = [132]
    meta_length = 144 + int.from_bytes(data[140:144], "little")
    for _ in data_element_generator(file, is_implicit_VR=False, is_little_endian=True):
        lengths.append(file.tell())
        if file.tell() == meta_length:
            break
    if syntax == DeflatedExplicitVRLittleEndian:
        # As soon as it is known to be deflated there must be a stream, and that has an end of its own.
        return [length for length in lengths if length < data.index(syntax.encode())]
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    lengths += [file.tell() for _ in data_element_generator(file, is_implicit_VR=implicit, is_little_endian=little)]
    return [length for length in lengths if length < len(data)]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_a_file_that_ends_in_its_pixel_data_is_refused(syntax: str) -> None:
    data = sample(syntax)
    for missing in range(1, 40):
        with pytest.raises(NotDicom, match=r"ends|shorter"):
            scan(data[:-missing])


@pytest.mark.parametrize(
    "data",
    [b"", b"DICM", bytes(200), bytes(128) + b"dicm" + bytes(100), b"<html>not found</html>" * 20],
    ids=["empty", "short", "zeros", "lower case", "html"],
)
def test_what_has_no_prefix_is_not_dicom(data: bytes) -> None:
    with pytest.raises(NotDicom, match="no DICOM file"):
        scan(data)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (SEQUENCE + ITEM + ITEM_END, "ends"),
        (SEQUENCE + ITEM + SEQUENCE_END, "nested"),
        (SEQUENCE + ITEM + ITEM + ITEM_END + SEQUENCE_END, "nested"),
        (SEQUENCE + ITEM_END + SEQUENCE_END, "not an item"),
        (SEQUENCE + b"\x08\x00\x55\x11UI\x04\x001.2\0" + SEQUENCE_END, "not an item"),
        (ITEM_END, "outside"),
        (SEQUENCE_END, "outside"),
        (PIXELS_UNDEFINED + ITEM + ITEM_END + SEQUENCE_END, "fragments"),
        (PIXELS_UNDEFINED + b"\xfe\xff\x00\xe0\x04\0\0\0abcd", "ends"),
        (b"\x08\x00\x15\x11SQ\0\0\x0c\0\0\0\xfe\xff\x00\xe0\x10\0\0\0abcd", "longer"),
        (b"\x08\x00\x15\x11SQ\0\0\x0c\0\0\0\xfe\xff\x00\xe0\x04\0\0\0abcd", "middle"),
    ],
)
def test_broken_structure_is_refused(body: bytes, fault: str) -> None:
    with pytest.raises(NotDicom, match=fault):
        read_dataset(scan(explicit_file(body)))


def test_a_refused_scanner_stays_refused() -> None:
    scanner = Part10Scanner()
    with pytest.raises(NotDicom):
        scanner.feed(bytes(200))
    with pytest.raises(NotDicom):
        scanner.feed(b"more")
    with pytest.raises(NotDicom):
        scanner.finish()


def test_nesting_of_any_depth_is_scanned_and_refused_as_a_data_set() -> None:
    depth = 20_000
    scanned = scan(explicit_file((SEQUENCE + ITEM) * depth + (ITEM_END + SEQUENCE_END) * depth))
    with pytest.raises(NotDicom, match="nested more than"):
        read_dataset(scanned)


def test_deep_but_sane_nesting_survives_to_json() -> None:
    depth = MAX_DEPTH
    dataset = read_dataset(scan(explicit_file((SEQUENCE + ITEM) * depth + (ITEM_END + SEQUENCE_END) * depth)))
    assert dumps(dataset_to_json(dataset)).count(b"SQ") == depth


def test_attributes_over_the_limit_are_refused_before_they_arrive() -> None:
    body = b"\x08\x00\x15\x11UT\0\0" + (2_000_000).to_bytes(4, "little")
    with pytest.raises(NotDicom, match="too large"):
        Part10Scanner(max_kept_bytes=1_000_000).feed(explicit_file(body))


def test_a_sequence_over_the_limit_is_refused() -> None:
    element = b"\x08\x00\x15\x11UT\0\0" + (600).to_bytes(4, "little") + bytes(600)
    with pytest.raises(NotDicom, match="too large"):
        scan(explicit_file(SEQUENCE + ITEM + element * 2 + ITEM_END + SEQUENCE_END), max_kept_bytes=1000)


def deflated_file(body: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    meta = b"\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.1.99"
    return bytes(128) + b"DICM" + meta + deflater.compress(body) + deflater.flush()


def test_a_deflated_file_that_grows_too_much_is_refused() -> None:
    pixels = b"\xe0\x7f\x10\x00OW\0\0" + (20_000_000).to_bytes(4, "little") + bytes(20_000_000)
    with pytest.raises(NotDicom, match="inflates"):
        scan(deflated_file(pixels), max_inflated_bytes=1_000_000)


def test_broken_deflate_is_refused() -> None:
    data = bytearray(sample(DeflatedExplicitVRLittleEndian))
    data[-40:-20] = bytes(20)
    with pytest.raises(NotDicom):
        scan(bytes(data))


def test_pixels_are_not_held() -> None:
    size = 40_000_000
    scanner = Part10Scanner()
    scanner.feed(explicit_file(b"\xe0\x7f\x10\x00OW\0\0" + size.to_bytes(4, "little")))
    chunk = bytes(100_000)
    tracemalloc.start()
    for _ in range(size // len(chunk)):
        scanner.feed(chunk)
    scanned = scanner.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scanned.pixels is not None
    assert scanned.pixels.length_bytes == size
    assert peak < 200_000


def test_a_missing_transfer_syntax_is_guessed() -> None:
    names = {ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian}
    for syntax in names:
        data = sample(syntax)
        meta_length = 144 + int.from_bytes(data[140:144], "little")
        scanned = scan(data[:132] + data[meta_length:])
        assert scanned.transfer_syntax == syntax
        assert read_dataset(scanned).PatientID == "SYN-1"


def test_a_data_set_may_contradict_its_transfer_syntax() -> None:
    implicit, explicit = sample(ImplicitVRLittleEndian), sample(ExplicitVRLittleEndian)
    cut = [144 + int.from_bytes(data[140:144], "little") for data in (implicit, explicit)]
    for head, tail in ((implicit[: cut[0]], explicit[cut[1] :]), (explicit[: cut[1]], implicit[cut[0] :])):
        assert read_dataset(scan(head + tail)).PatientID == "SYN-1"


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_damaged_bytes_never_raise_anything_else(syntax: str) -> None:
    """Whatever is read of a damaged file can also be checked and shown."""
    dice = random.Random(20_240_229)
    for _ in range(150):
        data = bytearray(sample(syntax))
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(132, len(data))] = dice.choice((0, 0xFF, 0x5C, dice.randrange(256)))
        try:
            dataset = read_dataset(scan(bytes(data)))
        except NotDicom:
            continue
        check(dataset, LENIENT)
        dumps(dataset_to_json(dataset))


def test_a_deflated_stream_may_begin_like_file_meta_information() -> None:
    """Two empty blocks whose first bytes read as group 0002; the group length says where the stream begins."""
    element = b"\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.1.99"
    meta = b"\x02\x00\x00\x00UL\x04\x00" + len(element).to_bytes(4, "little") + element
    deflater = zlib.compressobj(wbits=-15)
    stream = deflater.compress(b"\x10\x00\x20\x00LO\x02\x00P1") + deflater.flush()
    data = bytes(128) + b"DICM" + meta + b"\x02\x00\x00\x00\xff\xff" + stream
    assert read_dataset(scan(data)).PatientID == "P1"


def test_items_of_a_sequence_of_unknown_vr_are_in_implicit_vr_to_their_end() -> None:
    """PS3.5 §6.2.2; the second length has the bytes of a VR."""
    text = b"x" * 0x4142
    body = b"\x08\x00\x50\x11\x04\0\0\0" + b"1.2\0" + b"\x40\x00\x60\xa1" + len(text).to_bytes(4, "little") + text
    sequence = b"\x09\x00\x10\x10UN\x00\x00\xff\xff\xff\xff" + ITEM + body + ITEM_END + SEQUENCE_END
    dataset = read_dataset(scan(explicit_file(sequence)))
    assert dataset[0x00091010].value[0].TextValue == text.decode()
