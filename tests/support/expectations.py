"""What a store has to make of a real file, worked out from pydicom and the contract alone (C2.2, appendix 1).

Nothing here imports the service: it is the other opinion that the service is compared with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pydicom
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ImplicitVRLittleEndian
from pydicom.valuerep import VALIDATORS, validate_value

from tests.support.files import BROKEN_FILES

VALIDATION_FAILURE = 43264
IMPLICIT_WARNING = 45063
ATTRIBUTE_WARNING = 1

UID_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
# Contract C6.2, what no file carries left out: keyword and expected VR.
INDEXED = {
    "StudyInstanceUID": "UI", "PatientName": "PN", "PatientID": "LO", "PatientBirthDate": "DA",
    "AccessionNumber": "SH", "ReferringPhysicianName": "PN", "StudyDate": "DA", "StudyDescription": "LO",
    "SeriesInstanceUID": "UI", "Modality": "CS", "PerformedProcedureStepStartDate": "DA",
    "ManufacturerModelName": "LO", "SOPInstanceUID": "UI",
}  # fmt: skip
_NUMBERS = frozenset({"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
_CONTROL = re.compile(r"[\x00-\x1a\x1c-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Expected:
    """What has to become of a file.

    Attributes:
        failure: the FailureReason, None when it is stored.
        warning: the WarningReason, None for none.
        named: tags that FailedAttributesSequence has to name.
        dropped: top-level tags that leave the metadata.
        several: keywords of indexed attributes with several values.
    """

    failure: int | None = None
    warning: int | None = None
    named: frozenset[int] = frozenset()
    dropped: frozenset[int] = frozenset()
    several: frozenset[str] = frozenset()


@cache
def expected_outcome(path: Path, *, lenient: bool) -> Expected:
    """The outcome of storing a file in v2 (`lenient`) or in the versions before it."""
    if path.name in BROKEN_FILES:
        return Expected(VALIDATION_FAILURE)
    dataset = pydicom.dcmread(path, defer_size=4096)
    failures = _required(dataset, lenient=lenient)
    warnings: set[int] = set()
    if lenient:
        warnings = set(_offending(dataset)) - failures
        if not failures and not dataset.PatientID:
            warnings.add(Tag("PatientID"))
    else:
        failures |= set(_unsearchable(dataset))
    if failures:
        return Expected(VALIDATION_FAILURE, named=frozenset(failures))
    implicit = dataset.file_meta.get("TransferSyntaxUID") == ImplicitVRLittleEndian
    required = {Tag(keyword) for keyword in (*UID_KEYWORDS, "PatientID")}
    return Expected(
        warning=IMPLICIT_WARNING if implicit else ATTRIBUTE_WARNING if warnings else None,
        named=frozenset(warnings),
        dropped=frozenset(tag for tag in warnings if tag in dataset and tag not in required),
        several=frozenset(keyword for keyword in INDEXED if keyword in dataset and dataset[keyword].VM > 1),
    )


def status_of(outcomes: list[Expected], *, lenient: bool) -> int:
    """Contract C2.3."""
    failed = sum(outcome.failure is not None for outcome in outcomes)
    if failed == len(outcomes):
        return 409
    if failed or (lenient and any(outcome.warning for outcome in outcomes)):
        return 202
    return 200


def _required(dataset: Dataset, *, lenient: bool) -> set[int]:
    faults = set()
    for keyword in UID_KEYWORDS:
        value = dataset.get(keyword)
        if not value or isinstance(value, MultiValue) or not re.fullmatch(r"[0-9.]{0,63}[0-9]", value):
            faults.add(int(Tag(keyword)))
    if "PatientID" not in dataset or (not lenient and not dataset.PatientID):
        faults.add(int(Tag("PatientID")))
    return faults


def _offending(dataset: Dataset) -> Iterator[int]:
    """Tags with a value that pydicom's own rules of the VR refuse, in items as well."""
    for tag in dataset.keys():  # noqa: SIM118  iterating a data set itself converts every element
        element = dataset[tag]
        if element.VR == "SQ":
            for item in element.value:
                yield from _offending(item)
        elif element.VR in VALIDATORS and any(_refused(element.VR, value) for value in _values(element.value)):
            yield int(tag)


def _values(value: Any) -> list[Any]:
    several = list(value) if isinstance(value, (list, MultiValue)) else [value]
    return [one for one in several if one not in (None, "", b"")]


def _refused(vr: str, value: Any) -> bool:
    checked = value if vr in _NUMBERS or isinstance(value, bytes) else getattr(value, "original_string", str(value))
    try:
        validate_value(vr, checked, config.RAISE)
    except ValueError:
        return True
    return False


def _unsearchable(dataset: Dataset) -> Iterator[int]:
    """Indexed attributes that break their minimum rule; only the first value counts."""
    for keyword, vr in INDEXED.items():
        tag = BaseTag(Tag(keyword))
        if tag not in dataset:
            continue
        element = dataset[tag]
        values = _values(element.value)
        if vr != element.VR or (values and not _searchable(vr, str(values[0]))):
            yield int(tag)


def _searchable(vr: str, value: str) -> bool:
    match vr:
        case "CS" | "SH":
            return len(value) <= 16
        case "LO":
            return len(value) <= 64 and not _CONTROL.search(value)
        case "DA":
            return re.fullmatch(r"[0-9]{8}", value) is not None and _is_day(value)
        case "PN":
            groups = value.split("=")
            return (
                len(groups) <= 3
                and all(len(group) <= 64 and group.count("^") <= 4 for group in groups)
                and not _CONTROL.search(value)
            )
        case _:
            return True  # UIDs are required, and were looked at as such


def _is_day(digits: str) -> bool:
    try:
        datetime.strptime(digits, "%Y%m%d")  # noqa: DTZ007  a calendar day has no zone
    except ValueError:
        return False
    return True
