"""What makes a store refuse an instance or warn about it (contract C2.2), in the ways that versions want it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from shared.behaviours import InvalidOtherValue, InvalidSearchableValue, NulPadding, PatientIdRule
from shared.dicom.attributes import INDEXED
from shared.dicom.elements import elements_of, find, resolve_vr
from shared.dicom.reasons import FailureReason
from shared.dicom.text import DEFAULT_ENCODINGS, decode_text
from shared.dicom.uids import normalise_uid, same_uid, trim_padding
from shared.dicom.valuerules import (
    CHARACTER_SET_VRS,
    FULL_RULES,
    MINIMUM_RULES,
    SINGLE_VALUE_VRS,
    VALUE_BYTES,
    Rule,
)

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
PATIENT_ID = 0x00100020
STUDY_UID = 0x0020000D
SERIES_UID = 0x0020000E

IDENTIFYING_TAGS = (STUDY_UID, SERIES_UID, SOP_INSTANCE_UID, SOP_CLASS_UID)
REQUIRED_TAGS = frozenset({*IDENTIFYING_TAGS, PATIENT_ID})

INDEXED_VRS: Mapping[int, str] = MappingProxyType({attribute.tag: attribute.vr for attribute in INDEXED})


@dataclass(frozen=True, slots=True)
class ValidationRules:
    """How a version wants its instances checked, one word for each question."""

    patient_id: PatientIdRule
    invalid_searchable_value: InvalidSearchableValue
    invalid_other_value: InvalidOtherValue
    nul_padding: NulPadding


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one attribute; the text does not repeat its value."""

    tag: int
    text: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The UIDs of an instance as far as they could be read, without padding and not validated."""

    sop_class_uid: str | None
    study_uid: str | None
    series_uid: str | None
    sop_instance_uid: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check of one instance says.

    Attributes:
        reason: why it is refused, None when it is not.
        failures: what is wrong in a refused instance.
        warnings: what is odd in an instance that is stored all the same.
        dropped_tags: top-level tags that leave metadata and index.
        multiple_valued: indexed attributes of which only the first value counts.
        identity: of the instance.
    """

    reason: FailureReason | None
    failures: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    dropped_tags: frozenset[int]
    multiple_valued: tuple[int, ...]
    identity: Identity

    @property
    def refused(self) -> bool:
        """True when the instance must not be stored."""
        return self.reason is not None


def check(
    dataset: Dataset,
    rules: ValidationRules,
    expected_study_uid: str | None = None,
    indexed: Mapping[int, str] = INDEXED_VRS,
) -> Verdict:
    """Check one instance.

    Args:
        dataset: of the instance, raw as `shared.dicom.part10.read_dataset` gives it.
        rules: of the version it came in by.
        expected_study_uid: the study it must belong to, None for any.
        indexed: tag and expected VR of the attributes that search knows.
    """
    trim_nuls = rules.nul_padding is NulPadding.TRIMMED
    values = {tag: _values(dataset, tag, trim_nuls=trim_nuls) for tag in {*indexed, *REQUIRED_TAGS}}
    failures = _required_faults(values, rules)
    study_uid = _first(values[STUDY_UID])
    if expected_study_uid is not None and study_uid and not same_uid(study_uid, expected_study_uid):
        failures.setdefault(STUDY_UID, "The instance belongs to another study than the one it was sent to.")
    warnings: dict[int, str] = {}
    if rules.patient_id is PatientIdRule.MUST_BE_PRESENT and values[PATIENT_ID] == []:
        warnings[PATIENT_ID] = "The attribute has no value."
    searchable = warnings if rules.invalid_searchable_value is InvalidSearchableValue.WARN else failures
    for tag, text in _indexed_faults(dataset, values, indexed):
        (failures if tag in REQUIRED_TAGS else searchable).setdefault(tag, text)
    if rules.invalid_other_value is InvalidOtherValue.WARN:
        for tag, text in _all_faults(dataset, (dataset,), trim_nuls=trim_nuls):
            if tag not in failures:
                warnings.setdefault(tag, text)
    return Verdict(
        reason=FailureReason.VALIDATION_FAILURE if failures else None,
        failures=_findings(failures),
        warnings=_findings(warnings),
        dropped_tags=frozenset(tag for tag in warnings if tag not in REQUIRED_TAGS and tag in dataset),
        multiple_valued=tuple(sorted(tag for tag in indexed if len(values[tag] or ()) > 1)),
        identity=_identity(dataset),
    )


def _findings(faults: Mapping[int, str]) -> tuple[Finding, ...]:
    return tuple(Finding(tag, text) for tag, text in sorted(faults.items()))


def _required_faults(values: Mapping[int, list[str] | None], rules: ValidationRules) -> dict[int, str]:
    faults: dict[int, str] = {}
    for tag in IDENTIFYING_TAGS:
        found = values[tag]
        if not found or not found[0]:
            faults[tag] = "The attribute is required and has no value." if found is not None else _MISSING
        elif len(found) > 1:
            faults[tag] = "The attribute has more than one value."
        elif normalise_uid(found[0]) is None:
            faults[tag] = MINIMUM_RULES["UI"](found[0]) or _MISSING
    patient_id = values[PATIENT_ID]
    if patient_id is None:
        faults[PATIENT_ID] = _MISSING
    elif not patient_id and rules.patient_id is PatientIdRule.MUST_HAVE_A_VALUE:
        faults[PATIENT_ID] = "The attribute is required and has no value."
    return faults


_MISSING = "The attribute is required and missing."


def _indexed_faults(
    dataset: Dataset, values: Mapping[int, list[str] | None], indexed: Mapping[int, str]
) -> Iterator[tuple[int, str]]:
    """Minimum rules on the first value of each indexed attribute (contract, appendix 1)."""
    for tag, expected_vr in indexed.items():
        element = find(dataset, tag)
        if element is None:
            continue
        vr = resolve_vr(element, (dataset,)) if isinstance(element, RawDataElement) else element.VR
        if vr != expected_vr:
            yield tag, f"The VR is not {expected_vr}."
            continue
        if expected_vr in VALUE_BYTES:
            text = _wrong_length(element, expected_vr)
        else:
            first = _first(values[tag])
            rule = MINIMUM_RULES.get(expected_vr)
            text = _minimum_fault(rule, expected_vr, first) if first and rule else None
        if text:
            yield tag, text


def _minimum_fault(rule: Rule, vr: str, value: str) -> str | None:
    if vr != "UI" and value.endswith("\0"):
        return "The value is padded with NUL."
    return rule(value)


def _wrong_length(element: DataElement | RawDataElement, vr: str) -> str | None:
    if isinstance(element, RawDataElement) and len(element.value or b"") % VALUE_BYTES[vr]:
        return f"The length does not fit VR {vr}."
    return None


def _all_faults(dataset: Dataset, chain: tuple[Dataset, ...], *, trim_nuls: bool) -> Iterator[tuple[int, str]]:
    """Full rules on every value of the data set and of the items in it."""
    encodings = _encodings(dataset)
    for tag, element in elements_of(dataset):
        if isinstance(element, RawDataElement):
            text = _raw_fault(element, chain, encodings, trim_nuls=trim_nuls) if element.value else None
            if text:
                yield tag, text
        elif element.VR == "SQ":
            for item in element.value:
                yield from _all_faults(item, (item, *chain), trim_nuls=trim_nuls)


def _raw_fault(
    raw: RawDataElement, chain: tuple[Dataset, ...], encodings: tuple[str, ...], *, trim_nuls: bool
) -> str | None:
    vr = resolve_vr(raw, chain)
    if vr in VALUE_BYTES:
        return _wrong_length(raw, vr)
    rule = FULL_RULES.get(vr)
    if rule is None:
        return None
    texts = _texts(raw.value or b"", vr, encodings, trim_nuls=trim_nuls)
    return next((fault for fault in map(rule, filter(None, texts)) if fault), None)


def _texts(value: bytes, vr: str, encodings: tuple[str, ...], *, trim_nuls: bool) -> Iterable[str]:
    """The values of an element of a text VR, without padding."""
    padding = " \0" if trim_nuls or vr == "UI" else " "
    text = decode_text(value, encodings) if vr in CHARACTER_SET_VRS else value.decode("latin-1")
    text = text.rstrip(padding)
    if vr in SINGLE_VALUE_VRS:
        return (text,)
    return [part.rstrip(padding) for part in text.split("\\")]


def _values(dataset: Dataset, tag: int, *, trim_nuls: bool) -> list[str] | None:
    """The texts of a top-level attribute: None when it is missing, an empty list when it has no value."""
    element = find(dataset, tag)
    if element is None:
        return None
    if not isinstance(element, RawDataElement):
        return (
            [] if element.is_empty else [str(part) for part in (element.value if element.VM > 1 else [element.value])]
        )
    vr = resolve_vr(element, (dataset,))
    if vr in VALUE_BYTES:
        # Only how many there are is of interest.
        return [vr] * (len(element.value or b"") // VALUE_BYTES[vr])
    texts = list(_texts(element.value or b"", vr, _encodings(dataset), trim_nuls=trim_nuls))
    return texts if any(text.strip(" \0") for text in texts) else []


def _first(values: list[str] | None) -> str | None:
    return values[0] if values else None


def _encodings(dataset: Dataset) -> tuple[str, ...]:
    encodings = dataset.original_character_set
    if isinstance(encodings, str):
        return (encodings,) if encodings else DEFAULT_ENCODINGS
    return tuple(encodings) or DEFAULT_ENCODINGS


def _identity(dataset: Dataset) -> Identity:
    return Identity(
        sop_class_uid=_echo(dataset, SOP_CLASS_UID),
        study_uid=_echo(dataset, STUDY_UID),
        series_uid=_echo(dataset, SERIES_UID),
        sop_instance_uid=_echo(dataset, SOP_INSTANCE_UID),
    )


def _echo(dataset: Dataset, tag: int) -> str | None:
    element = find(dataset, tag)
    if element is None:
        return None
    if isinstance(element, RawDataElement):
        return trim_padding((element.value or b"").decode("latin-1")) or None
    return trim_padding(str(element.value or "")) or None
