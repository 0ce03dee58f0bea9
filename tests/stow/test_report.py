"""The store report and its status, from outcomes alone."""

from __future__ import annotations

import pytest

from shared.behaviours import StoredItemAttributes, WarnedStoreStatus
from shared.dicom.reasons import FailureReason, WarningReason
from shared.dicom.validation import Finding, Identity
from shared.stow.outcomes import Outcome
from shared.stow.report import dataset_of, status_of, warning_header

ROOT = "https://dicom.example.org:8443/v2/partitions/one"
NAMES = Identity("1.2.840.10008.5.1.4.1.1.2", "1.1", "1.2", "1.3")
STORED = Outcome(NAMES)
WARNED = Outcome(NAMES, None, WarningReason.INVALID_ATTRIBUTES, (Finding(0x00100030, "The value is no date."),))
FAILED = Outcome(NAMES, FailureReason.VALIDATION_FAILURE, findings=(Finding(0x0020000D, "It is missing."),))
UNREADABLE = Outcome(failure=FailureReason.VALIDATION_FAILURE)


@pytest.mark.parametrize(
    ("outcomes", "strict", "lenient"),
    [
        ([], 204, 204),
        ([STORED], 200, 200),
        ([WARNED], 200, 202),
        ([STORED, WARNED], 200, 202),
        ([STORED, FAILED], 202, 202),
        ([WARNED, UNREADABLE], 202, 202),
        ([FAILED], 409, 409),
        ([FAILED, UNREADABLE], 409, 409),
    ],
)
def test_the_status_follows_from_the_outcomes(outcomes, strict, lenient):
    assert status_of(outcomes, WarnedStoreStatus.OK_200) == strict
    assert status_of(outcomes, WarnedStoreStatus.ACCEPTED_202) == lenient


def test_a_stored_item_names_the_instance_and_where_it_is():
    report = dataset_of([STORED], ROOT, None, StoredItemAttributes.NEVER)
    assert report == {
        "00081199": {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": [NAMES.sop_class_uid]},
                    "00081155": {"vr": "UI", "Value": ["1.3"]},
                    "00081190": {"vr": "UR", "Value": [f"{ROOT}/studies/1.1/series/1.2/instances/1.3"]},
                }
            ],
        }
    }


def test_attributes_of_a_stored_item_are_shown_always_or_never():
    always = dataset_of([STORED, WARNED], ROOT, None, StoredItemAttributes.ALWAYS)["00081199"]["Value"]
    assert always[0]["00741048"] == {"vr": "SQ"}
    comment = "DICOM100: (0010,0030) - The value is no date."
    assert always[1]["00741048"]["Value"] == [{"00000902": {"vr": "LO", "Value": [comment]}}]
    assert always[1]["00081196"] == {"vr": "US", "Value": [1]}
    never = dataset_of([STORED, WARNED], ROOT, None, StoredItemAttributes.NEVER)["00081199"]["Value"]
    assert not any("00741048" in item for item in never)


def test_a_failed_item_names_attributes_only_when_some_break_a_rule():
    items = dataset_of([FAILED, UNREADABLE], ROOT, None, StoredItemAttributes.ALWAYS)["00081198"]["Value"]
    assert items[0]["00081155"]["Value"] == ["1.3"]
    assert len(items[0]["00741048"]["Value"]) == 1
    assert items[1] == {"00081197": {"vr": "US", "Value": [43264]}}


def test_uids_that_could_not_be_read_are_left_out():
    outcome = Outcome(Identity(None, "1.1", "1.2", None), FailureReason.VALIDATION_FAILURE)
    (item,) = dataset_of([outcome], ROOT, None, StoredItemAttributes.NEVER)["00081198"]["Value"]
    assert item.keys() == {"00081197"}


def test_the_study_has_its_url_only_when_it_was_named_and_something_was_stored():
    assert dataset_of([STORED], ROOT, "1.1", StoredItemAttributes.NEVER)["00081190"]["Value"] == [f"{ROOT}/studies/1.1"]
    assert "00081190" not in dataset_of([FAILED], ROOT, "1.1", StoredItemAttributes.NEVER)
    assert "00081190" not in dataset_of([STORED], ROOT, None, StoredItemAttributes.NEVER)


def test_the_warning_header_names_what_the_version_speaks_of():
    several = Outcome(NAMES, multiple_valued=("PatientID", "ReferringPhysicianName"))
    every = warning_header([STORED, several], ROOT, None)
    assert every is not None
    assert every.startswith('299 dicom.example.org: "')
    assert "PatientID, ReferringPhysicianName" in every
    only = warning_header([several], ROOT, frozenset({"PatientID"}))
    assert only is not None
    assert "ReferringPhysicianName" not in only
    assert warning_header([several], ROOT, frozenset({"Modality"})) is None
    assert warning_header([STORED], ROOT, None) is None
