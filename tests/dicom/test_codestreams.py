"""What frames say of themselves, read without a codec; every way to be cut off or to lie."""

from __future__ import annotations

from struct import pack

import imagecodecs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicom.codestreams import (
    UnusableCodestream,
    boxes,
    read_jpeg,
    read_jpeg_2000,
    read_jpeg_ls,
    read_rle,
)
from shared.dicom.jpegxl import read_jpeg_xl
from tests.dicom import pictures as made
from tests.dicom.pictures import picture

SIZE = (made.ROWS, made.COLUMNS)
READERS = (read_jpeg, read_jpeg_ls, read_jpeg_2000, read_jpeg_xl)


def said(found):
    return (found.rows, found.columns), found.samples, found.precision


def segment(marker: int, content: bytes) -> bytes:
    return pack(">BBH", 0xFF, marker, len(content) + 2) + content


def frame_header(rows: int, columns: int, identifiers: bytes = b"\1", precision: int = 8) -> bytes:
    components = b"".join(bytes((name, 0x11, 0)) for name in identifiers)
    return pack(">BHHB", precision, rows, columns, len(identifiers)) + components


def siz(*components: tuple[int, int, int], right: int = 83, bottom: int = 61, left: int = 0, top: int = 0) -> bytes:
    body = pack(">H4L", 0, right, bottom, left, top) + pack(">4L", right, bottom, 0, 0) + pack(">H", len(components))
    return b"\xff\x4f\xff\x51" + pack(">H", len(body) + 2) + b"".join([body, *map(bytes, components)])


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize(
    ("bits", "options"),
    [(8, {}), (12, {}), (8, {"lossless": True}), (12, {"lossless": True}), (16, {"lossless": True})],
)
def test_jpeg_tells_its_size(bits, options, samples):
    found = read_jpeg(made.jpeg(picture(bits, samples=samples), bitspersample=bits, **options))
    assert said(found) == (SIZE, samples, bits)
    assert found.lossless == bool(options)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("bits", [8, 16])
def test_jpeg_ls_tells_its_size(bits, samples):
    assert said(read_jpeg_ls(bytes(imagecodecs.jpegls_encode(picture(bits, samples=samples))))) == (SIZE, samples, bits)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [1, 8, 12, 16])
def test_jpeg_2000_tells_its_size_and_sign(bits, signed):
    found = read_jpeg_2000(made.jpeg_2000(picture(bits, signed=signed), bits))
    assert said(found) == (SIZE, 1, bits)
    assert found.signed is signed


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (8, 8), (8, 16), (256, 256), (61, 83), (300, 400), (4, 5)])
@pytest.mark.parametrize("container", [True, False])
@pytest.mark.parametrize("bits", [1, 8, 10, 12, 16])
@pytest.mark.parametrize("samples", [1, 3])
def test_jpeg_xl_tells_its_size(rows, columns, bits, samples, container):
    from numpy import zeros

    source = zeros((rows, columns, samples)[: 2 + (samples > 1)], "u1" if bits <= 8 else "u2")
    frame = imagecodecs.jpegxl_encode(source, lossless=True, bitspersample=bits, usecontainer=container, effort=1)
    assert said(read_jpeg_xl(bytes(frame))) == ((rows, columns), samples, bits)


def test_jpeg_xl_of_all_defaults_and_of_recompressed_jpeg_tell_their_size():
    assert said(read_jpeg_xl(bytes(imagecodecs.jpegxl_encode(picture(8, samples=3), level=90)))) == (SIZE, 3, 8)
    recompressed = imagecodecs.jpegxl_encode_jpeg(made.jpeg(picture(8), level=90))
    assert said(read_jpeg_xl(bytes(recompressed))) == (SIZE, 1, 8)


def test_jpeg_xl_with_alpha_or_of_floating_point_is_refused():
    with_alpha = bytes(
        imagecodecs.jpegxl_encode(picture(8, samples=3).repeat(2, axis=2)[:, :, :4].copy(), lossless=True)
    )
    with pytest.raises(UnusableCodestream, match="extra channels"):
        read_jpeg_xl(with_alpha)
    with pytest.raises(UnusableCodestream, match="floating point"):
        read_jpeg_xl(bytes(imagecodecs.jpegxl_encode((picture(8) / 255).astype("f4"), lossless=True)))


def test_jpeg_xl_with_an_animation_is_refused():
    # A small size of 8 x 8, extra fields, neither orientation nor another size nor a preview, an animation.
    bits = "1" + "00000" + "100" + "0" + "1" + "000" + "0" + "0" + "1"
    content = sum(int(bit) << place for place, bit in enumerate(bits)).to_bytes(16, "little")
    with pytest.raises(UnusableCodestream, match="animation"):
        read_jpeg_xl(b"\xff\x0a" + content)


def test_markers_and_fill_bytes_before_the_frame_header_are_passed_over():
    frame = b"\xff\xd8" + segment(0xFE, b"text") + b"\xff\xff\xff" + segment(0xC0, frame_header(61, 83)) + b"\xff\xda"
    assert said(read_jpeg(frame)) == (SIZE, 1, 8)


@pytest.mark.parametrize(
    ("markers", "identifiers", "rgb", "ybr"),
    [
        (b"", b"\1\2\3", False, False),
        (segment(0xE0, b"JFIF\0" + bytes(9)), b"\1\2\3", False, True),
        (segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"), b"\1\2\3", False, True),
        (segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"), b"\1\2\3", False, False),
        (segment(0xEE, b"Adobe\0\0\0\0\0"), b"\0\1\2", False, False),
        (b"", b"RGB", True, False),
        (segment(0xE0, b"JFIF\0" + bytes(9)), b"rgb", True, False),
        (segment(0xE0, b"JFXX\0"), b"\1\2\3", False, False),
    ],
)
def test_markers_tell_what_the_components_are(markers, identifiers, rgb, ybr):
    found = read_jpeg(b"\xff\xd8" + markers + segment(0xC0, frame_header(61, 83, identifiers)))
    assert (found.says_rgb, found.says_ybr) == (rgb, ybr)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b"\xff\xd8" + segment(0xC0, frame_header(0, 83)), "size"),
        (b"\xff\xd8" + segment(0xC0, frame_header(61, 0)), "size"),
        (b"\xff\xd8" + segment(0xC0, frame_header(61, 83)[:-1]), "damaged"),
        (b"\xff\xd8" + segment(0xC5, frame_header(61, 83)), "another JPEG process"),
        (b"\xff\xd8" + segment(0xF7, frame_header(61, 83)), "another JPEG process"),
        (b"\xff\xd8\xff\xda", "no JPEG frame header"),
        (b"\xff\xd8\xff\xfe\xff\xff", "cut off"),
        (b"\xff\xd8\xff\xfe\x00\x01", "cut off"),
        (b"\xff\xd8\x00\xff", "between"),
        (b"\xff\xd8\xff\xff\xff\xff", "cut off"),
        (b"", "not JPEG"),
    ],
)
def test_a_jpeg_without_a_usable_frame_header_is_refused(frame, message):
    with pytest.raises(UnusableCodestream, match=message):
        read_jpeg(frame)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (siz(), "differ"),
        (siz((7, 1, 1), (8, 1, 1)), "differ"),
        (siz((7, 2, 1)), "subsampled"),
        (siz((7, 1, 1), right=10, left=10), "size"),
        (siz((7, 1, 1), bottom=1, top=2), "size"),
        (siz((7, 1, 1))[:30], "cut off"),
        (siz((7, 1, 1), (7, 1, 1))[:-1], "differ"),
        (b"\xff\x4f\xff\x52" + bytes(60), "not JPEG 2000"),
        (b"", "not JPEG 2000"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + pack(">L4s", 8, b"jp2h"), "no codestream"),
    ],
)
def test_a_jpeg_2000_that_no_data_set_can_describe_is_refused(frame, message):
    with pytest.raises(UnusableCodestream, match=message):
        read_jpeg_2000(frame)


def test_an_image_offset_is_taken_off_the_size():
    assert said(read_jpeg_2000(siz((7, 1, 1), right=183, left=100, bottom=161, top=100))) == (SIZE, 1, 8)


def test_boxes_of_every_form_of_length_are_found():
    content = pack(">L4s", 8, b"one ") + pack(">L4sQ", 1, b"two ", 20) + b"1234" + pack(">L4s", 0, b"last") + b"abc"
    assert list(boxes(content)) == [(b"one ", 8), (b"two ", 24), (b"last", 36)]


def test_segments_of_rle_follow_each_other():
    frame = made.rle(picture(16))
    segments = read_rle(frame, *SIZE)
    assert len(segments) == 2
    assert segments[0][0] == 64
    assert segments[0][1] == segments[1][0]
    assert segments[1][1] == len(frame)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ((0,), "number of segments"),
        ((16, *[64] * 15), "number of segments"),
        ((0xFFFFFFFF,), "number of segments"),
        ((1, 63), "follow"),
        ((2, 64, 64), "follow"),
        ((2, 100, 64), "follow"),
        ((1, 1000), "follow"),
        ((2, 64, 65), "too short"),
    ],
)
def test_an_rle_header_that_cannot_be_is_refused(header, message):
    frame = pack(f"<{len(header)}L", *header).ljust(64, b"\0") + bytes(200)
    with pytest.raises(UnusableCodestream, match=message):
        read_rle(frame, *SIZE)


def test_an_rle_header_that_is_cut_off_is_refused():
    with pytest.raises(UnusableCodestream, match="cut off"):
        read_rle(bytes(63), *SIZE)


@pytest.mark.parametrize("read", READERS)
@given(
    start=st.sampled_from([b"\xff\xd8", b"\xff\x4f\xff\x51", b"\xff\x0a", b"\0\0\0\x0cjP  \r\n\x87\n", b""]),
    rest=st.binary(max_size=200),
)
def test_any_bytes_give_a_header_or_a_refusal(read, start, rest):
    try:
        found = read(start + rest)
    except UnusableCodestream:
        return
    assert found.rows > 0
    assert found.columns > 0
