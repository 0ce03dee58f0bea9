"""What a store says of instances (contract C2.2), for both ways that versions want it."""

from __future__ import annotations

import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import ImplicitVRLittleEndian

from shared.behaviours import InvalidOtherValue, InvalidSearchableValue, NulPadding, PatientIdRule
from shared.dicom.part10 import Part10Scanner, read_dataset
from shared.dicom.reasons import FailureReason
from shared.dicom.validation import ValidationRules, Verdict, check
from tests.support.files import sound_files, synthetic_instance

STRICT = ValidationRules(
    PatientIdRule.MUST_HAVE_A_VALUE, InvalidSearchableValue.FAIL_INSTANCE, InvalidOtherValue.IGNORE, NulPadding.INVALID
)
LENIENT = ValidationRules(
    PatientIdRule.MUST_BE_PRESENT, InvalidSearchableValue.WARN, InvalidOtherValue.WARN, NulPadding.TRIMMED
)
BOTH = pytest.mark.parametrize("rules", [STRICT, LENIENT], ids=["strict", "lenient"])

SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_UID, SERIES_UID = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
PATIENT_ID, PATIENT_NAME, STUDY_DATE, MODALITY = 0x00100020, 0x00100010, 0x00080020, 0x00080060
PATIENT_AGE, REFERENCED_IMAGES, CODE_MEANING = 0x00101010, 0x00081140, 0x00080104

# What the shipped files really are wrong about; everything else is clean.
KNOWN_WARNINGS = {
    "ExplVR_BigEnd.dcm": {"StudyDate", "StudyTime"},
    "color-pl.dcm": {"StudyDate", "StudyTime", "ContentDate"},
    "color-px.dcm": {"StudyDate", "StudyTime", "ContentDate"},
    "gdcm-US-ALOKA-16.dcm": {"ImageType"},
    "gdcm-US-ALOKA-16_big.dcm": {"ImageType"},
    "bad_sequence.dcm": {"PatientAge", "StudyID"},
    "badVR.dcm": {"NumberOfFrames", "ReferencedSOPInstanceUID"},
    "rtdose.dcm": {"ReferencedSOPInstanceUID"},
    "rtdose_1frame.dcm": {"ReferencedSOPInstanceUID"},
    "rtdose_expb.dcm": {"ReferencedSOPInstanceUID"},
    "rtdose_expb_1frame.dcm": {"ReferencedSOPInstanceUID"},
    "rtdose_rle.dcm": {"ReferencedSOPInstanceUID"},
    "rtdose_rle_1frame.dcm": {"ReferencedSOPInstanceUID"},
}


def instance(**raws: tuple[str, bytes] | None) -> Dataset:
    """A valid instance with raw elements by hexadecimal tag (`t00100020`); None takes one away."""
    scanner = Part10Scanner()
    scanner.feed(synthetic_instance(study_uid="1.2.3", series_uid="1.2.4", sop_instance_uid="1.2.5"))
    dataset = read_dataset(scanner.finish())
    for name, raw in raws.items():
        tag = int(name[1:], 16)
        if raw is None:
            del dataset[tag]
        else:
            put(dataset, tag, *raw)
    return dataset


def put(dataset: Dataset, tag: int, vr: str, value: bytes) -> None:
    dataset[BaseTag(tag)] = RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)


def item(tag: int, vr: str, value: bytes) -> Dataset:
    dataset = Dataset()
    put(dataset, tag, vr, value)
    return dataset


def warned(verdict: Verdict) -> list[int]:
    assert not verdict.refused
    return [finding.tag for finding in verdict.warnings]


def failed(verdict: Verdict) -> list[int]:
    assert verdict.refused
    assert verdict.reason is FailureReason.VALIDATION_FAILURE
    return [finding.tag for finding in verdict.failures]


@BOTH
def test_a_valid_instance_is_clean(rules: ValidationRules) -> None:
    verdict = check(instance(), rules, "1.2.3")
    assert (verdict.reason, verdict.failures, verdict.warnings) == (None, (), ())
    assert (verdict.dropped_tags, verdict.multiple_valued) == (frozenset(), ())
    assert verdict.identity.study_uid == "1.2.3"
    assert verdict.identity.series_uid == "1.2.4"
    assert verdict.identity.sop_instance_uid == "1.2.5"
    assert verdict.identity.sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"


@BOTH
@pytest.mark.parametrize("tag", [SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_UID, SERIES_UID])
@pytest.mark.parametrize("value", [None, b"", b" \0", b"1.2\\1.3", b"1.2.x", b"1" * 65, b"1.2."])
def test_each_of_the_four_uids_must_be_one_valid_uid(rules: ValidationRules, tag: int, value: bytes | None) -> None:
    raw = None if value is None else ("UI", value)
    verdict = check(instance(**{f"t{tag:08x}": raw}), rules)
    assert failed(verdict) == [tag]
    assert tag not in [finding.tag for finding in verdict.warnings]


@BOTH
def test_an_invalid_uid_is_echoed(rules: ValidationRules) -> None:
    assert check(instance(t00080018=("UI", b"1.2.x\0")), rules).identity.sop_instance_uid == "1.2.x"


@BOTH
def test_uids_may_be_equal(rules: ValidationRules) -> None:
    assert warned(check(instance(t00080018=("UI", b"1.2.3\0"), t0020000e=("UI", b"1.2.3\0")), rules)) == []


@BOTH
def test_padding_of_a_uid_is_no_fault(rules: ValidationRules) -> None:
    assert warned(check(instance(t0020000d=("UI", b"1.2.3 ")), rules, "1.2.3\0")) == []


@BOTH
def test_another_study_than_the_one_asked_for_is_refused(rules: ValidationRules) -> None:
    assert failed(check(instance(), rules, "1.2.33")) == [STUDY_UID]


@BOTH
def test_a_missing_patient_id_is_refused(rules: ValidationRules) -> None:
    assert failed(check(instance(t00100020=None), rules)) == [PATIENT_ID]


@pytest.mark.parametrize("value", [b"", b"  "])
def test_an_empty_patient_id_is_refused_or_warned_about_but_never_dropped(value: bytes) -> None:
    dataset = instance(t00100020=("LO", value))
    assert failed(check(dataset, STRICT)) == [PATIENT_ID]
    verdict = check(dataset, LENIENT)
    assert warned(verdict) == [PATIENT_ID]
    assert verdict.dropped_tags == frozenset()


@BOTH
@pytest.mark.parametrize("value", [b"x" * 65, b"a\x01b", b"a\nb"])
def test_an_invalid_patient_id_is_refused(rules: ValidationRules, value: bytes) -> None:
    verdict = check(instance(t00100020=("LO", value)), rules)
    assert failed(verdict) == [PATIENT_ID]
    assert value.decode() not in verdict.failures[0].text


def test_a_leading_zero_in_a_uid_is_a_warning_of_the_lenient_way_only() -> None:
    dataset = instance(t0020000d=("UI", b"1.02.3"))
    assert warned(check(dataset, STRICT)) == []
    verdict = check(dataset, LENIENT)
    assert warned(verdict) == [STUDY_UID]
    assert verdict.dropped_tags == frozenset()


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (STUDY_DATE, "DA", b"2024.02.29"),
        (PATIENT_NAME, "PN", b"a=b=c=d"),
        (MODALITY, "CS", b"A" * 17),
        (MODALITY, "LO", b"CT"),
        (0x00100030, "DA", b"19700230"),
        (0x00081090, "LO", b"tab\there"),
    ],
)
def test_an_invalid_searchable_value_is_refused_or_dropped(tag: int, vr: str, value: bytes) -> None:
    dataset = instance(**{f"t{tag:08x}": (vr, value)})
    assert failed(check(dataset, STRICT)) == [tag]
    verdict = check(dataset, LENIENT)
    assert warned(verdict) == [tag]
    assert verdict.dropped_tags == {tag}


def test_any_other_invalid_value_is_ignored_or_dropped() -> None:
    dataset = instance(t00101010=("AS", b"old "), t00280010=("US", b"\1\0\2"), t00281052=("DS", b"1,5 "))
    assert warned(check(dataset, STRICT)) == []
    verdict = check(dataset, LENIENT)
    assert warned(verdict) == [PATIENT_AGE, 0x00280010, 0x00281052]
    assert verdict.dropped_tags == {PATIENT_AGE, 0x00280010, 0x00281052}


def test_a_fault_in_an_item_is_a_warning_and_stays() -> None:
    dataset = instance()
    dataset.ReferencedImageSequence = Sequence([item(CODE_MEANING, "LO", b"x" * 65)])
    assert warned(check(dataset, STRICT)) == []
    verdict = check(dataset, LENIENT)
    assert warned(verdict) == [CODE_MEANING]
    assert verdict.dropped_tags == frozenset()


def test_a_valid_value_is_dropped_when_the_same_tag_is_invalid_in_an_item() -> None:
    """Contract C2.2, the second quirk: findings are kept by tag, wherever they occur."""
    dataset = instance(t00101010=("AS", b"018Y"))
    dataset.ReferencedImageSequence = Sequence([item(PATIENT_AGE, "AS", b"old ")])
    assert check(dataset, LENIENT).dropped_tags == {PATIENT_AGE}


def test_a_tag_has_one_finding_however_often_it_is_wrong() -> None:
    dataset = instance()
    items = [item(CODE_MEANING, "LO", b"a\x01b"), item(CODE_MEANING, "LO", b"x" * 65)]
    dataset.ReferencedImageSequence = Sequence(items)
    verdict = check(dataset, LENIENT)
    assert warned(verdict) == [CODE_MEANING]
    assert "control" in verdict.warnings[0].text


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [(PATIENT_NAME, "PN", b"Doe\0"), (STUDY_DATE, "DA", b"20240229\0\0"), (PATIENT_ID, "LO", b"P\0")],
)
def test_nul_padding_is_a_fault_or_nothing(tag: int, vr: str, value: bytes) -> None:
    dataset = instance(**{f"t{tag:08x}": (vr, value)})
    assert failed(check(dataset, STRICT)) == [tag]
    assert warned(check(dataset, LENIENT)) == []


@BOTH
def test_several_values_are_reported_and_only_the_first_is_checked(rules: ValidationRules) -> None:
    verdict = check(instance(t00100020=("LO", b"P1\\P2"), t00080060=("CS", b"CT\\MR")), rules)
    assert warned(verdict) == []
    assert verdict.multiple_valued == (MODALITY, PATIENT_ID)


@BOTH
def test_empty_values_pass(rules: ValidationRules) -> None:
    dataset = instance(t00100010=("PN", b""), t00080020=("DA", b"  "), t00281052=("DS", b""), t00080060=("CS", b""))
    assert warned(check(dataset, rules)) == []


def test_length_counts_characters_and_not_bytes() -> None:
    name = "山" * 60
    assert warned(check(instance(t00100010=("PN", name.encode())), LENIENT)) == []
    assert warned(check(instance(t00100010=("PN", (name + "山田太郎山").encode())), LENIENT)) == [PATIENT_NAME]


@BOTH
def test_an_extra_indexed_attribute_is_held_to_its_vr(rules: ValidationRules) -> None:
    indexed = {PATIENT_AGE: "AS", 0x00280010: "US"}
    verdict = check(instance(t00101010=("AS", b"018Y"), t00280010=("SL", b"\0\0\0\0")), rules, indexed=indexed)
    found = verdict.failures if rules is STRICT else verdict.warnings
    assert [finding.tag for finding in found] == [0x00280010]


@BOTH
def test_vr_unknown_is_read_by_the_dictionary(rules: ValidationRules) -> None:
    """PS3.5 §6.2.2 note 2: a sender that does not know the attribute writes UN."""
    assert warned(check(instance(t00100020=("UN", b"P1"), t00080060=("UN", b"CT")), rules)) == []


def test_implicit_vr_is_no_finding() -> None:
    scanner = Part10Scanner()
    scanner.feed(synthetic_instance(transfer_syntax=ImplicitVRLittleEndian))
    assert warned(check(read_dataset(scanner.finish()), LENIENT)) == []


def test_real_files_are_as_clean_as_they_are() -> None:
    required = {SOP_CLASS_UID, PATIENT_ID, SOP_INSTANCE_UID, STUDY_UID, SERIES_UID}
    found = {}
    for path in sound_files():
        scanner = Part10Scanner()
        scanner.feed(path.read_bytes())
        verdict = check(read_dataset(scanner.finish()), LENIENT)
        tags = {finding.tag for finding in verdict.warnings} - required
        if tags:
            found[path.name] = {keyword_for_tag(tag) for tag in tags}
    assert found == KNOWN_WARNINGS
