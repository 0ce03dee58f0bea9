"""Real pictures for tests: shipped files under new UIDs, with other frames or attributes where a test wants them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from struct import pack
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.sequence import Sequence as Items
from pydicom.uid import JPEG2000Lossless

from tests.support.clients import Made, new_uid
from tests.support.files import shipped_file


@lru_cache(maxsize=32)
def _bytes_of(name: str) -> bytes:
    return shipped_file(name).read_bytes()


def shipped(name: str, frames: Sequence[bytes] | None = None, **changes: Any) -> Made:
    """A shipped file as a new instance of a new study.

    Args:
        name: of the file, for example `emri_small_jpeg_2k_lossless.dcm`.
        frames: compressed frames that take the place of its own.
        changes: attributes by keyword; None removes one.
    """
    dataset = pydicom.dcmread(BytesIO(_bytes_of(name)))
    uids = {"study_uid": new_uid(), "series_uid": new_uid(), "sop_instance_uid": new_uid()}
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = uids.values()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientID = "IMG-1"
    if frames is not None:
        value, offsets, lengths = encapsulate_extended(list(frames))
        dataset.PixelData, dataset.NumberOfFrames = value, len(frames)
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets, lengths
        dataset["PixelData"].is_undefined_length = True
    for keyword, change in changes.items():
        if change is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, change)
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(file, dataset)
    return Made(**uids, content=file.getvalue())


def frames_of(content: bytes) -> list[bytes]:
    """Frames of a file as they are stored, by pydicom."""
    dataset = pydicom.dcmread(BytesIO(content))
    count = int(dataset.get("NumberOfFrames") or 1)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        tables = None
        if "ExtendedOffsetTable" in dataset:
            tables = (bytes(dataset.ExtendedOffsetTable), bytes(dataset.ExtendedOffsetTableLengths))
        return list(generate_frames(dataset.PixelData, number_of_frames=count, extended_offsets=tables))
    size = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
    return [bytes(dataset.PixelData[start : start + size]) for start in range(0, size * count, size)]


def decompressed(content: bytes) -> list[bytes]:
    """Frames of a file as pydicom's own `decompress` writes them."""
    dataset = pydicom.dcmread(BytesIO(content))
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress()
    size = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
    count = int(dataset.get("NumberOfFrames") or 1)
    return [bytes(dataset.PixelData[start : start + size]) for start in range(0, size * count, size)]


def many_frames(count: int) -> Made:
    """A JPEG 2000 object of so many frames, each with the functional groups that an enhanced CT has for it."""
    own = frames_of(_bytes_of("emri_small_jpeg_2k_lossless.dcm"))
    groups = pydicom.dcmread(BytesIO(_bytes_of("eCT_Supplemental.dcm"))).PerFrameFunctionalGroupsSequence
    return shipped(
        "emri_small_jpeg_2k_lossless.dcm",
        [own[number % len(own)] for number in range(count)],
        PerFrameFunctionalGroupsSequence=Items([groups[number % len(groups)] for number in range(count)]),
    )


def jpeg_claiming(columns: int, rows: int) -> bytes:
    """A real JPEG frame whose frame header claims another size (ISO/IEC 10918-1 §B.2.2)."""
    frame = frames_of(_bytes_of("SC_rgb_jpeg_dcmtk.dcm"))[0]
    start = frame.index(b"\xff\xc0") + 5
    return frame[:start] + pack(">HH", rows, columns) + frame[start + 4 :]


def jpeg_2000_claiming(columns: int, rows: int) -> bytes:
    """A real JPEG 2000 frame whose SIZ segment claims another size (ISO/IEC 15444-1 §A.5.1)."""
    frame = frames_of(_bytes_of("emri_small_jpeg_2k_lossless.dcm"))[0]
    start = frame.index(b"\xff\x51") + 6
    size = pack(">LL", columns, rows)
    # Size of the image, its offset, size of the tiles.
    return frame[:start] + size + frame[start + 8 : start + 16] + size + frame[start + 24 :]


def names_of(instance: Made) -> tuple[str, str, str]:
    """Study, series and instance UID, as the Python dicomweb-client takes them."""
    return instance.study_uid, instance.series_uid, instance.sop_instance_uid


def data_set(content: bytes) -> Dataset:
    """A file read by pydicom."""
    return pydicom.dcmread(BytesIO(content))


def decoded_jpeg_2000(codestream: bytes, like: Made) -> bytes:
    """The native samples of a JPEG 2000 frame, by pydicom's own decoder, for a frame of that instance."""
    source = data_set(like.content)
    if source.file_meta.TransferSyntaxUID.is_compressed:
        source.decompress()
    source.PixelData = encapsulate([codestream])
    source["PixelData"].VR = "OB"
    source.NumberOfFrames = 1
    source.file_meta.TransferSyntaxUID = JPEG2000Lossless
    if source.SamplesPerPixel == 3:
        source.PhotometricInterpretation = "YBR_RCT"
    file = BytesIO()
    pydicom.dcmwrite(file, source)
    return decompressed(file.getvalue())[0]
