"""Codecs that are missing, frames that are damaged, and what must not come out of either."""

from __future__ import annotations

import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.dicom.codecs import CODECS, encode_jpeg_2000
from shared.dicom.pixels import CannotDecode, decode
from tests.dicom import pictures as made
from tests.dicom.pictures import describing, picture
from tests.support.served import ROOT

# A frame of each codec and what the data set says of it.
FRAMES = {
    "JPEG": (describing(made.BASELINE), made.jpeg(picture(8), level=90)),
    "JPEG in colour": (
        describing(made.BASELINE, samples=3, photometric="YBR_FULL_422"),
        made.jpeg(picture(8, samples=3), level=90, subsampling="422"),
    ),
    "JPEG of 12 bits": (describing(made.EXTENDED, bits_stored=12), made.jpeg(picture(12), level=90, bitspersample=12)),
    "lossless JPEG": (
        describing(made.LOSSLESS_SV1, bits_stored=16),
        made.jpeg(picture(16), lossless=True, bitspersample=16),
    ),
    "JPEG-LS": (describing(made.JPEG_LS, bits_stored=16), bytes(imagecodecs.jpegls_encode(picture(16)))),
    "JPEG-LS in colour": (
        describing(made.JPEG_LS_NEAR, samples=3),
        bytes(imagecodecs.jpegls_encode(picture(8, samples=3), level=2)),
    ),
    "JPEG 2000": (describing(made.J2K_LOSSLESS, bits_stored=12), made.jpeg_2000(picture(12), 12)),
    "HTJ2K": (describing(made.HTJ2K_LOSSLESS), bytes(imagecodecs.htj2k_encode(picture(8), reversible=True))),
    "JPEG XL": (describing(made.JPEG_XL_LOSSLESS), bytes(imagecodecs.jpegxl_encode(picture(8), lossless=True))),
    "RLE": (describing(made.RLE, bits_stored=16), made.rle(picture(16))),
    "Deflate": (describing(made.DEFLATED_FRAMES), made.deflated(picture(8).tobytes())),
}


def test_the_frames_that_are_damaged_below_are_sound():
    for description, frame in FRAMES.values():
        assert decode(description, frame).samples.size


def test_every_codec_is_damaged_below():
    assert {
        CODECS[description.transfer_syntax].name
        for description, _ in FRAMES.values()
        if description.transfer_syntax in CODECS
    } == {codec.name for codec in CODECS.values()}


@pytest.mark.parametrize("kind", FRAMES)
@settings(max_examples=60, deadline=None)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    cut=st.floats(0.05, 1),
    tail=st.binary(max_size=8),
)
def test_a_damaged_frame_gives_a_picture_or_cannot_be_decoded(kind, changes, cut, tail):
    description, frame = FRAMES[kind]
    damaged = bytearray(frame)
    for number, (place, value) in enumerate(changes):
        # Every other change goes into the headers, where it matters most.
        damaged[int(place * (len(frame) if number % 2 else min(len(frame), 120)))] = value
    try:
        decoded = decode(description, bytes(damaged[: int(cut * len(damaged))]) + tail)
    except CannotDecode:
        return
    assert decoded.samples.shape[:2] == (made.ROWS, made.COLUMNS)


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_that_is_cut_off_cannot_be_decoded(kind):
    description, frame = FRAMES[kind]
    for part in (2, 3, 10):
        with pytest.raises(CannotDecode):
            decode(description, frame[: len(frame) - len(frame) // part])


def test_jpeg_ls_comes_back_from_every_cut():
    """CharLS by itself runs for ever on some of them."""
    description, frame = FRAMES["JPEG-LS"]
    for end in range(40, len(frame) - 2, 97):
        with pytest.raises(CannotDecode):
            decode(description, frame[:end])


@pytest.mark.parametrize("kind", [kind for kind, (what, _) in FRAMES.items() if what.transfer_syntax in CODECS])
@pytest.mark.parametrize("attribute", ["rows", "columns", "samples"])
def test_a_codestream_of_another_size_is_refused(kind, attribute):
    description, frame = FRAMES[kind]
    changes = {"rows": made.ROWS + 1, "columns": made.COLUMNS - 1, "samples": 4 - description.samples}
    photometric = "MONOCHROME2" if description.samples == 3 else "RGB"
    other = describing(
        description.transfer_syntax,
        **{
            "bits_stored": description.bits_stored,
            "samples": description.samples,
            "photometric": photometric if attribute == "samples" else description.photometric,
            attribute: changes[attribute],
        },
    )
    if kind == "RLE" and attribute == "columns":
        return  # RLE does not tell its width, and more is taken for padding
    with pytest.raises(CannotDecode):
        decode(other, frame)


def test_a_jpeg_of_very_many_scans_is_refused():
    """Each one would be a pass over the whole image."""
    description, frame = FRAMES["JPEG"]
    with pytest.raises(CannotDecode, match="too many scans"):
        decode(description, frame[:-2] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 101 + frame[-2:])


def test_more_bits_than_allocated_are_refused():
    with pytest.raises(CannotDecode, match="more bits"):
        decode(describing(made.J2K_LOSSLESS), made.jpeg_2000(picture(12), 12))


HIDING = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == {hidden!r} or name.startswith({hidden!r} + "."):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
from shared.dicom.pixels import CannotDecode, decode, to_jpeg2000
from shared.dicom.pixels import PixelDescription
uids = sys.argv[1:]
for uid in uids:
    description = PixelDescription(uid, "PixelData", "OB", True, 61, 83, 1, 8, 8, 7, False, "MONOCHROME2", 0, 1)
    try:
        decode(description, b"\\xff\\xd8" + bytes(80))
    except CannotDecode as error:
        print(error)
native = PixelDescription("1.2.840.10008.1.2.1", "PixelData", "OB", True, 2, 2, 1, 8, 8, 7, False, "MONOCHROME2", 0, 1)
print(decode(native, bytes(4)).samples.shape)
try:
    to_jpeg2000(native, bytes(4))
except CannotDecode as error:
    print(error)
"""


def with_hidden(module: str, *uids: str) -> list[str]:
    """What a process without the module prints: a line for each syntax, one for a native frame, one for encoding."""
    run = subprocess.run(
        [sys.executable, "-c", HIDING.format(hidden=module), *uids],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert run.stderr == ""
    return run.stdout.splitlines()


def test_without_the_library_compressed_frames_cannot_be_decoded_and_native_ones_can():
    refusals = [f"The codec for {codec.name} is not installed." for codec in CODECS.values()]
    assert with_hidden("imagecodecs", *CODECS) == [*refusals, "(2, 2)", "The codec for JPEG 2000 is not installed."]


def test_without_one_codec_of_the_library_only_that_one_is_missing():
    jpeg, native, encoding = with_hidden("imagecodecs._jpeg2k", made.BASELINE)
    assert "JPEG marker segments" in jpeg
    assert native == "(2, 2)"
    assert encoding == "The codec for JPEG 2000 is not installed."


def test_the_library_is_loaded_with_the_first_compressed_frame():
    """numpy is there before: pydicom loads it."""
    script = "import sys, shared.dicom.pixels; print('imagecodecs' in sys.modules, 'pydicom.pixels' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split()[0] == "False"


def test_damaged_frames_write_nothing(capfd):
    refused = 0
    for description, frame in FRAMES.values():
        for place in range(20, min(len(frame), 300), 7):
            damaged = bytearray(frame)
            damaged[place] ^= 0xFF
            try:
                decode(description, bytes(damaged))
            except CannotDecode:
                refused += 1
    assert refused > 100
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bits", [1, 7, 8, 12, 16])
@pytest.mark.parametrize("signed", [True, False])
def test_jpeg_2000_is_encoded_with_its_precision_and_sign(bits, signed):
    samples = picture(bits, signed=signed)
    frame = encode_jpeg_2000(samples, bits, transform=False)
    assert frame[42] == (bits - 1) | (0x80 if signed else 0)
    assert np.array_equal(imagecodecs.jpeg2k_decode(frame), samples)
