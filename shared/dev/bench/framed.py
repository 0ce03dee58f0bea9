"""Objects of many frames for benchmarks, made as they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from io import BytesIO
from random import Random
from struct import pack

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless

from shared.dev.bench.files import new_uid
from shared.dev.bench.report import BenchError

_SIDE = 72
NOISE_BYTES = _SIDE * _SIDE * 2
"""Of a frame of noise."""

_NOISE = Random(11).randbytes(NOISE_BYTES)  # noqa: S311 - a picture of noise, not a secret
_ITEM_BYTES = 8
# 512 x 512 pixels of 14 bits, JPEG 2000.
_PICTURE = "693_J2KI.dcm"


@dataclass(frozen=True, slots=True)
class FramedObject:
    """An instance of many frames that are equally long.

    Attributes:
        count: how many frames.
        encapsulated: whether they are in items, one each.
        uids: study, series, instance.
        head: the file up to its first frame, or the item of that.
        content: gives the bytes of a frame.
        frame_bytes: how many these are.
    """

    count: int
    encapsulated: bool
    uids: tuple[str, str, str]
    head: bytes
    content: Callable[[int], bytes]
    frame_bytes: int

    @property
    def kind(self) -> str:
        """In a word."""
        return "encapsulated" if self.encapsulated else "native"

    @property
    def path(self) -> str:
        """Where it is below a version."""
        study, series, instance = self.uids
        return f"studies/{study}/series/{series}/instances/{instance}"

    @property
    def size_bytes(self) -> int:
        """How long the file is."""
        return len(self.head) + self.count * self._step + (_ITEM_BYTES if self.encapsulated else 0)

    @property
    def _step(self) -> int:
        return self.frame_bytes + (_ITEM_BYTES if self.encapsulated else 0)

    def offset(self, frame: int) -> int:
        """Where the bytes of a frame begin in the file."""
        return len(self.head) + frame * self._step - self.frame_bytes

    async def pieces(self) -> AsyncIterator[bytes]:
        """The file."""
        yield self.head
        item = pack("<HHL", 0xFFFE, 0xE000, self.frame_bytes) if self.encapsulated else b""
        for frame in range(1, self.count + 1):
            yield item + self.content(frame)
        if self.encapsulated:
            yield pack("<HHL", 0xFFFE, 0xE0DD, 0)


def noise(count: int, *, encapsulated: bool) -> FramedObject:
    """Frames of noise, no two alike; those that are encapsulated say they are JPEG 2000, and are not."""
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    dataset.PatientID, dataset.Modality = "BENCH-1", "CT"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = _SIDE
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(JPEG2000Lossless if encapsulated else ExplicitVRLittleEndian)
    return _framed(dataset, count, _numbered, NOISE_BYTES)


def pictures(count: int) -> FramedObject:
    """The same real picture in JPEG 2000, so many times."""
    path = get_testdata_file(_PICTURE, download=False)
    if not isinstance(path, str):
        raise BenchError(f"{_PICTURE} is not here; install requirements-dev.txt")
    dataset = pydicom.dcmread(path)
    (picture,) = generate_frames(dataset.PixelData, number_of_frames=1)
    del dataset.PixelData
    dataset.PatientID = "BENCH-1"
    return _framed(dataset, count, lambda _: picture, len(picture))


def _numbered(frame: int) -> bytes:
    return frame.to_bytes(8, "little") + _NOISE[8:]


def _framed(dataset: Dataset, count: int, content: Callable[[int], bytes], frame_bytes: int) -> FramedObject:
    uids = (new_uid(), new_uid(), new_uid())
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = uids
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.NumberOfFrames = count
    encapsulated = bool(dataset.file_meta.TransferSyntaxUID.is_encapsulated)
    file = BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    vr, length = (b"OB", 0xFFFFFFFF) if encapsulated else (b"OW", count * frame_bytes)
    head = file.getvalue() + pack("<HH2sHL", 0x7FE0, 0x0010, vr, 0, length)
    if encapsulated:
        head += pack("<HHL", 0xFFFE, 0xE000, 0)  # an empty offset table
    return FramedObject(count, encapsulated, uids, head, content, frame_bytes)
