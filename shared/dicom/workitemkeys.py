"""What a search for workitems takes and gives back (contract C7.7), as data, and the values it compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from shared.dicom.extendedtags import fold_value, text_of
from shared.dicom.valuerules import MINIMUM_RULES
from shared.dicom.workitemchecks import items_of

TRANSACTION_UID = 0x00081195
"""The key that holds a workitem. It is kept apart from the data set, and no answer has it."""
STATE = 0x00741000

_PADDING = " \0"


@dataclass(frozen=True, slots=True)
class SearchKey:
    """An attribute that workitems are found by.

    Attributes:
        path: tags, each but the last of a sequence.
        vr: of the last one.
        frozen: whether it stays as it was when the workitem was made.
    """

    path: tuple[int, ...]
    vr: str
    frozen: bool = False

    @property
    def name(self) -> str:
        """Keywords with dots between them."""
        return ".".join(keyword_for_tag(tag) for tag in self.path)

    @property
    def column(self) -> str:
        """Names its folded values: keywords without anything between them."""
        return self.name.replace(".", "")


# Contract C7.7.
SEARCHABLE: tuple[SearchKey, ...] = (
    SearchKey((0x00100010,), "PN", frozen=True),
    SearchKey((0x00100020,), "LO", frozen=True),
    SearchKey((0x0020000D,), "UI"),
    SearchKey((0x0040A370, 0x00080050), "SH", frozen=True),
    SearchKey((0x0040A370, 0x00401001), "SH", frozen=True),
    SearchKey((0x00404005,), "DT"),
    SearchKey((0x00404025, 0x00080100), "SH"),
    SearchKey((0x00404026, 0x00080100), "SH"),
    SearchKey((0x00404027, 0x00080100), "SH"),
    SearchKey((STATE,), "CS"),
)

_RETURNED = """
    SpecificCharacterSet SOPClassUID SOPInstanceUID ScheduledProcedureStepPriority ProcedureStepLabel WorklistLabel
    ScheduledProcessingParametersSequence ScheduledStationNameCodeSequence ScheduledStationClassCodeSequence
    ScheduledStationGeographicLocationCodeSequence ScheduledHumanPerformersSequence ScheduledProcedureStepStartDateTime
    ScheduledWorkitemCodeSequence InputReadinessState InputInformationSequence StudyInstanceUID PatientName PatientID
    IssuerOfPatientID IssuerOfPatientIDQualifiersSequence OtherPatientIDsSequence PatientBirthDate PatientSex
    AdmissionID IssuerOfAdmissionIDSequence AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence
    ReferencedRequestSequence MedicalAlerts PregnancyStatus SpecialNeeds ProcedureStepState
    ProcedureStepProgressInformationSequence
"""


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, f"{keyword} is no attribute"
    return tag


# Contract C7.7.
RETURN_SET: frozenset[int] = frozenset(map(_tag, _RETURNED.split()))


def folded_values(dataset: Mapping[str, Any], key: SearchKey) -> tuple[str, ...]:
    """The values that a workitem is found by, folded, each once; of a sequence those of all items."""
    texts = (text.rstrip(_PADDING) for text in _texts(dataset, key.path))
    return tuple(dict.fromkeys(fold_value(key.vr, text) for text in texts if text.strip(_PADDING)))


def value_faults(dataset: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with values that workitems are found by, without repeating them (contract, appendix 1)."""
    for key in SEARCHABLE:
        rule = MINIMUM_RULES[key.vr]
        for text in (text.rstrip(_PADDING) for text in _texts(dataset, key.path)):
            fault = (rule(text) or _separator(text)) if text.strip(_PADDING) else None
            if fault:
                yield f"{key.name}: {fault}"


def _separator(text: str) -> str | None:
    return "The value has a backslash, which separates values." if "\\" in text else None


def _texts(dataset: Mapping[str, Any], path: tuple[int, ...]) -> Iterator[str]:
    element = dataset.get(f"{path[0]:08X}")
    if len(path) == 1:
        if element is not None and element["vr"] != "SQ":
            yield text_of(element)
        return
    for item in items_of(element):
        yield from _texts(item, path[1:])
