"""Real frames against pydicom with codecs from other hands, and frames that are not compressed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.filereader import read_file_meta_info

from shared.dev.quiet import quiet
from shared.dicom.pixels import (
    JPEG_2000_LOSSLESS,
    CannotDecode,
    PixelDescription,
    can_decode,
    codec_of,
    decode,
    describe,
    output_attributes,
    to_explicit_little,
    to_jpeg2000,
)
from tests.dicom import pictures as made
from tests.dicom.pictures import (
    ORACLES,
    assert_near,
    by_pydicom,
    dataset_of,
    describing,
    files_with_pixels,
    in_target,
    picture,
    stored_frame,
)
from tests.support.files import file_parameters, shipped_file

# Grey levels that a lossy codec may be off: the decoders of two libraries round their transforms differently. libjpeg's
# own descendants agree exactly; libjpeg by another author also smooths subsampled colours in another way.
TOLERANCES = {
    (made.BASELINE, "gdcm"): 0,
    (made.BASELINE, "pylibjpeg"): 5,
    (made.EXTENDED, "pylibjpeg"): 2,  # of 4,096
}
# Broken on purpose, or of a kind that no oracle decodes; each has a test of its own below.
OTHERWISE = frozenset(
    {
        "MR_truncated.dcm",
        "JPEG2000-embedded-sequence-delimiter.dcm",
        "JPEG-lossy.dcm",
        "SC_rgb_small_odd_big_endian.dcm",
        "badVR.dcm",
    }
)


def real_files() -> list[Any]:
    return file_parameters(path for path in files_with_pixels() if path.name not in OTHERWISE)


def exact_oracle(syntax: str) -> str:
    """The last of the plugins that agree to the bit, empty where there is none; gdcm fails where signs differ."""
    return next((name for name in reversed(ORACLES.get(syntax, ())) if not TOLERANCES.get((syntax, name))), "")


def compressed_files() -> list[Any]:
    """Real files that pydicom can decompress to the bit, without the one that would take long."""
    return file_parameters(
        path
        for path in files_with_pixels()
        if path.name not in OTHERWISE | {"color3d_jpeg_baseline.dcm"}
        and exact_oracle(str(read_file_meta_info(path).get("TransferSyntaxUID", "")))
    )


def opened(path: Path) -> tuple[pydicom.FileDataset, PixelDescription]:
    with quiet():
        dataset = pydicom.dcmread(path)
        return dataset, describe(dataset, dataset.file_meta.TransferSyntaxUID)


@pytest.mark.parametrize("path", real_files())
def test_a_real_file_decodes_as_pydicom_does_it(path):
    dataset, description = opened(path)
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    for index in {0, description.frames - 1}:
        decoded = decode(description, stored_frame(dataset, description, index))
        for plugin in ORACLES.get(syntax, ("",)):
            assert_near(decoded.samples, by_pydicom(dataset, plugin, index), TOLERANCES.get((syntax, plugin), 0))


@pytest.mark.parametrize("path", real_files())
def test_a_real_frame_in_another_syntax_is_the_same_picture(path):
    dataset, description = opened(path)
    frame = stored_frame(dataset, description, 0)
    picture_of_source = decode(description, frame)
    explicit = decode(in_target(description, made.EXPLICIT), to_explicit_little(description, frame))
    assert explicit.photometric == picture_of_source.photometric
    assert_near(explicit.samples, picture_of_source.samples)
    if description.bits_allocated <= 16:
        lossless = decode(in_target(description, JPEG_2000_LOSSLESS), to_jpeg2000(description, frame))
        assert lossless.photometric == picture_of_source.photometric
        assert_near(lossless.samples, picture_of_source.samples)


@pytest.mark.parametrize("path", compressed_files())
def test_a_compressed_real_file_becomes_what_pydicom_writes(path):
    """`Dataset.decompress`, byte by byte, for what is lossless or decoded by a relative of the same library."""
    dataset, description = opened(path)
    plugin = exact_oracle(str(dataset.file_meta.TransferSyntaxUID))
    frames = [
        to_explicit_little(description, stored_frame(dataset, description, index))
        for index in range(description.frames)
    ]
    with quiet():
        dataset.decompress(decoding_plugin=plugin, generate_instance_uid=False)
    joined = b"".join(frames)
    assert joined + b"\0" * (len(joined) % 2) == dataset.PixelData
    out = output_attributes(description, made.EXPLICIT)
    assert out.vr == dataset["PixelData"].VR
    assert out.photometric == dataset.PhotometricInterpretation
    assert out.planar == dataset.get("PlanarConfiguration")
    assert (out.bits_allocated, out.bits_stored) == (dataset.BitsAllocated, dataset.BitsStored)


def test_a_jpeg_with_a_wrong_end_of_spectral_selection_decodes_as_its_sound_twin():
    pictures = []
    for name in ("JPEG-lossy.dcm", "JPGExtended.dcm"):
        dataset, description = opened(shipped_file(name))
        pictures.append(decode(description, stored_frame(dataset, description, 0)).samples)
    assert_near(pictures[0], pictures[1])


def test_a_text_as_number_of_frames_does_not_hide_the_picture():
    dataset, description = opened(shipped_file("badVR.dcm"))
    assert description.frames == 1
    assert decode(description, bytes(dataset.PixelData)).samples.shape == (10, 10)


@pytest.mark.parametrize("name", ["MR_truncated.dcm", "JPEG2000-embedded-sequence-delimiter.dcm"])
def test_a_damaged_real_file_cannot_be_decoded(name):
    dataset, description = opened(shipped_file(name))
    with pytest.raises(CannotDecode):
        decode(description, stored_frame(dataset, description, 0))


def test_bytes_in_big_endian_words_need_the_padding_of_an_odd_frame():
    dataset, description = opened(shipped_file("SC_rgb_small_odd_big_endian.dcm"))
    assert_near(decode(description, bytes(dataset.PixelData)).samples, by_pydicom(dataset))
    with pytest.raises(CannotDecode, match="27 bytes"):
        decode(description, bytes(dataset.PixelData)[:27])
    with pytest.raises(CannotDecode, match="odd length"):
        decode(replace(description, frames=2), bytes(dataset.PixelData))


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_colour_differences_without_jpeg_become_rgb_like_those_of_pydicom(photometric):
    content = picture(8, samples=3).tobytes()
    description = describing(made.EXPLICIT, samples=3, photometric=photometric, columns=82)
    dataset = dataset_of(description, content[: description.native_frame_bytes])
    decoded = decode(description, content[: description.native_frame_bytes])
    assert decoded.photometric == "RGB"
    assert_near(decoded.samples, by_pydicom(dataset))


def test_colour_differences_that_no_jpeg_codec_had_stay_lossless_in_jpeg_2000():
    content = picture(8, samples=3).tobytes()
    description = describing(made.EXPLICIT, samples=3, photometric="YBR_FULL")
    frame = to_jpeg2000(description, content)
    target = in_target(description, JPEG_2000_LOSSLESS)
    assert target.photometric == "YBR_FULL"
    assert imagecodecs.jpeg2k_decode(frame).tobytes() == content
    assert_near(decode(target, frame).samples, decode(description, content).samples)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("syntax", [made.EXPLICIT, made.BIG_ENDIAN])
def test_what_stands_in_unused_bits_is_not_seen(syntax, signed):
    """Overlays were once kept there (PS3.5 §8.1.1)."""
    wanted = picture(12, signed=signed)
    dirty = (wanted.view("u2") & 0x0FFF) | np.uint16(0xA000)
    frame = dirty.astype(">u2" if syntax == made.BIG_ENDIAN else "<u2").tobytes()
    description = describing(syntax, bits_stored=12, signed=signed)
    assert_near(decode(description, frame).samples, wanted)
    assert_near(by_pydicom(dataset_of(description, frame)), wanted)
    assert np.frombuffer(to_explicit_little(description, frame), "<u2").tobytes() == dirty.astype("<u2").tobytes()
    lossless = to_jpeg2000(description, frame)
    assert_near(decode(in_target(description, JPEG_2000_LOSSLESS), lossless).samples, wanted)


def test_bits_that_end_at_a_higher_bit_are_moved_down():
    wanted = picture(12)
    description = describing(made.EXPLICIT, bits_stored=12, high_bit=15)
    assert_near(decode(description, (wanted << 4 | 0x5).astype("<u2").tobytes()).samples, wanted)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_planes_and_pixels_give_the_same_picture(planar, bits):
    wanted = picture(bits, samples=3)
    stored = wanted.transpose(2, 0, 1) if planar else wanted
    description = describing(made.EXPLICIT, samples=3, bits_stored=bits, bits_allocated=bits, planar=planar)
    assert_near(decode(description, stored.tobytes()).samples, wanted)


@pytest.mark.parametrize("keyword", ["FloatPixelData", "DoubleFloatPixelData"])
@pytest.mark.parametrize("syntax", [made.EXPLICIT, made.BIG_ENDIAN])
def test_floating_point_is_decoded_but_not_for_jpeg_2000(keyword, syntax):
    bits = 32 if keyword == "FloatPixelData" else 64
    wanted = (picture(12) / 7).astype(f"f{bits // 8}")
    description = describing(
        syntax, keyword=keyword, vr="OF" if bits == 32 else "OD", bits_allocated=bits, bits_stored=bits
    )
    frame = wanted.astype(wanted.dtype.newbyteorder(">" if syntax == made.BIG_ENDIAN else "<")).tobytes()
    assert_near(decode(description, frame).samples, wanted)
    assert to_explicit_little(description, frame) == wanted.astype(wanted.dtype.newbyteorder("<")).tobytes()
    with pytest.raises(CannotDecode, match="16 bits"):
        to_jpeg2000(description, frame)
    with pytest.raises(CannotDecode, match="16 bits"):
        output_attributes(description, JPEG_2000_LOSSLESS)


@pytest.mark.parametrize("syntax", [made.EXPLICIT, made.BIG_ENDIAN])
def test_bits_are_unpacked_from_the_lowest_on(syntax):
    wanted = picture(1)
    description = describing(syntax, bits_stored=1, bits_allocated=1)
    frame = np.packbits(wanted.reshape(-1), bitorder="little").tobytes()
    assert_near(decode(description, frame).samples, wanted)
    assert_near(decode(in_target(description, JPEG_2000_LOSSLESS), to_jpeg2000(description, frame)).samples, wanted)


def test_indices_of_a_palette_stay_indices():
    wanted = picture(8)
    decoded = decode(describing(made.EXPLICIT, photometric="PALETTE COLOR"), wanted.tobytes())
    assert decoded.photometric == "PALETTE COLOR"
    assert_near(decoded.samples, wanted)


@pytest.mark.parametrize(
    ("samples", "photometric"),
    [(4, "CMYK"), (4, "ARGB"), (3, "HSV"), (3, "YBR_PARTIAL_422"), (3, "YBR_PARTIAL_420"), (1, "RGB"), (3, "ODD")],
)
def test_retired_and_unknown_colours_cannot_be_decoded(samples, photometric):
    with pytest.raises(CannotDecode, match="samples of that PhotometricInterpretation"):
        decode(describing(made.EXPLICIT, samples=samples, photometric=photometric), bytes(4 * made.ROWS * made.COLUMNS))


@pytest.mark.parametrize("number", [100, 101, 102, 103, 104, 105, 106, 107, 108])
def test_video_cannot_be_decoded(number):
    syntax = f"1.2.840.10008.1.2.4.{number}"
    assert not can_decode(syntax)
    assert codec_of(syntax) == ""
    with pytest.raises(CannotDecode, match="no codec"):
        decode(describing(syntax), b"\0\0\1\xba" * 100)


@pytest.mark.parametrize(
    "syntax", [value for name, value in vars(made).items() if isinstance(value, str) and value.startswith("1.2.840.")]
)
def test_every_other_syntax_has_a_codec_with_a_name(syntax):
    assert can_decode(syntax)
    assert codec_of(syntax)
