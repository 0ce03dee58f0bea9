"""Every file with pixels that pydicom and pydicom-data ship, through real HTTP: frames, other encodings, pictures.

What comes back is compared with pydicom's own reading of the file, with codecs from other hands than the service's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEG2000Lossless

from tests.served.test_real_files import Sent, Stored, batches, holds, sent
from tests.support.clients import naive_parts
from tests.support.served import started
from tests.support.storage import fresh_account

pytestmark = [
    pytest.mark.served,
    pytest.mark.azurite,
    # pydicom complains about the files, which are odd on purpose.
    pytest.mark.filterwarnings("ignore"),
]

EXPLICIT = str(ExplicitVRLittleEndian)
OCTETS = "application/octet-stream"

# A codestream that claims 3,722,445,056 columns; none of pydicom's codecs reads it either.
BROKEN = {"JPEG2000-embedded-sequence-delimiter.dcm"}
# Twelve bits in a file whose scan header is against the rules; only our codec reads it, so there is nothing to compare.
NO_ORACLE = {"JPEG-lossy.dcm"}
# Codecs for lossy syntaxes may round in their own way (PS3.5 §8.2).
LOSSY = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81, 91)}
MOST_ROUNDING = 1
QUICK_BYTES = 130_000


@pytest.fixture(scope="module", params=["small", pytest.param("large", marks=pytest.mark.slow)])
def stored(request: pytest.FixtureRequest, azurite: Any) -> Iterator[Stored]:
    """Files with pixels, up to a size or beyond it, sent to the newest version."""
    large = request.param == "large"
    account = fresh_account(azurite.connection_string)
    with (
        started({"DICOM_STORAGE": account, "DICOM_DATA_PARTITIONS": "on"}) as running,
        httpx.Client(base_url=running.url, timeout=60, trust_env=False) as http,
    ):
        entries = []
        for batch in batches("v2"):
            batch.files[:] = [(path, names) for path, names in batch.files if wanted(path, large=large)]
            if batch.files:
                entries += sent(running, "v2", batch)[0]
        yield Stored("v2", running, [one for one in entries if one.stored], [], http)


def wanted(path: Path, *, large: bool) -> bool:
    return has_pixels(path) and (path.stat().st_size > QUICK_BYTES) == large


def has_pixels(path: Path) -> bool:
    with path.open("rb") as file:
        dataset = pydicom.dcmread(file, defer_size=1024)
        return any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))


def count_of(dataset: Dataset) -> int:
    try:
        return int(dataset.get("NumberOfFrames") or 1)
    except ValueError:
        return 1  # a value with a letter in it


def all_frames(stored: Stored, entry: Sent, count: int, accept: str) -> httpx.Response:
    numbers = ",".join(str(number) for number in range(1, count + 1))
    return stored.get(entry, f"{entry.instance}/frames/{numbers}", accept)


def raw_frames(dataset: Dataset) -> list[bytes]:
    """Frames as they are stored: by pydicom, or cut out of the value when they are not compressed."""
    count = count_of(dataset)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return list(generate_frames(dataset.PixelData, number_of_frames=count))
    bits = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        bits = bits * 2 // 3
    assert bits % 8 == 0, "a frame that ends within a byte is for other tests"
    size = bits // 8
    if size % 2 and dataset.file_meta.TransferSyntaxUID == ExplicitVRBigEndian and dataset["PixelData"].VR == "OW":
        assert count == 1
        size += 1  # the last sample is in the other half of its word
    return [dataset.PixelData[start : start + size] for start in range(0, count * size, size)]


def test_enough_files_are_looked_at_to_mean_something(stored: Stored) -> None:
    syntaxes = {pydicom.dcmread(one.path, defer_size=64).file_meta.TransferSyntaxUID for one in stored.sent}
    large = all(wanted(one.path, large=True) for one in stored.sent)
    least_files, least_syntaxes = (35, 5) if large else (100, 10)
    assert len(stored.sent) >= least_files
    assert len(syntaxes) >= least_syntaxes


def test_all_frames_come_back_as_they_are_stored(stored: Stored) -> None:
    def check(entry: Sent) -> None:
        dataset = pydicom.dcmread(entry.path)
        frames = raw_frames(dataset)
        syntax = dataset.file_meta.TransferSyntaxUID
        delivered = EXPLICIT if syntax.is_deflated else syntax
        answer = all_frames(stored, entry, len(frames), f'multipart/related; type="{OCTETS}"; transfer-syntax=*')
        parts = naive_parts(answer.content)
        # Lengths first: a difference of megabytes is no message.
        assert [len(part.content) for part in parts] == [len(frame) for frame in frames]
        assert all(part.content == frame for part, frame in zip(parts, frames, strict=True))
        assert {part.content_type for part in parts} == {f"{OCTETS}; transfer-syntax={delivered}"}
        alone = stored.get(entry, f"{entry.instance}/frames/{len(frames)}", f"{OCTETS}; transfer-syntax=*")
        assert alone.content == frames[-1]
        beyond = stored.get(entry, f"{entry.instance}/frames/{len(frames) + 1}", f"{OCTETS}; transfer-syntax=*")
        # One file has more pixel data than its NumberOfFrames, which has a letter in it, could say.
        assert beyond.status_code == 404 or entry.path.name == "badVR.dcm"

    holds(stored.sent, check)


def native_value(path: Path) -> tuple[bytes, Dataset]:
    """All frames in explicit little endian, as pydicom's `decompress` writes them, and the data set then."""
    dataset = pydicom.dcmread(path)
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == ExplicitVRBigEndian:
        samples = dataset.pixel_array
        if dataset.BitsAllocated == 1:
            return np.packbits(samples, bitorder="little").tobytes(), dataset
        return samples.astype(samples.dtype.newbyteorder("<")).tobytes(), dataset
    if not syntax.is_encapsulated:
        return b"".join(raw_frames(dataset)), dataset
    try:
        dataset.decompress()
    except ValueError:  # what pydicom says when a decoder gives it an array that it may not change
        return dataset.pixel_array.tobytes(), dataset
    bytes_each = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
    return dataset.PixelData[: bytes_each * count_of(dataset)], dataset


def nearly(got: bytes, expected: bytes, dataset: Dataset, most: int) -> bool:
    """Whether samples differ by no more than that."""
    if got == expected:
        return True
    if most == 0 or len(got) != len(expected):
        return False
    kind = f"{'i' if dataset.PixelRepresentation else 'u'}{dataset.BitsAllocated // 8}"
    difference = np.frombuffer(got, kind).astype(np.int64) - np.frombuffer(expected, kind).astype(np.int64)
    return bool(np.abs(difference).max() <= most)


def test_all_frames_become_native_as_pydicom_decodes_them(stored: Stored) -> None:
    compared: list[str] = []

    def check(entry: Sent) -> None:
        name, count = entry.path.name, count_of(pydicom.dcmread(entry.path, defer_size=64))
        answer = all_frames(stored, entry, count, f'multipart/related; type="{OCTETS}"')
        whole = stored.get(entry, entry.instance, f"application/dicom; transfer-syntax={EXPLICIT}")
        if name in BROKEN:
            assert (answer.status_code, whole.status_code) == (406, 406)
            return
        assert (answer.status_code, whole.status_code) == (200, 200), answer.text[:100] + whole.text[:100]
        parts = naive_parts(answer.content)
        assert {part.content_type for part in parts} == {f"{OCTETS}; transfer-syntax={EXPLICIT}"}
        got = b"".join(part.content for part in parts)
        in_file = pydicom.dcmread(BytesIO(whole.content))
        assert in_file.file_meta.TransferSyntaxUID == EXPLICIT
        assert bytes(in_file.PixelData).startswith(got)
        if name in NO_ORACLE:
            return
        expected, dataset = native_value(entry.path)
        syntax = pydicom.dcmread(entry.path, defer_size=64).file_meta.TransferSyntaxUID
        assert nearly(got, expected, dataset, MOST_ROUNDING if syntax in LOSSY else 0)
        if syntax.is_encapsulated:
            assert in_file.PhotometricInterpretation == dataset.PhotometricInterpretation
            compared.append(name)

    holds(stored.sent, check)
    assert 12 * len(compared) >= len(stored.sent)


@pytest.mark.slow
def test_all_frames_become_lossless_jpeg_2000_where_it_can_hold_them(stored: Stored) -> None:
    made: list[str] = []

    def check(entry: Sent) -> None:
        dataset = pydicom.dcmread(entry.path)
        answer = stored.get(entry, f"{entry.instance}/frames/1", "image/jp2")
        whole = stored.get(entry, entry.instance, f"application/dicom; transfer-syntax={JPEG2000Lossless}")
        if entry.path.name in BROKEN or dataset.BitsAllocated > 16:
            assert (answer.status_code, whole.status_code) == (406, 406)
            return
        if entry.path.name == "badVR.dcm":
            return
        assert (answer.status_code, whole.status_code) == (200, 200), answer.text[:100] + whole.text[:100]
        assert answer.headers["content-type"] == f"image/jp2; transfer-syntax={JPEG2000Lossless}"
        in_file = pydicom.dcmread(BytesIO(whole.content))
        assert in_file.file_meta.TransferSyntaxUID == JPEG2000Lossless
        assert next(generate_frames(in_file.PixelData, number_of_frames=count_of(dataset))).startswith(answer.content)
        if entry.path.name in NO_ORACLE:
            return
        # One bit a sample is one byte a sample in JPEG 2000, as it is in an array.
        syntax = dataset.file_meta.TransferSyntaxUID
        got, expected = in_file.pixel_array.astype(np.int64), dataset.pixel_array.astype(np.int64)
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() <= (MOST_ROUNDING if syntax in LOSSY else 0)
        made.append(entry.path.name)

    holds(stored.sent, check)
    assert 2 * len(made) >= len(stored.sent)


@pytest.mark.slow
def test_every_frame_is_rendered_in_its_size(stored: Stored) -> None:
    def check(entry: Sent) -> None:
        dataset = pydicom.dcmread(entry.path, defer_size=64)
        last = f"{entry.instance}/frames/{count_of(dataset)}/rendered"
        for path, accept in ((f"{entry.instance}/rendered", "image/png"), (last, "image/jpeg"), (last, "*/*")):
            answer = stored.get(entry, path, accept)
            if entry.path.name in BROKEN:
                assert answer.status_code == 406
                continue
            assert answer.status_code == 200, answer.text[:200]
            picture = Image.open(BytesIO(answer.content))
            picture.load()
            assert answer.headers["content-type"] == f"image/{(picture.format or '').lower()}"
            assert picture.size == (dataset.Columns, dataset.Rows)
            grey = dataset.PhotometricInterpretation.startswith("MONOCHROME")
            assert picture.mode == ("L" if grey else "RGB")

    holds(stored.sent, check)


def test_metadata_knows_nothing_of_pixels(stored: Stored) -> None:
    """What pixel data is made of belongs to frames; metadata stays as it was stored."""

    def check(entry: Sent) -> None:
        answer = stored.get(entry, f"{entry.instance}/metadata", "application/dicom+json")
        assert not {"7FE00010", "7FE00008", "7FE00009"} & json.loads(answer.content)[0].keys()

    holds(stored.sent, check)
