"""Instances for benchmarks, made as they are sent: the client never holds a large one."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from math import isqrt
from random import Random
from struct import pack

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from shared.dev.bench.report import KIB
from shared.wire.multipart import closing, part_head

BOUNDARY = "benchmark-boundary"
RELATED = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
EXPLICIT = str(ExplicitVRLittleEndian)
IMPLICIT = str(ImplicitVRLittleEndian)
BIG_ENDIAN = str(ExplicitVRBigEndian)

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
# As long as any that `new_uid` makes.
_PLACEHOLDERS = tuple(f"2.25.{10**38 + place}" for place in range(3))
_PIECE_BYTES = 64 * KIB
# Noise with every byte in it, as from a scanner: carriage returns included, which a multipart reader must look at.
_NOISE = Random(7).randbytes(_PIECE_BYTES)  # noqa: S311 - a picture of noise, not a secret
_PIXEL_DATA = {
    EXPLICIT: ("<HH2sHL", (0x7FE0, 0x0010, b"OW", 0)),
    IMPLICIT: ("<HHL", (0x7FE0, 0x0010)),
    BIG_ENDIAN: (">HH2sHL", (0x7FE0, 0x0010, b"OW", 0)),
}


@dataclass(frozen=True, slots=True)
class MadeInstance:
    """A valid Part 10 file.

    Attributes:
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        sop_instance_uid: SOPInstanceUID.
        head: the file up to its pixels.
        pixel_bytes: how long its pixels are, an even number.
    """

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    head: bytes
    pixel_bytes: int

    @property
    def size_bytes(self) -> int:
        """How long the file is."""
        return len(self.head) + self.pixel_bytes

    @property
    def path(self) -> str:
        """Where it is below a version."""
        return f"studies/{self.study_uid}/series/{self.series_uid}/instances/{self.sop_instance_uid}"

    def pieces(self) -> list[bytes]:
        """The file in pieces that share one memory."""
        whole, rest = divmod(self.pixel_bytes, _PIECE_BYTES)
        return [self.head, *[_NOISE] * whole, *([_NOISE[:rest]] if rest else [])]


def instance(
    size_bytes: int, syntax: str = EXPLICIT, study_uid: str | None = None, series_uid: str | None = None
) -> MadeInstance:
    """A new instance whose file is that long, or as short as it can be."""
    uids = (study_uid or new_uid(), series_uid or new_uid(), new_uid())
    head, pixel_bytes = _template(size_bytes, syntax)
    for placeholder, uid in zip(_PLACEHOLDERS, uids, strict=True):
        head = head.replace(placeholder.encode(), uid.encode())
    return MadeInstance(*uids, head, pixel_bytes)


def series_of(count: int, size_bytes: int) -> list[MadeInstance]:
    """Instances of one new series."""
    study_uid, series_uid = new_uid(), new_uid()
    return [instance(size_bytes, EXPLICIT, study_uid, series_uid) for _ in range(count)]


def beside(other: MadeInstance) -> MadeInstance:
    """A new instance in the series of another one, as large as that."""
    uid = new_uid()
    return replace(other, sop_instance_uid=uid, head=other.head.replace(other.sop_instance_uid.encode(), uid.encode()))


def new_uid() -> str:
    """A UID of its own; all of them are equally long."""
    return f"2.25.{10**38 + secrets.randbelow(10**38)}"


def body_bytes(instances: Sequence[MadeInstance]) -> int:
    """Length of the multipart body of instances."""
    heads = sum(len(part_head(BOUNDARY, "application/dicom", place == 0)) for place in range(len(instances)))
    return heads + sum(each.size_bytes for each in instances) + len(closing(BOUNDARY))


async def body(instances: Sequence[MadeInstance]) -> AsyncIterator[bytes]:
    """The multipart body, piece by piece."""
    for place, each in enumerate(instances):
        yield part_head(BOUNDARY, "application/dicom", place == 0)
        for piece in each.pieces():
            yield piece
    yield closing(BOUNDARY)


def whole_body(instances: Sequence[MadeInstance]) -> bytes:
    """The multipart body at once, for bodies that are small."""
    pieces = []
    for place, each in enumerate(instances):
        pieces += [part_head(BOUNDARY, "application/dicom", place == 0), *each.pieces()]
    return b"".join([*pieces, closing(BOUNDARY)])


@lru_cache(maxsize=16)
def _template(size_bytes: int, syntax: str) -> tuple[bytes, int]:
    """The head of a file of that size, with placeholders as UIDs, and how many bytes of pixels follow it."""
    # The head says how many pixels there are, but in a number whose length is fixed.
    pixel_bytes = max(size_bytes - len(_head(syntax, 2)), 2) // 2 * 2
    return _head(syntax, pixel_bytes), pixel_bytes


def _head(syntax: str, pixel_bytes: int) -> bytes:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = _CT_IMAGE
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = _PLACEHOLDERS
    dataset.StudyDate = "20240229"
    dataset.StudyTime = "101500"
    dataset.AccessionNumber = "ACC-1"
    dataset.Modality = "CT"
    dataset.ReferringPhysicianName = "Referring^Doctor"
    dataset.StudyDescription = "Benchmark"
    dataset.PatientName = "Bench^Mark"
    dataset.PatientID = "BENCH-1"
    dataset.PatientBirthDate = "19700101"
    dataset.InstanceNumber = 1
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    # Not exactly as many pixels as there are bytes: the service does not look, and the size is what matters here.
    dataset.Rows = dataset.Columns = min(isqrt(pixel_bytes // 2) or 1, 65535)
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(_CT_IMAGE)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(_PLACEHOLDERS[2])
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    file = BytesIO()
    pydicom.dcmwrite(
        file,
        dataset,
        implicit_vr=syntax == IMPLICIT,
        little_endian=syntax != BIG_ENDIAN,
        enforce_file_format=True,
    )
    form, fields = _PIXEL_DATA[syntax]
    return file.getvalue() + pack(form, *fields, pixel_bytes)
