"""Examples of answers for a version's document, made by the rules the version answers by, of one made-up instance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.api.manifest import ApiVersion, Row
from shared.api.shapes import Answer
from shared.behaviours import InvalidSearchableValue
from shared.dicom.attributes import RETURN_SETS, Level
from shared.dicom.reasons import FailureReason, WarningReason
from shared.dicom.validation import Finding, Identity
from shared.stow import report
from shared.stow.outcomes import Outcome

# A data set in the DICOM JSON model.
_DataSet = dict[str, dict[str, Any]]

_STUDY_UID = "2.25.1001"
_SERIES_UID = "2.25.1001.1"
_INSTANCE_UID = "2.25.1001.1.1"
_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
_HOST = "https://dicom.example.org"

# What a scanner may have sent, by level: the attributes that answers give by default.
_INSTANCE: Mapping[Level, _DataSet] = {
    Level.STUDY: {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080020": {"vr": "DA", "Value": ["20261121"]},
        "00080030": {"vr": "TM", "Value": ["083000"]},
        "00080050": {"vr": "SH", "Value": ["ACC-1001"]},
        "00080090": {"vr": "PN", "Value": [{"Alphabetic": "Referrer^Rosa"}]},
        "00081030": {"vr": "LO", "Value": ["CHEST CT"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Example^Ada"}]},
        "00100020": {"vr": "LO", "Value": ["EX-1001"]},
        "00100030": {"vr": "DA"},
        "00100040": {"vr": "CS", "Value": ["O"]},
        "0020000D": {"vr": "UI", "Value": [_STUDY_UID]},
        "00200010": {"vr": "SH", "Value": ["1001"]},
    },
    Level.SERIES: {
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "0008103E": {"vr": "LO", "Value": ["AXIAL 1 MM"]},
        "00081090": {"vr": "LO", "Value": ["Scanner 3000"]},
        "0020000E": {"vr": "UI", "Value": [_SERIES_UID]},
        "00400244": {"vr": "DA", "Value": ["20261121"]},
        "00400275": {"vr": "SQ", "Value": [{"00400007": {"vr": "LO", "Value": ["Chest"]}}]},
    },
    Level.INSTANCE: {
        "00080016": {"vr": "UI", "Value": [_CT_IMAGE_STORAGE]},
        "00080018": {"vr": "UI", "Value": [_INSTANCE_UID]},
        "00200013": {"vr": "IS", "Value": [1]},
        "00280008": {"vr": "IS", "Value": [1]},
        "00280010": {"vr": "US", "Value": [512]},
        "00280011": {"vr": "US", "Value": [512]},
        "00280100": {"vr": "US", "Value": [16]},
    },
}
_UIDS = {"studyInstanceUid": "0020000D", "seriesInstanceUid": "0020000E"}
_RESOURCES = {"studies": Level.STUDY, "series": Level.SERIES, "instances": Level.INSTANCE}


@dataclass(frozen=True, slots=True)
class Example:
    """One answer.

    Attributes:
        name: among the examples of a document.
        summary: what happened.
        value: the JSON body.
    """

    name: str
    summary: str
    value: object


def of_reply(version: ApiVersion, row: Row, status: int, answer: Answer) -> tuple[Example, ...]:
    """Examples of the JSON that a row answers with a status: those its reply brings, or made ones."""
    operation = f"{row.operation[0].upper()}{row.operation[1:]}{status}"
    if answer.example is not None:
        return (Example(operation, answer.text, answer.example),)
    make = _MAKERS.get(answer.schema, _nothing)
    return tuple(Example(f"{operation}{name}", summary, value) for name, summary, value in make(version, row, status))


# Name within the operation, summary and value.
_Made = Iterator[tuple[str, str, object]]


def _nothing(_version: ApiVersion, _row: Row, _status: int) -> _Made:
    yield from ()


def _store_reports(version: ApiVersion, row: Row, status: int) -> _Made:
    """The cases of a store that the version answers with this status (contract C2.3)."""
    study_uid = _STUDY_UID if "studyInstanceUid" in row.placeholders else None
    for name, (summary, outcomes) in _STORES.items():
        if report.status_of(outcomes, version.behaviours.warned_store_status) != status:
            continue
        if name == "Warned" and version.behaviours.invalid_searchable_value is not InvalidSearchableValue.WARN:
            continue
        root, attributes = f"{_HOST}/{version.label.text}", version.behaviours.stored_item_attributes
        yield name, summary, report.dataset_of(outcomes, root, study_uid, attributes)


_IDENTITY = Identity(_CT_IMAGE_STORAGE, _STUDY_UID, _SERIES_UID, _INSTANCE_UID)
_FINDINGS = (Finding(0x00100030, "is not a date"),)
_STORES: Mapping[str, tuple[str, tuple[Outcome, ...]]] = {
    "Stored": ("Stored", (Outcome(_IDENTITY),)),
    "ImplicitVr": (
        "Stored, though its transfer syntax is Implicit VR Little Endian",
        (Outcome(_IDENTITY, warning=WarningReason.SOP_CLASS_MISMATCH),),
    ),
    "Warned": (
        "Stored, with an attribute that search and metadata leave out",
        (Outcome(_IDENTITY, warning=WarningReason.INVALID_ATTRIBUTES, findings=_FINDINGS),),
    ),
    "Partly": (
        "One stored, the other no DICOM file",
        (Outcome(_IDENTITY), Outcome(failure=FailureReason.VALIDATION_FAILURE)),
    ),
    "Known": ("Stored before", (Outcome(_IDENTITY, failure=FailureReason.ALREADY_EXISTS),)),
}


def _data_sets(version: ApiVersion, row: Row, _status: int) -> _Made:
    """Metadata, or what a search gives by default (contract C6.5)."""
    last = row.path.rpartition("/")[2]
    if last not in _RESOURCES:
        yield "", "One instance", [_metadata()]
        return
    levels = list(Level)
    own = levels.index(_RESOURCES[last])
    named = [uid for name, uid in _UIDS.items() if name in row.placeholders]
    sets = RETURN_SETS[version.behaviours.search_return_set.value]
    tags = {f"{tag:08X}" for level in levels[len(named) : own + 1] for tag in sets[level]} | set(named)
    yield "", "One match", [{tag: element for tag, element in _metadata().items() if tag in tags}]


def _metadata() -> _DataSet:
    return dict(sorted((tag, element) for level in _INSTANCE.values() for tag, element in level.items()))


def _changes(version: ApiVersion, row: Row, status: int) -> _Made:
    """An instance was deleted, and another one stored."""
    ((_, _, current),) = _change(version, row, status)
    assert isinstance(current, dict)
    without_metadata = {key: value for key, value in current.items() if key != "metadata"}
    deleted = {"action": "Delete", "timestamp": "2026-11-21T08:29:00.5+00:00", "state": "Deleted", "sequence": 21}
    yield "", "Two changes", [{**without_metadata, **deleted, "sopInstanceUid": f"{_SERIES_UID}.2"}, current]


def _change(_version: ApiVersion, _row: Row, _status: int) -> _Made:
    entry = {
        "sequence": 22,
        "partitionName": "Microsoft.Default",
        "studyInstanceUid": _STUDY_UID,
        "seriesInstanceUid": _SERIES_UID,
        "sopInstanceUid": _INSTANCE_UID,
        "action": "Create",
        "timestamp": "2026-11-21T08:30:00.1234567+00:00",
        "state": "Current",
        "metadata": _metadata(),
    }
    yield "", "An instance was stored", entry


_MAKERS: Mapping[str, Callable[[ApiVersion, Row, int], _Made]] = {
    "StoreReport": _store_reports,
    "DicomDatasets": _data_sets,
    "ChangeEntries": _changes,
    "ChangeEntry": _change,
}
