"""The files that golden requests send: built here, the same bytes every time, named by what is special about them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from io import BytesIO
from typing import Any

import pydicom
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

_CT, _MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
_SIDE = 16
_RLE_HEADER_BYTES = 64
_RLE_LITERAL_BYTES = 128

# Something for every attribute that a search gives by default or for `all`, in any version (contract C6.5).
_FULL: Mapping[str, Any] = {
    "InstanceAvailability": "ONLINE",
    "TimezoneOffsetFromUTC": "+0100",
    "PatientSex": "F",
    "StudyID": "ST-1",
    "SeriesDescription": "Axial",
    "PerformedProcedureStepStartDate": "20240102",
    "PerformedProcedureStepStartTime": "101112.123456",
    "ManufacturerModelName": "Scanner 3000",
    "AnatomicRegionsInStudyCodeSequence": [("T-D3000", "SRT", "Chest")],
    "ProcedureCodeSequence": [("P-1", "LOCAL", "Scan of the chest")],
    "NameOfPhysiciansReadingStudy": "Reading^Doctor",
    "AdmittingDiagnosesDescription": "None",
    "PatientAge": "045Y",
    "PatientSize": "1.75",
    "PatientWeight": "70.50",
    "Occupation": "Baker",
    "AdditionalPatientHistory": "Nothing before",
    "SeriesNumber": "3",
    "Laterality": "L",
    "SeriesDate": "20240102",
    "SeriesTime": "101113",
    "BodyPartExamined": "CHEST",
    "WindowCenter": "120",
    "WindowWidth": "100",
}


def _numbered(study: int, series: int = 1, instance: int = 1, **extra: Any) -> Dataset:
    """A CT instance named 2.25.S, 2.25.S.R, 2.25.S.R.I; further attributes by keyword, None takes one away."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = _CT
    dataset.SOPInstanceUID = f"2.25.{study}.{series}.{instance}"
    dataset.StudyDate = "20240101"
    dataset.StudyTime = "101010"
    dataset.AccessionNumber = f"ACC-{study}"
    dataset.Modality = "CT"
    dataset.ReferringPhysicianName = "Referring^Doctor"
    dataset.StudyDescription = f"Study {study}"
    dataset.PatientName = "Golden^Gate"
    dataset.PatientID = f"GOLD-{study}"
    dataset.PatientBirthDate = "19700101"
    dataset.StudyInstanceUID = f"2.25.{study}"
    dataset.SeriesInstanceUID = f"2.25.{study}.{series}"
    dataset.InstanceNumber = str(instance)
    _add_picture(dataset, instance)
    for keyword, value in extra.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def _add_picture(dataset: Dataset, seed: int) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = _SIDE
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset["PixelData"] = DataElement(0x7FE00010, "OB", _frame(seed))


def _frame(seed: int) -> bytes:
    return bytes((place * 3 + seed * 41) % 256 for place in range(_SIDE * _SIDE))


def _full(study: int, instance: int, **extra: Any) -> Dataset:
    dataset = _numbered(study, 1, instance, PatientName="Müller^Anna=ミュラー^アンナ", StudyDate="20240229")
    for keyword, value in _FULL.items():
        setattr(dataset, keyword, [_coded(*item) for item in value] if isinstance(value, list) else value)
    referenced = Dataset()
    referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID = _CT, "2.25.9.9.9"
    dataset.ReferencedStudySequence = [referenced]
    dataset.add_new(0x00091001, "UN", b"\x01\x02")
    dataset.add_new(0x00090010, "LO", "GOLDEN")
    for keyword, value in extra.items():
        setattr(dataset, keyword, value)
    return dataset


def _tagged(study: int, number: int, **extra: Any) -> Dataset:
    dataset = _numbered(study, **{"EthnicGroup": f"Group {number}", "SeriesNumber": str(number), **extra})
    dataset.add_new(0x00111002, "LO", f"Private {number}")
    dataset.add_new(0x00110010, "LO", "GOLDEN TAGS")
    return dataset


def _coded(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _rle(study: int) -> Dataset:
    """Two frames of runs that repeat nothing (PS3.5 Annex G): no encoder, so no encoder's version shows."""
    dataset = _numbered(study, NumberOfFrames="2", WindowCenter="128", WindowWidth="256")
    frames = [_packed(_frame(seed)) for seed in (1, 2)]
    dataset["PixelData"] = DataElement(0x7FE00010, "OB", encapsulate(frames), is_undefined_length=True)
    return dataset


def _packed(frame: bytes) -> bytes:
    header = (1).to_bytes(4, "little") + _RLE_HEADER_BYTES.to_bytes(4, "little")
    runs = [frame[start : start + _RLE_LITERAL_BYTES] for start in range(0, len(frame), _RLE_LITERAL_BYTES)]
    return header.ljust(_RLE_HEADER_BYTES, b"\0") + b"".join(bytes([len(run) - 1]) + run for run in runs)


def _written(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(dataset.get("SOPClassUID", _CT))
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    # Named here, or the bytes would change with the library that writes them.
    dataset.file_meta.ImplementationClassUID = UID("2.25.1970")
    dataset.file_meta.ImplementationVersionName = "GOLDEN"
    file = BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def _nul_padded() -> bytes:
    content = _written(_numbered(47, PatientID="GOLD-47x", AccessionNumber="ACC-47x."))
    return content.replace(b"GOLD-47x", b"GOLD-47\0").replace(b"ACC-47x.", b"ACC-47\0\0")


def _searched(instance: int, series: int = 1, **extra: Any) -> Dataset:
    plain = {"StudyDate": "20240101", "PatientName": "Miller^Bob^J", "Modality": "MR", "SOPClassUID": _MR}
    return _numbered(32, series, instance, **{**plain, **extra})


_BUILDERS: Mapping[str, Callable[[], bytes]] = {
    # The change feed is recorded first, over these alone.
    "feed 1": lambda: _written(_numbered(11)),
    "feed 2": lambda: _written(_numbered(11, 1, 2)),
    "feed 3": lambda: _written(_numbered(12)),
    # What is searched and retrieved.
    "full 1": lambda: _written(_full(31, 1)),
    "full 2": lambda: _written(_full(31, 2, StudyDescription="Newer text", SeriesDescription="Newer series")),
    "plain MR": lambda: _written(_searched(1)),
    "plain CT": lambda: _written(_searched(1, 2, Modality="CT", SOPClassUID=_CT)),
    "bare": lambda: _written(
        _numbered(33, StudyDate="", StudyTime=None, AccessionNumber="", PatientName="", StudyDescription=None)
    ),
    "rle": lambda: _written(_rle(34), RLELossless),
    "no pixels": lambda: _written(_numbered(35, PixelData=None, Rows=None, Columns=None)),
    # What a store says something about.
    "good": lambda: _written(_numbered(41)),
    "good 2": lambda: _written(_numbered(41, 1, 2)),
    "good 3": lambda: _written(_numbered(41, 2, 1)),
    "other study": lambda: _written(_numbered(42)),
    "other study 2": lambda: _written(_numbered(42, 1, 2)),
    "no patient id": lambda: _written(_numbered(43, PatientID=None)),
    "empty patient id": lambda: _written(_numbered(44, PatientID="")),
    "long patient id": lambda: _written(_numbered(45, PatientID="x" * 65)),
    "wrong birth date": lambda: _written(_numbered(46, PatientBirthDate="NotADate")),
    "nul padded": _nul_padded,
    "several names": lambda: _written(_numbered(48, ReferringPhysicianName=["A^B", "C^D"])),
    "several patient ids": lambda: _written(_numbered(49, PatientID=["one", "two"])),
    "wrong others": lambda: _written(_numbered(50, StudyTime="99:99", BodyPartExamined="lower case")),
    "wrong in item": lambda: _written(_numbered(51, ProcedureCodeSequence=[_coded("x" * 17, "LOCAL", "Long")])),
    "implicit": lambda: _written(_numbered(52), ImplicitVRLittleEndian),
    "implicit and wrong": lambda: _written(_numbered(53, BodyPartExamined="lower case"), ImplicitVRLittleEndian),
    "leading zero": lambda: _written(_numbered(54, SeriesInstanceUID="2.25.54.007")),
    "no class": lambda: _written(_numbered(55, SOPClassUID=None)),
    "wrong uid": lambda: _written(_numbered(56, SeriesInstanceUID="2.25.56.a")),
    "several faults": lambda: _written(_numbered(57, PatientID="", StudyDate="2024", SeriesInstanceUID="")),
    "cut": lambda: _written(_numbered(58))[:-40],
    "no DICOM": lambda: b"This is no DICOM file.",
    "deleted 1": lambda: _written(_numbered(61)),
    "deleted 2": lambda: _written(_numbered(61, 1, 2)),
    "deleted 3": lambda: _written(_numbered(61, 2, 1)),
    # What is indexed by tags that come, updated and exported.
    "tagged 1": lambda: _written(_tagged(71, 1)),
    "tagged 2": lambda: _written(_tagged(72, 2)),
    "tagged wrong": lambda: _written(_tagged(73, 3, EthnicGroup="Longer than sixteen characters")),
    "updated 1": lambda: _written(_numbered(81)),
    "updated 2": lambda: _written(_numbered(81, 1, 2)),
    "exported 1": lambda: _written(_numbered(91)),
    "exported 2": lambda: _written(_numbered(91, 2, 1)),
}

NAMES = frozenset(_BUILDERS)


@cache
def content(name: str) -> bytes:
    """The file of that name."""
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        return _BUILDERS[name]()
