"""Frame tables: every shipped file against pydicom, and made ones whose tables lie or are missing."""

from __future__ import annotations

import random
import time
import tracemalloc
import warnings
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from struct import pack

import numpy
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import unpack_bits
from pydicom.uid import UID

from shared.dicom import part10
from shared.dicom.framecut import NativeCutter, native_place
from shared.dicom.frames import frame_table
from shared.dicom.part10 import NotDicom, Part10Scanner
from tests.support.files import file_parameters, sound_files
from tests.support.pixels import BIG, DEFLATED, END, EXPLICIT, IMPLICIT, JPEG, RLE, frames_of, pixel_file, scan

JPEG_XL = "1.2.840.10008.1.2.4.110"
HUGE = str(2**31)


def image(number: int, size: int = 20) -> bytes:
    """Something that ends like an image, and is none."""
    return bytes([number]) * (size - 2) + END


def encapsulated(fragments: list[bytes], frames: str | None = None, syntax: str = JPEG, **others: object) -> bytes:
    return pixel_file(syntax=syntax, frames=frames, fragments=fragments, **others)


def offsets_of(lengths: list[int]) -> list[int]:
    return list(accumulate((8 + length for length in lengths[:-1]), initial=0))


# ---- shipped files ----


PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@lru_cache(maxsize=1)
def with_pixels() -> dict[bool, list[Path]]:
    """Shipped files with pixel data, by whether it is encapsulated; the deflated ones are read in another test."""
    found: dict[bool, list[Path]] = {False: [], True: []}
    for path in sound_files():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path, defer_size=512)
        syntax = UID(dataset.file_meta.get("TransferSyntaxUID", IMPLICIT))
        if syntax != DEFLATED and any(keyword in dataset for keyword in PIXEL_KEYWORDS):
            found[syntax.is_encapsulated].append(path)
    return found


# 1A is not a number, and its bytes are those of fifteen frames.
UNREADABLE = {"badVR.dcm": 15}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", file_parameters(with_pixels()[True]))
def test_encapsulated_frames_are_those_that_pydicom_generates(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    number = int(dataset.get("NumberOfFrames", None) or 1)
    extended = None
    if "ExtendedOffsetTable" in dataset:
        extended = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    wanted = list(generate_frames(dataset.PixelData, number_of_frames=number, extended_offsets=extended))
    found = frames_of(path.read_bytes())
    assert found == wanted
    assert found[-1] == get_frame(
        dataset.PixelData, len(wanted) - 1, number_of_frames=number, extended_offsets=extended
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", file_parameters(with_pixels()[False]))
def test_native_frames_are_those_that_pydicom_takes(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    found = frames_of(path.read_bytes())
    if "Rows" not in dataset:
        assert found is None
        return
    assert found is not None
    if path.name in UNREADABLE:
        dataset.NumberOfFrames = UNREADABLE[path.name]
    assert len(found) == int(dataset.get("NumberOfFrames", None) or 1)
    if dataset.get("BitsAllocated") == 1:
        bits = [unpack_bits(frame)[: dataset.Rows * dataset.Columns] for frame in found]
        whole = unpack_bits(dataset.PixelData)[: sum(map(len, bits))]
        assert numpy.array_equal(numpy.concatenate(bits), whole)
        return
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    for index, frame in enumerate(found):
        assert frame == bytes(decoder.as_buffer(dataset, index=index, raw=True)[0])


def test_there_are_shipped_files_of_all_kinds() -> None:
    assert len(with_pixels()[True]) > 50
    assert len(with_pixels()[False]) > 60


# ---- encapsulated ----


@pytest.mark.parametrize("sizes", [[20, 20, 20], [22, 8, 300, 20], [2, 4, 6]])
def test_a_basic_offset_table_is_followed(sizes: list[int]) -> None:
    images = [image(number, size) for number, size in enumerate(sizes)]
    data = encapsulated(images, str(len(sizes)), basic=offsets_of(sizes))
    assert frames_of(data) == images


def test_frames_of_several_fragments_are_put_together_by_the_basic_offset_table() -> None:
    value = encapsulate([bytes([number]) * 60 for number in range(5)], fragments_per_frame=3, has_bot=True)
    fragments, offsets = parts_of(value)
    assert len(fragments) == 15
    assert frames_of(encapsulated(fragments, "5", basic=offsets)) == list(generate_frames(value, number_of_frames=5))


def test_an_extended_offset_table_is_followed_and_odd_frames_keep_their_padding() -> None:
    images = [bytes([number]) * size for number, size in enumerate([21, 20, 33])]
    value, offsets, lengths = encapsulate_extended(images)
    fragments, _ = parts_of(value)
    data = encapsulated(fragments, "3", extended=(unpacked(offsets), unpacked(lengths)))
    assert frames_of(data) == [content + b"\0" * (len(content) % 2) for content in images]


def test_an_extended_offset_table_wins_over_a_basic_one() -> None:
    images = [image(number) for number in range(4)]
    data = encapsulated(images, "2", basic=[0, 28], extended=([0, 56], [48, 48]))
    assert frames_of(data) == [images[0] + images[1], images[2] + images[3]]


def test_one_fragment_is_one_frame_without_any_table() -> None:
    images = [bytes([number]) * 20 for number in range(3)]
    assert frames_of(encapsulated(images, "3")) == images


def test_all_fragments_are_one_frame_when_one_is_claimed() -> None:
    fragments = [b"\1" * 20, b"\2" * 20, image(3)]
    assert frames_of(encapsulated(fragments, "1")) == [b"".join(fragments)]


@pytest.mark.parametrize("padding", [b"", b"\0", b"\0" * 8])
def test_ends_of_images_tell_frames_of_several_fragments_apart(padding: bytes) -> None:
    """Padding of up to 8 bytes may follow the mark, wherever the bytes are cut on their way."""
    fragments = [b"\1" * 30, b"\1" * 9 + END + padding, image(2), b"\3" * 30, b"\3" * 40, b"\3" + END + padding]
    wanted = [fragments[0] + fragments[1], fragments[2], b"".join(fragments[3:])]
    data = encapsulated(fragments, "3")
    for chunk_bytes in (1, 7, 64, 1 << 20):
        assert frames_of(data, chunk_bytes) == wanted
    if len(fragments[1]) % 2 == 0:
        value = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data)).PixelData
        assert list(generate_frames(value, number_of_frames=3)) == wanted


def test_a_mark_farther_from_the_end_is_no_end() -> None:
    fragments = [END + bytes(9) * 2, image(1), image(2)]
    assert frames_of(encapsulated(fragments, "2")) == [fragments[0] + fragments[1], fragments[2]]


def test_an_empty_fragment_is_a_frame_only_where_each_is() -> None:
    assert frames_of(encapsulated([image(1), b"", image(2)], "3")) == [image(1), b"", image(2)]
    assert frames_of(encapsulated([image(1), b"", image(2)], "2")) == [image(1), image(2)]


@pytest.mark.parametrize(
    "basic",
    [
        pytest.param([0, 29, 56], id="meets no item"),
        pytest.param([0, 28, 28], id="twice the same"),
        pytest.param([0, 56, 28], id="descending"),
        pytest.param([28, 56, 84], id="begins later"),
        pytest.param([0, 28, 84], id="the end is no frame"),
        pytest.param([0, 28, 4_000_000_000], id="far away"),
        pytest.param([0, 28, 56, 84], id="too many"),
        pytest.param([0], id="too few"),
        pytest.param([0, 56], id="one too few"),
    ],
)
def test_a_wrong_basic_offset_table_is_not_believed(basic: list[int]) -> None:
    images = [image(number) for number in range(3)]
    assert frames_of(encapsulated(images, "3", basic=basic)) == images


@pytest.mark.parametrize(
    "extended",
    [
        pytest.param(([0, 28, 57], [20, 20, 20]), id="meets no item"),
        pytest.param(([0, 28, 2**63], [20, 20, 20]), id="far away"),
        pytest.param(([0, 28, 56], [20, 20]), id="a length is missing"),
        pytest.param(([0, 28, 56], [20, 20, 21]), id="a length is too long"),
        pytest.param(([0, 28], [20, 20]), id="too few"),
    ],
)
def test_a_wrong_extended_offset_table_is_not_believed(extended: tuple[list[int], list[int]]) -> None:
    images = [image(number) for number in range(3)]
    assert frames_of(encapsulated(images, "3", extended=extended)) == images


def test_a_table_of_an_entry_a_fragment_does_not_break_a_single_frame() -> None:
    fragments = [b"\1" * 20, b"\2" * 20, image(3)]
    assert frames_of(encapsulated(fragments, "1", basic=[0, 28, 56])) == [b"".join(fragments)]


@pytest.mark.parametrize("frames", [None, "", "0", "-1", "1A", "9" * 60, HUGE, "5"])
def test_a_table_says_how_many_frames_there_are_when_the_number_cannot_be_right(frames: str | None) -> None:
    fragments = [b"\1" * 20, image(1), b"\2" * 20, image(2)]
    wanted = [fragments[0] + fragments[1], fragments[2] + fragments[3]]
    assert frames_of(encapsulated(fragments, frames, basic=[0, 56])) == wanted


@pytest.mark.parametrize("frames", [None, "0", "1A"])
def test_ends_of_images_count_frames_when_nothing_else_does(frames: str | None) -> None:
    images = [image(1), image(2)]
    assert frames_of(encapsulated(images, frames)) == images
    assert frames_of(encapsulated([b"\1" * 20, b"\2" * 20], frames)) == [b"\1" * 20 + b"\2" * 20]


@pytest.mark.parametrize("frames", ["3", "1000", HUGE])
def test_more_frames_than_fragments_are_those_that_are_there(frames: str) -> None:
    for images in ([image(1), image(2)], [b"\1" * 20, b"\2" * 20]):
        assert frames_of(encapsulated(images, frames)) == images
    assert frames_of(encapsulated([image(1)], frames)) == [image(1)]


def test_more_images_than_claimed_are_frames_as_well() -> None:
    images = [image(number) for number in range(5)]
    assert frames_of(encapsulated(images, "3")) == images


def test_a_fragment_of_run_lengths_is_a_frame_whatever_is_claimed() -> None:
    """PS3.5 §A.4.2; such bytes may end like an image."""
    fragments = [b"\1" * 20, image(2), b"\3" * 20]
    for frames in (None, "1A", "2", "3", "4"):
        assert frames_of(encapsulated(fragments, frames, RLE)) == fragments


def test_frames_without_end_marks_and_table_are_not_guessed() -> None:
    fragments = [image(1), image(2), image(3)]
    assert frames_of(encapsulated(fragments, "2", JPEG_XL)) is None
    assert frames_of(encapsulated([b"\1" * 20] * 3, "2")) is None
    assert frames_of(encapsulated(fragments, "2", JPEG_XL, basic=[0, 56])) == [image(1) + image(2), image(3)]


@pytest.mark.parametrize("number", ["100", "101", "102", "106", "107", "108", "100.1", "106.1"])
def test_frames_of_a_video_are_not_told_apart(number: str) -> None:
    data = encapsulated([image(1), image(2)], "2", f"1.2.840.10008.1.2.4.{number}", basic=[0, 28])
    assert frame_table(scan(data)) is None


def test_without_fragments_there_is_no_frame() -> None:
    assert frames_of(encapsulated([], "1")) is None
    without = pixel_file(value=b"")
    assert frame_table(scan(without[: -len(b"\xe0\x7f\x10\0OW\0\0\0\0\0\0")])) is None


def test_encapsulated_pixels_in_a_deflated_file_have_no_frames() -> None:
    assert frame_table(scan(encapsulated([image(1)], "1", DEFLATED))) is None


def test_fragments_of_a_big_endian_file_are_found() -> None:
    images = [image(number) for number in range(3)]
    assert frames_of(encapsulated(images, "3", BIG, basic=[0, 28, 56])) == images
    data = encapsulated(images * 2, "3", BIG, extended=([0, 56, 112], [48, 48, 48]))
    assert frames_of(data) == [images[0] + images[1], images[2] + images[0], images[1] + images[2]]


def test_any_cutting_into_chunks_gives_the_same_frames() -> None:
    dice = random.Random(7)
    fragments = [dice.randbytes(dice.choice([0, 2, 10, 12, 40])) + dice.choice([END, b"ab"]) for _ in range(60)]
    data = encapsulated(fragments, "30")
    wanted = frames_of(data)
    assert wanted is not None
    for chunk_bytes in (1, 2, 3, 11, 100):
        assert frames_of(data, chunk_bytes) == wanted


@given(
    st.lists(st.integers(0, 200), max_size=8), st.lists(st.integers(0, 2**64 - 1), max_size=8), st.binary(max_size=6)
)
@settings(max_examples=150, deadline=None)
def test_whatever_a_file_claims_its_frames_are_pieces_of_its_pixel_data(
    basic: list[int], extended: list[int], number: bytes
) -> None:
    fragments = [image(1), b"\2" * 20, image(3)]
    frames = number.decode("latin-1").replace("\\", "1") if number.isascii() else "2"
    found = frames_of(encapsulated(fragments, frames, basic=basic, extended=(extended, [12] * len(extended))))
    assert found is None or b"".join(found) == b"".join(fragments)


def test_ten_thousand_frames_cost_the_scanner_little() -> None:
    fragments = [image(number % 251, 100) for number in range(10_000)]
    data = encapsulated(fragments, "10000")
    tracemalloc.start()
    scanned = scan(data, 64 * 1024)
    table = frame_table(scanned)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert table is not None
    assert table.count == 10_000
    assert peak < 2_000_000


def test_tables_that_are_too_long_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part10, "_MAX_TABLE_BYTES", 8)
    images = [image(number) for number in range(3)]
    data = encapsulated(images, "3", basic=[0, 28, 56], extended=([0, 28, 56], [20, 20, 20]))
    pixels = scan(data).pixels
    assert pixels is not None
    assert (pixels.basic_offsets, pixels.extended_offsets, pixels.extended_lengths) == (b"", b"", b"")
    assert frames_of(data) == images


def test_more_fragments_than_can_be_noted_are_refused() -> None:
    data = encapsulated([b""] * 1000, "1000")
    with pytest.raises(NotDicom, match="too large"):
        Part10Scanner(max_kept_bytes=10_000).feed(data)
    Part10Scanner(max_kept_bytes=20_000).feed(data)


# ---- native ----


def native(value: bytes, frames: str | None = None, **others: object) -> bytes:
    return pixel_file(value=value, frames=frames, **others)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_native_frames_follow_each_other(syntax: str) -> None:
    value = bytes(range(48))
    assert frames_of(native(value, "3", syntax=syntax)) == [value[:16], value[16:32], value[32:]]


@pytest.mark.parametrize("frames", ["4", "1000", HUGE])
def test_native_frames_beyond_the_bytes_are_not_there(frames: str) -> None:
    value = bytes(range(50))
    assert frames_of(native(value, frames)) == [value[:16], value[16:32], value[32:48]]


def test_a_native_frame_that_is_cut_short_is_none() -> None:
    assert frames_of(native(bytes(14), "1")) is None


def test_bytes_behind_the_claimed_native_frames_are_none_of_them() -> None:
    assert frames_of(native(bytes(48), "2")) == [bytes(16)] * 2
    assert frames_of(native(bytes(48), None)) == [bytes(16)]


@pytest.mark.parametrize("frames", ["0", "-3", "1A", "", "2.5"])
def test_native_frames_are_counted_by_their_bytes_when_their_number_cannot_be_read(frames: str) -> None:
    assert frames_of(native(bytes(48), frames)) == [bytes(16)] * 3


@pytest.mark.parametrize("geometry", [(0, 4, 1, 8), (4, 0, 1, 8), (4, 4, 1, 0)])
def test_without_a_size_there_are_no_native_frames(geometry: tuple[int, int, int, int]) -> None:
    assert frames_of(native(bytes(48), "3", geometry=geometry)) is None


def test_claims_of_any_size_cost_nothing() -> None:
    data = native(bytes(48), HUGE, geometry=(65535, 65535, 65535, 65535))
    before = time.perf_counter()
    assert frame_table(scan(data)) is None
    data = native(bytes(48), "9" * 12, geometry=(1, 1, 1, 1))
    table = frame_table(scan(data))
    assert table is not None
    assert (table.count, len(table.starts)) == (48 * 8, 0)
    assert time.perf_counter() - before < 1


def test_subsampled_native_color_has_two_samples_a_pixel() -> None:
    """PS3.3 §C.7.6.3.1.2"""
    value = bytes(range(64))
    options = {"geometry": (4, 4, 3, 8), "photometric": "YBR_FULL_422", "vr": "OB"}
    assert frames_of(native(value, "2", **options)) == [value[:32], value[32:]]


def test_native_color_that_is_not_subsampled_though_it_says_so_is_seen_by_its_length() -> None:
    value = bytes(range(96))
    options = {"geometry": (4, 4, 3, 8), "photometric": "YBR_FULL_422", "vr": "OB"}
    assert frames_of(native(value, "2", **options)) == [value[:48], value[48:]]
    odd = bytes(range(76))
    assert frames_of(native(odd, "1", **(options | {"geometry": (5, 5, 3, 8)}))) == [odd[:75]]


@pytest.mark.parametrize(("keyword", "vr", "bits"), [("FloatPixelData", "OF", 32), ("DoubleFloatPixelData", "OD", 64)])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_frames_of_floating_point_pixels(keyword: str, vr: str, bits: int, syntax: str) -> None:
    value = bytes(range(4 * 4 * bits // 8)) * 2
    geometry = (4, 4, 1, bits)
    found = frames_of(native(value, "2", keyword=keyword, vr=vr, geometry=geometry, syntax=syntax))
    assert found == [value[: len(value) // 2]] * 2


@pytest.mark.parametrize("columns", [1, 3, 5, 8, 9, 13, 16, 17, 31])
@pytest.mark.parametrize("rows", [1, 3, 7])
def test_one_bit_frames_begin_in_the_middle_of_bytes(rows: int, columns: int) -> None:
    """PS3.5 §8.1.1: the pixels of all frames follow each other, the first in the lowest bit."""
    frames = 11
    pixels = numpy.random.default_rng(rows * columns).integers(0, 2, (frames, rows * columns), dtype=numpy.uint8)
    value = numpy.packbits(pixels.ravel(), bitorder="little").tobytes()
    value += b"\0" * (len(value) % 2)
    data = native(value, str(frames), geometry=(rows, columns, 1, 1), vr="OB")
    wanted = [numpy.packbits(one, bitorder="little").tobytes() for one in pixels]
    assert frames_of(data) == wanted
    assert frames_of(data, 1) == wanted
    assert frames_of(data, 3) == wanted


@pytest.mark.parametrize("size", [(3, 3), (3, 5), (1, 1), (2, 3), (4, 4)])
@pytest.mark.parametrize("chunk_bytes", [1, 2, 5, 1 << 20])
def test_big_endian_bytes_lie_in_turned_pairs(size: tuple[int, int], chunk_bytes: int) -> None:
    """PS3.5 §7.3: an OW value is words of 16 bits, so an odd frame begins in the middle of one."""
    rows, columns = size
    frames = [bytes(number * 20 + place for place in range(rows * columns)) for number in range(1, 6)]
    value = turned(b"".join(frames))
    data = native(value, "5", geometry=(rows, columns, 1, 8), syntax=BIG)
    assert frames_of(data, chunk_bytes) == [turned(frame) for frame in frames]
    plain = b"".join(frames)
    in_bytes = native(plain, "5", geometry=(rows, columns, 1, 8), syntax=BIG, vr="OB")
    assert frames_of(in_bytes, chunk_bytes) == frames


def test_big_endian_words_are_as_they_are() -> None:
    value = bytes(range(54))
    data = native(value, "3", geometry=(3, 3, 1, 16), syntax=BIG)
    assert frames_of(data) == [value[:18], value[18:36], value[36:]]


def test_the_last_turned_frame_of_an_odd_value_ends_with_the_value() -> None:
    place = native_place(9 * 8, 1, words=True)
    cutter = NativeCutter(place)
    assert cutter.feed(turned(bytes(range(8))) + b"\x08") + cutter.finish() == turned(bytes(range(8))) + b"\0\0"


def turned(content: bytes) -> bytes:
    content += b"\0" * (len(content) % 2)
    return numpy.frombuffer(content, "<u2").byteswap().tobytes()


def parts_of(value: bytes) -> tuple[list[bytes], list[int]]:
    """Fragments and basic offset table of an encapsulated value."""
    at, parts = 0, []
    while at < len(value):
        length = int.from_bytes(value[at + 4 : at + 8], "little")
        parts.append(value[at + 8 : at + 8 + length])
        at += 8 + length
    return parts[1:], [int.from_bytes(parts[0][at : at + 4], "little") for at in range(0, len(parts[0]), 4)]


def unpacked(numbers: bytes) -> list[int]:
    return list(numpy.frombuffer(numbers, "<u8").tolist())


def test_the_maker_of_files_writes_what_pydicom_reads() -> None:
    data = pixel_file(value=bytes(32), frames="2", trailer=b"\xfc\xff\xfc\xffOB\0\0" + pack("<L", 4) + bytes(4))
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data))
    assert (dataset.NumberOfFrames, len(dataset.PixelData), dataset.DataSetTrailingPadding) == (2, 32, bytes(4))
