"""What a workitem must have, may have and must not have, as tables (PS3.4 §CC.2.5, contract appendix 2).

Data sets are in the DICOM JSON model. Conditional types are optional here. Where an attribute is in two modules the
stricter rule stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from pydicom.datadict import tag_for_keyword

from shared.dicom import workitemmodules as modules


class Need(Enum):
    """What is asked of an attribute; the values are the codes of the contract's appendix 2."""

    VALUE = "1"
    PRESENT = "2"
    NEVER_EMPTY = "3"
    ABSENT = "N"
    EMPTY = "E"
    FREE = "-"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is asked of one attribute.

    Attributes:
        tag: of the attribute.
        keyword: of the attribute.
        need: of the attribute itself.
        items: what is asked of each item of a sequence.
        bare_items: items of the sequence must not have any attribute.
    """

    tag: int
    keyword: str
    need: Need
    items: tuple[Rule, ...] = ()
    bare_items: bool = False


def _rule(keyword: str, code: str, items: Iterable[Rule] = (), *, bare: bool = False) -> Rule:
    tag = tag_for_keyword(keyword)
    assert tag is not None, f"{keyword} is no attribute"
    return Rule(tag, keyword, Need(code), tuple(items), bare)


def _rules(code: str, keywords: str, items: Iterable[Rule] = ()) -> tuple[Rule, ...]:
    return tuple(_rule(keyword, code, items) for keyword in keywords.split())


# A2.2: rules per item.
_CODE = (
    *_rules("1", "CodeMeaning"),
    *_rules("3", "CodeValue CodingSchemeDesignator CodingSchemeVersion LongCodeValue URNCodeValue"),
)
_SOP_REFERENCE = _rules("1", "ReferencedSOPClassUID ReferencedSOPInstanceUID")
_PROCESSING_PARAMETER = (
    *_rules("1", "ValueType"),
    *_rules("1", "ConceptNameCodeSequence", _CODE),
    *_rules("3", "DateTime Date Time PersonName UID TextValue NumericValue"),
    *_rules("3", "ConceptCodeSequence MeasurementUnitsCodeSequence", _CODE),
)
_INFORMATION = (
    *_rules("1", "TypeOfInstances"),
    *_rules("1", "ReferencedSOPSequence", _SOP_REFERENCE),
    *_rules("3", "StudyInstanceUID SeriesInstanceUID"),
    *_rules("3", "DICOMRetrievalSequence", _rules("1", "RetrieveAETitle")),
    *_rules("3", "DICOMMediaRetrievalSequence", _rules("1", "StorageMediaFileSetUID")),
    *_rules("3", "WADORetrievalSequence", _rules("1", "RetrieveURI")),
    *_rules("3", "WADORSRetrievalSequence", _rules("1", "RetrieveURL")),
    *_rules("3", "XDSRetrievalSequence", _rules("1", "RepositoryUniqueID")),
)
_REQUEST = (
    *_rules("1", "StudyInstanceUID"),
    *_rules("2", "AccessionNumber IssuerOfAccessionNumberSequence OrderPlacerIdentifierSequence"),
    *_rules("2", "OrderFillerIdentifierSequence RequestedProcedureID RequestedProcedureDescription"),
    *_rules("2", "RequestedProcedureCodeSequence", _CODE),
    *_rules("3", modules.REST_OF_REQUEST),
)
_ISSUER_QUALIFIERS = _rules("2", "UniversalEntityID IdentifierTypeCode")
_OTHER_PATIENT_ID = (
    *_rules("1", "PatientID"),
    *_rules("2", "IssuerOfPatientID"),
    *_rules("2", "IssuerOfPatientIDQualifiersSequence", _ISSUER_QUALIFIERS),
)
_OUTPUT_DESTINATION = (
    *_rules("3", "DICOMStorageSequence", _rules("1", "DestinationAE")),
    *_rules("3", "STOWRSStorageSequence", _rules("1", "StorageURL")),
    *_rules("3", "XDSStorageSequence", _rules("1", "RepositoryUniqueID")),
)
_PERFORMER = (
    *_rules("1", "HumanPerformerCodeSequence", _CODE),
    *_rules("1", "HumanPerformerName HumanPerformerOrganization"),
)

# A2.1. Code for create, code for update, attributes, rules of their items.
_TABLE: tuple[tuple[str, str, str, tuple[Rule, ...]], ...] = (
    ("E", "-", "TransactionUID", ()),
    ("1", "N", "SOPClassUID SOPInstanceUID ProcedureStepState", ()),
    ("1", "1", "ScheduledProcedureStepModificationDateTime", ()),
    ("1", "3", "ScheduledProcedureStepPriority ProcedureStepLabel", ()),
    ("1", "3", "ScheduledProcedureStepStartDateTime InputReadinessState", ()),
    ("2", "3", "WorklistLabel CommentsOnTheScheduledProcedureStep", ()),
    ("2", "3", "ScheduledProcessingParametersSequence", _PROCESSING_PARAMETER),
    ("2", "3", "ScheduledStationNameCodeSequence ScheduledStationClassCodeSequence", _CODE),
    ("2", "3", "ScheduledStationGeographicLocationCodeSequence ScheduledWorkitemCodeSequence", _CODE),
    ("2", "3", "InputInformationSequence", _INFORMATION),
    ("-", "3", "ScheduledHumanPerformersSequence", _PERFORMER),
    ("3", "3", "ExpectedCompletionDateTime ScheduledProcedureStepExpirationDateTime", ()),
    ("3", "3", "OutputDestinationSequence", _OUTPUT_DESTINATION),
    ("3", "3", "StudyInstanceUID MedicalAlerts PregnancyStatus SpecialNeeds", ()),
    ("2", "N", "PatientName IssuerOfPatientID PatientBirthDate PatientSex AdmissionID", ()),
    ("2", "N", "IssuerOfAdmissionIDSequence AdmittingDiagnosesDescription", ()),
    ("2", "N", "IssuerOfPatientIDQualifiersSequence", _ISSUER_QUALIFIERS),
    ("2", "N", "AdmittingDiagnosesCodeSequence", _CODE),
    ("2", "N", "ReferencedRequestSequence", _REQUEST),
    ("3", "N", "PatientID", ()),
    ("2", "3", "OtherPatientIDsSequence", _OTHER_PATIENT_ID),
    ("3", "N", "ReplacedProcedureStepSequence", _SOP_REFERENCE),
    ("3", "3", modules.OTHERS, ()),
)
_PERFORMED = (
    *_rules("-", "PerformedStationNameCodeSequence PerformedStationClassCodeSequence", _CODE),
    *_rules("-", "PerformedStationGeographicLocationCodeSequence PerformedWorkitemCodeSequence", _CODE),
    *_rules("2", "OutputInformationSequence", _INFORMATION),
)
_PROGRESS = _rules("-", "ProcedureStepDiscontinuationReasonCodeSequence", _CODE)

CREATE: tuple[Rule, ...] = (
    *(rule for create, _, keywords, items in _TABLE for rule in _rules(create, keywords, items)),
    _rule("ProcedureStepProgressInformationSequence", "2", bare=True),
    _rule("UnifiedProcedureStepPerformedProcedureSequence", "2", bare=True),
)
UPDATE: tuple[Rule, ...] = (
    *(rule for _, update, keywords, items in _TABLE for rule in _rules(update, keywords, items)),
    _rule("ProcedureStepProgressInformationSequence", "3", _PROGRESS),
    _rule("UnifiedProcedureStepPerformedProcedureSequence", "3", _PERFORMED),
)

# A2.3. Values that a workitem must have before it may be in its final state.
_BOTH = _rules(
    "1",
    "SOPClassUID SOPInstanceUID ScheduledProcedureStepPriority ScheduledProcedureStepModificationDateTime "
    "ScheduledProcedureStepStartDateTime InputReadinessState ProcedureStepState",
)
CANCELED: tuple[Rule, ...] = (
    *_BOTH,
    _rule(
        "ProcedureStepProgressInformationSequence",
        "1",
        _rules("1", "ProcedureStepCancellationDateTime ProcedureStepDiscontinuationReasonCodeSequence"),
    ),
)
COMPLETED: tuple[Rule, ...] = (
    *_BOTH,
    _rule(
        "UnifiedProcedureStepPerformedProcedureSequence",
        "1",
        (
            *_rules("1", "PerformedStationNameCodeSequence PerformedProcedureStepStartDateTime"),
            *_rules("1", "PerformedProcedureStepEndDateTime PerformedWorkitemCodeSequence"),
            # May be empty: a step may have no output.
            *_rules("2", "OutputInformationSequence"),
        ),
    ),
)
