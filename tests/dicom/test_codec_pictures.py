"""Pictures through every codec, at several depths, signs and colours, beside codecs from other hands."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from shared.dicom.pixels import (
    JPEG_2000_LOSSLESS,
    CannotDecode,
    decode,
    output_attributes,
    to_explicit_little,
    to_jpeg2000,
)
from tests.dicom import pictures as made
from tests.dicom.pictures import ORACLES, assert_near, by_pydicom, dataset_of, describing, in_target, picture

LOSSLESS_ENCODERS = {
    made.LOSSLESS: lambda samples, bits: made.jpeg(samples, lossless=True, predictor=6, bitspersample=bits),
    made.LOSSLESS_SV1: lambda samples, bits: made.jpeg(samples, lossless=True, predictor=1, bitspersample=bits),
    made.J2K_LOSSLESS: lambda samples, bits: made.jpeg_2000(samples, bits),
    made.HTJ2K_LOSSLESS: lambda samples, bits: bytes(imagecodecs.htj2k_encode(samples, reversible=True)),
    made.HTJ2K_RPCL: lambda samples, bits: bytes(imagecodecs.htj2k_encode(samples, reversible=True, tlm=True)),
}


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("syntax", LOSSLESS_ENCODERS)
def test_a_lossless_frame_comes_back_and_the_oracles_agree(syntax, samples, bits):
    wanted = picture(bits, samples=samples)
    frame = LOSSLESS_ENCODERS[syntax](wanted, bits)
    description = describing(syntax, bits_stored=bits, samples=samples)
    assert_near(decode(description, frame).samples, wanted)
    for plugin in ORACLES[syntax]:
        assert_near(by_pydicom(dataset_of(description, frame), plugin), wanted)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("samples", [1, 3])
def test_jpeg_ls_comes_back_and_the_oracles_agree(samples, bits):
    wanted = picture(bits, samples=samples)
    description = describing(made.JPEG_LS, bits_stored=bits, samples=samples)
    frame = bytes(imagecodecs.jpegls_encode(wanted))
    assert_near(decode(description, frame).samples, wanted)
    for plugin in ORACLES[made.JPEG_LS]:
        assert_near(by_pydicom(dataset_of(description, frame), plugin), wanted)


@pytest.mark.parametrize(
    ("syntax", "bits"),
    [
        (made.J2K_LOSSLESS, 8),
        (made.J2K_LOSSLESS, 12),
        (made.J2K_LOSSLESS, 16),
        (made.HTJ2K_LOSSLESS, 8),
        (made.HTJ2K_LOSSLESS, 16),
    ],
)
@pytest.mark.parametrize("written_signed", [True, False])
@pytest.mark.parametrize("said_signed", [True, False])
def test_the_sign_is_that_of_the_data_set_whatever_jpeg_2000_says(syntax, bits, written_signed, said_signed):
    wanted = picture(bits, signed=said_signed)
    # The same bits, read as the other kind of integer.
    unsigned = wanted.astype("i8") & (2**bits - 1)
    other = np.where(unsigned >= 2 ** (bits - 1), unsigned - 2**bits, unsigned) if written_signed else unsigned
    written = np.ascontiguousarray(other.astype(f"{'i' if written_signed else 'u'}{wanted.dtype.itemsize}"))
    if syntax == made.J2K_LOSSLESS:
        frame = made.jpeg_2000(written, bits)
    else:
        frame = bytes(imagecodecs.htj2k_encode(written, reversible=True))
    description = describing(syntax, bits_stored=bits, signed=said_signed)
    assert_near(decode(description, frame).samples, wanted)
    for plugin in ORACLES[syntax]:
        assert_near(by_pydicom(dataset_of(description, frame), plugin), wanted)


@pytest.mark.parametrize("transform", [True, False])
def test_colours_of_jpeg_2000_are_rgb_with_and_without_component_transformation(transform):
    wanted = picture(8, samples=3)
    frame = made.jpeg_2000(wanted, 8, transform=transform)
    for photometric in ("RGB", "YBR_RCT"):
        description = describing(made.J2K_LOSSLESS, samples=3, photometric=photometric)
        decoded = decode(description, frame)
        assert decoded.photometric == "RGB"
        assert_near(decoded.samples, wanted)
        assert_near(by_pydicom(dataset_of(description, frame), "pylibjpeg"), wanted)


def test_a_jp2_file_in_a_frame_is_decoded():
    wanted = picture(8, samples=3)
    frame = bytes(imagecodecs.jpeg2k_encode(wanted, codecformat="JP2", level=0, reversible=True))
    assert frame[4:8] == b"jP  "
    assert_near(decode(describing(made.J2K_LOSSLESS, samples=3), frame).samples, wanted)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("syntax", [made.J2K, made.HTJ2K])
def test_lossy_wavelets_are_what_another_library_decodes(syntax, samples):
    source = picture(8, samples=samples)
    if syntax == made.J2K:
        frame = made.jpeg_2000(source, 8, transform=samples == 3, level=40)
        other = by_pydicom(dataset_of(describing(syntax, samples=samples), frame), "gdcm")
    else:
        source = source // 2 + 64  # at the ends of the range OpenJPH wraps around
        frame = bytes(imagecodecs.htj2k_encode(source, level=0.01, reversible=False))
        other = imagecodecs.htj2k_decode(frame)
    decoded = decode(
        describing(syntax, samples=samples, photometric="YBR_ICT" if samples == 3 else "MONOCHROME2"), frame
    )
    assert not np.array_equal(decoded.samples, source), "the frame is not lossy"
    assert_near(decoded.samples, other, 1)


@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize("bits", [4, 8, 10, 12, 16])
@pytest.mark.parametrize("samples", [1, 3])
def test_lossless_jpeg_xl_comes_back(samples, bits, container):
    wanted = picture(bits, samples=samples)
    frame = bytes(imagecodecs.jpegxl_encode(wanted, lossless=True, bitspersample=bits, usecontainer=container))
    description = describing(made.JPEG_XL_LOSSLESS, bits_stored=bits, samples=samples)
    assert_near(decode(description, frame).samples, wanted)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_xl_holds_signed_samples_as_their_bits(bits):
    wanted = picture(bits, signed=True)
    unsigned = np.ascontiguousarray((wanted.astype("i8") & (2**bits - 1)).astype(f"u{wanted.dtype.itemsize}"))
    frame = bytes(imagecodecs.jpegxl_encode(unsigned, lossless=True, bitspersample=bits))
    assert_near(decode(describing(made.JPEG_XL_LOSSLESS, bits_stored=bits, signed=True), frame).samples, wanted)


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_a_recompressed_jpeg_in_jpeg_xl_is_the_picture_of_the_jpeg(subsampling):
    compressed = made.jpeg(picture(8, samples=3), level=90, subsampling=subsampling)
    frame = bytes(imagecodecs.jpegxl_encode_jpeg(compressed))
    decoded = decode(describing(made.JPEG_XL_RECOMPRESSED, samples=3, photometric="YBR_FULL_422"), frame)
    original = decode(describing(made.BASELINE, samples=3, photometric="YBR_FULL_422"), compressed)
    assert decoded.photometric == "RGB"
    # Subsampled colours are smoothed in another way.
    assert np.abs(decoded.samples.astype(int) - original.samples.astype(int)).mean() < 1.5


@pytest.mark.parametrize("samples", [1, 3])
def test_lossy_jpeg_xl_is_close_to_its_source(samples):
    source = picture(8, samples=samples)
    frame = bytes(imagecodecs.jpegxl_encode(source, level=95))
    decoded = decode(describing(made.JPEG_XL, samples=samples), frame).samples
    error = np.square(decoded.astype("f8") - source.astype("f8")).mean()
    assert 10 * np.log10(255**2 / error) > 35


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_baseline_colours_are_those_of_gdcm(photometric, subsampling):
    frame = made.jpeg(picture(8, samples=3), level=85, subsampling=subsampling)
    description = describing(made.BASELINE, samples=3, photometric=photometric)
    decoded = decode(description, frame)
    assert decoded.photometric == "RGB"
    assert_near(decoded.samples, by_pydicom(dataset_of(description, frame), "gdcm"), 1)


def test_a_jpeg_of_rgb_without_markers_is_not_transformed():
    source = picture(8, samples=3)
    frame = made.jpeg(source, level=100, colorspace="RGB", outcolorspace="RGB")
    bare = without_markers(frame)
    assert b"Adobe" not in bare
    assert b"JFIF" not in bare
    decoded = decode(describing(made.BASELINE, samples=3), with_identifiers(bare, b"\0\1\2")).samples
    assert np.abs(decoded.astype(int) - source.astype(int)).max() <= 4


def test_identifiers_of_components_that_spell_rgb_win_over_the_data_set():
    source = picture(8, samples=3)
    frame = with_identifiers(without_markers(made.jpeg(source, level=100, outcolorspace="RGB")), b"RGB")
    description = describing(made.BASELINE, samples=3, photometric="YBR_FULL_422")
    decoded = decode(description, frame).samples
    assert np.abs(decoded.astype(int) - source.astype(int)).max() <= 4
    assert_near(decoded, by_pydicom(dataset_of(description, frame), "gdcm"), 1)


def test_a_jfif_marker_wins_over_a_data_set_that_says_rgb():
    frame = made.jpeg(picture(8, samples=3), level=90)
    assert b"JFIF" in frame
    wanted = decode(describing(made.BASELINE, samples=3, photometric="YBR_FULL"), frame).samples
    assert_near(decode(describing(made.BASELINE, samples=3, photometric="RGB"), frame).samples, wanted)


def test_lossless_rgb_is_never_transformed_whatever_markers_say():
    source = picture(8, samples=3)
    frame = made.jpeg(source, lossless=True)
    jfif = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    marked = frame[:2] + jfif + without_markers(frame)[2:]
    assert_near(decode(describing(made.LOSSLESS, samples=3), marked).samples, source)


def without_markers(frame: bytes) -> bytes:
    """The JPEG without its application segments."""
    at, kept = 2, frame[:2]
    while frame[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
        if not 0xE0 <= frame[at + 1] <= 0xEF:
            kept += frame[at:end]
        at = end
    return kept + frame[at:]


def with_identifiers(frame: bytes, names: bytes) -> bytes:
    """The JPEG with other identifiers of its three components, in the frame header and in the scan header."""
    changed = bytearray(frame)
    start_of_frame = frame.index(b"\xff\xc0") + 10
    start_of_scan = frame.index(b"\xff\xda") + 5
    for number, name in enumerate(names):
        changed[start_of_frame + 3 * number] = name
        changed[start_of_scan + 2 * number] = name
    return bytes(changed)


@pytest.mark.parametrize("bits", [8, 12])
def test_extended_jpeg_is_within_two_levels_of_another_library(bits):
    source = picture(bits)
    description = describing(made.EXTENDED, bits_stored=bits)
    frame = made.jpeg(source, level=95, bitspersample=bits)
    decoded = decode(description, frame).samples
    assert_near(decoded, by_pydicom(dataset_of(description, frame), "pylibjpeg"), 2)


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("samples", [1, 3])
def test_rle_comes_back_with_and_without_padding(samples, bits):
    wanted = picture(bits, samples=samples)
    description = describing(made.RLE, bits_stored=bits, bits_allocated=bits, samples=samples)
    frame = made.rle(wanted)
    for padding in (b"", b"\0", b"\0\0"):
        assert_near(decode(description, frame + padding).samples, wanted)
    for plugin in ORACLES[made.RLE]:
        assert_near(by_pydicom(dataset_of(description, frame), plugin), wanted)


@pytest.mark.parametrize("syntax", [made.LOSSLESS_SV1, made.JPEG_LS, made.J2K_LOSSLESS, made.JPEG_XL_LOSSLESS])
@pytest.mark.parametrize("padding", [b"\0", b"\0" * 9])
def test_padding_after_a_codestream_is_not_looked_at(syntax, padding):
    wanted = picture(8)
    encoders = LOSSLESS_ENCODERS | {
        made.JPEG_LS: lambda samples, bits: bytes(imagecodecs.jpegls_encode(samples)),
        made.JPEG_XL_LOSSLESS: lambda samples, bits: bytes(imagecodecs.jpegxl_encode(samples, lossless=True)),
    }
    assert_near(decode(describing(syntax), encoders[syntax](wanted, 8) + padding).samples, wanted)


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_frames_deflated_or_only_encapsulated_are_native_ones(bits):
    wanted = picture(bits)
    content = np.packbits(wanted.reshape(-1), bitorder="little").tobytes() if bits == 1 else wanted.tobytes()
    for syntax, frame in ((made.DEFLATED_FRAMES, made.deflated(content)), (made.UNCOMPRESSED_FRAMES, content)):
        description = describing(syntax, bits_stored=bits, bits_allocated=bits)
        assert_near(decode(description, frame + b"\0").samples, wanted)
        assert to_explicit_little(description, frame) == content
        assert output_attributes(description, made.EXPLICIT).vr == ("OW" if bits > 8 else "OB")


def test_a_deflated_frame_inflates_no_further_than_its_picture():
    description = describing(made.DEFLATED_FRAMES)
    bomb = made.deflated(b"\0" * 50_000_000)
    assert decode(description, bomb).samples.shape == (made.ROWS, made.COLUMNS)


def test_a_codestream_with_more_bits_than_the_data_set_says_keeps_them_in_jpeg_2000():
    wanted = picture(16)
    description = describing(made.J2K_LOSSLESS, bits_stored=12, bits_allocated=16)
    frame = made.jpeg_2000(wanted, 16)
    assert_near(decode(description, frame).samples, wanted)
    assert_near(decode(in_target(description, JPEG_2000_LOSSLESS), to_jpeg2000(description, frame)).samples, wanted)


@pytest.mark.parametrize("syntax", [*LOSSLESS_ENCODERS, made.RLE, made.JPEG_LS, made.JPEG_XL, made.EXPLICIT])
@pytest.mark.parametrize("frame", [b"", b"\0", b"\xff\xd8", b"\0" * 64, b"\xff" * 3000])
def test_what_is_no_frame_cannot_be_decoded(syntax, frame):
    with pytest.raises(CannotDecode):
        decode(describing(syntax), frame)
