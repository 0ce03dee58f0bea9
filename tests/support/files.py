"""Real DICOM files for tests, and a quick builder of small valid ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from io import BytesIO
from math import isqrt
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid

# pydicom reads on where these end or overlap in the middle of an element; a service that keeps files must not.
BROKEN_FILES = frozenset(
    {"MR_truncated.dcm", "rtplan_truncated.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm", "DICOMDIR-nooffset"}
)

SLOW_BYTES = 250_000

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


def _package_folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(f"{package} is part of the test environment, but is not installed")
    return Path(next(iter(spec.submodule_search_locations)))


@lru_cache(maxsize=1)
def readable_files() -> tuple[Path, ...]:
    """Every file that pydicom and pydicom-data ship and that `pydicom.dcmread` reads without force, in fixed order."""
    folders = (_package_folder("pydicom") / "data", _package_folder("data_store") / "data")
    return tuple(path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file() and _reads(path))


def _reads(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pydicom.dcmread(path, defer_size=1024)
        except Exception:
            return False
    return True


def sound_files() -> tuple[Path, ...]:
    """The readable files that are complete: all but `BROKEN_FILES`."""
    return tuple(path for path in readable_files() if path.name not in BROKEN_FILES)


def file_id(path: Path) -> str:
    """A short name for a parametrised test: the file and the folder it is in."""
    return f"{path.parent.name}/{path.name}"


def file_parameters(paths: Iterable[Path]) -> list[Any]:
    """Such files as parameters of a test, named; those that take long by their size are marked slow."""
    return [
        pytest.param(path, id=file_id(path), marks=pytest.mark.slow if path.stat().st_size > SLOW_BYTES else ())
        for path in paths
    ]


def shipped_file(name: str) -> Path:
    """The readable file of that name, for example `CT_small.dcm`."""
    return next(path for path in readable_files() if path.name == name)


# 251 is prime to every frame size in use, so that no two frames are alike.
_PATTERN = bytes(range(251))


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """What a synthetic instance is made of; UIDs left out are made up.

    Attributes:
        columns: pixels in a row; there are as many rows.
        pixel_bytes: size of all pixel data, rounded up to full rows; it takes the place of `columns`.
        transfer_syntax: with one that compresses, the fragments are not a picture but arbitrary bytes.
        extra: further attributes by keyword; None removes one.
    """

    study_uid: str | None = None
    series_uid: str | None = None
    sop_instance_uid: str | None = None
    sop_class_uid: str = CT_IMAGE_STORAGE
    patient_id: str = "SYN-1"
    patient_name: str = "Synthetic^Instance"
    modality: str = "CT"
    frames: int = 1
    columns: int = 16
    pixel_bytes: int | None = None
    transfer_syntax: str = ExplicitVRLittleEndian
    extra: Mapping[str, Any] = field(default_factory=dict)


def synthetic_instance(**options: Any) -> bytes:
    """A small valid Part 10 file; the options are the fields of `Synthetic`."""
    wanted = Synthetic(**options)
    dataset = _synthetic_dataset(wanted)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(wanted.sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(str(dataset.get("SOPInstanceUID", "") or generate_uid()))
    meta.TransferSyntaxUID = UID(wanted.transfer_syntax)
    dataset.file_meta = meta
    syntax = UID(wanted.transfer_syntax)
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(
            file,
            dataset,
            implicit_vr=syntax.is_implicit_VR,
            little_endian=syntax != ExplicitVRBigEndian,
            enforce_file_format=True,
        )
    return file.getvalue()


def _synthetic_dataset(wanted: Synthetic) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = wanted.sop_class_uid
    dataset.SOPInstanceUID = wanted.sop_instance_uid or generate_uid()
    dataset.StudyDate = "20240229"
    dataset.StudyTime = "101500"
    dataset.AccessionNumber = "ACC-1"
    dataset.Modality = wanted.modality
    dataset.ReferringPhysicianName = "Referring^Doctor"
    dataset.StudyDescription = "Synthetic study"
    dataset.PatientName = wanted.patient_name
    dataset.PatientID = wanted.patient_id
    dataset.PatientBirthDate = "19700101"
    dataset.StudyInstanceUID = wanted.study_uid or generate_uid()
    dataset.SeriesInstanceUID = wanted.series_uid or generate_uid()
    dataset.InstanceNumber = 1
    _add_pixels(dataset, wanted)
    for keyword, value in wanted.extra.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def _add_pixels(dataset: Dataset, wanted: Synthetic) -> None:
    rows = columns = wanted.columns
    if wanted.pixel_bytes is not None:
        pixels = -(-wanted.pixel_bytes // (2 * wanted.frames))
        columns = isqrt(pixels - 1) + 1
        rows = -(-pixels // columns)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    if wanted.frames > 1:
        dataset.NumberOfFrames = wanted.frames
    dataset.Rows = rows
    dataset.Columns = columns
    dataset.BitsAllocated = 16
    dataset.BitsStored = 12
    dataset.HighBit = 11
    dataset.PixelRepresentation = 0
    frame_bytes = rows * columns * 2
    value = (_PATTERN * (frame_bytes * wanted.frames // len(_PATTERN) + 1))[: frame_bytes * wanted.frames]
    if UID(wanted.transfer_syntax).is_compressed and not UID(wanted.transfer_syntax).is_deflated:
        frames = [value[start : start + frame_bytes] for start in range(0, len(value), frame_bytes)]
        dataset["PixelData"] = DataElement(0x7FE00010, "OB", encapsulate(frames), is_undefined_length=True)
    else:
        dataset["PixelData"] = DataElement(0x7FE00010, "OW", value)
