"""The rules of workitems, attribute by attribute (contract appendix 2), without storage."""

from __future__ import annotations

import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword

from shared.dicom import workitemrules as rules
from shared.dicom.workitemchecks import faults, has_value
from shared.dicom.workitemkeys import RETURN_SET, SEARCHABLE, folded_values, value_faults
from shared.dicom.workitemrules import Need
from tests.worklist.made import code, discontinued, element, performed, requested, workitem


def whole():
    """A data set as the service completes it."""
    server = {
        "00080016": element("UI", "1.2.840.10008.5.1.4.34.6.1"),
        "00080018": element("UI", "2.25.1"),
        "00404010": element("DT", "20261122"),
        "00741000": element("CS", "SCHEDULED"),
        "00741202": element("LO", "worklist"),
    }
    return workitem() | server


def key_of(keyword):
    return f"{tag_for_keyword(keyword):08X}"


def some_value(keyword):
    vr = dictionary_VR(keyword).split(" or ")[0]
    return element(vr, {} if vr == "SQ" else {"Alphabetic": "A"} if vr == "PN" else "1")


def test_a_whole_data_set_keeps_the_rules_of_create():
    assert list(faults(whole(), rules.CREATE)) == []


def test_every_attribute_has_one_rule_in_each_table():
    for table in (rules.CREATE, rules.UPDATE):
        assert len({rule.tag for rule in table}) == len(table)
    assert {rule.tag for rule in rules.CREATE} == {rule.tag for rule in rules.UPDATE}


@pytest.mark.parametrize(
    "rule", [one for one in rules.CREATE if one.need in (Need.VALUE, Need.PRESENT)], ids=lambda one: one.keyword
)
def test_a_create_needs(rule):
    dataset = whole()
    del dataset[key_of(rule.keyword)]
    assert [one.split(" ")[0] for one in faults(dataset, rules.CREATE)] == [rule.keyword]
    empty = whole() | {key_of(rule.keyword): element(dictionary_VR(rule.tag))}
    assert len(list(faults(empty, rules.CREATE))) == (rule.need is Need.VALUE)


@pytest.mark.parametrize("table", [rules.CREATE, rules.UPDATE], ids=["create", "update"])
def test_optional_attributes_have_a_value_when_they_are_there(table):
    base = whole() if table is rules.CREATE else {"00404010": element("DT", "20261122")}
    for rule in table:
        if rule.need is Need.NEVER_EMPTY:
            empty = base | {key_of(rule.keyword): element(dictionary_VR(rule.tag).split(" or ")[0])}
            (fault,) = faults(empty, table)
            assert fault.startswith(rule.keyword)
            assert "0121" in fault


def test_what_an_update_must_not_touch():
    """The column of A2.1 with N."""
    untouchable = {rule.keyword for rule in rules.UPDATE if rule.need is Need.ABSENT}
    assert untouchable == {
        "SOPClassUID", "SOPInstanceUID", "ProcedureStepState", "PatientName", "IssuerOfPatientID",
        "IssuerOfPatientIDQualifiersSequence", "PatientBirthDate", "PatientSex", "AdmissionID",
        "IssuerOfAdmissionIDSequence", "AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence",
        "ReferencedRequestSequence", "PatientID", "ReplacedProcedureStepSequence",
    }  # fmt: skip
    for keyword in untouchable:
        sent = {"00404010": element("DT", "20261122"), key_of(keyword): some_value(keyword)}
        assert [one.partition(" ")[0] for one in faults(sent, rules.UPDATE)] == [keyword]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"t00081195": element("UI", "2.25.1")}, "TransactionUID (0008,1195) must be empty"),
        ({"t00404018": element("SQ", {"00080100": element("SH", "1")})}, "CodeMeaning"),
        ({"t00404021": element("SQ", {})}, "InputInformationSequence[1].TypeOfInstances"),
        (
            {"t0040A370": element("SQ", {**requested("1"), "0020000D": element("UI")})},
            "StudyInstanceUID (0020,000D) has no",
        ),
        ({"t0040A370": element("SQ", requested("1"), {})}, "ReferencedRequestSequence[2].StudyInstanceUID"),
        ({"t00741002": element("SQ", {"00741004": element("DS", 5)})}, "must be empty"),
        ({"t00741216": performed()["00741216"]}, "must be empty"),
        ({"t00101002": element("SQ", {"00100020": element("LO", "X")})}, "IssuerOfPatientID "),
        ({"t00404034": element("SQ", {"00404009": element("SQ", code("A"))})}, "HumanPerformerName"),
        ({"t00100010": element("LO", "Example^Ada")}, "must have the VR PN"),
        ({"t00741224": element("SQ", {})}, "ReferencedSOPClassUID"),
    ],
)
def test_a_create_breaks_a_rule(changes, fault):
    dataset = whole() | {name[1:]: value for name, value in changes.items()}
    found = list(faults(dataset, rules.CREATE))
    assert any(fault in one for one in found), found


def test_items_that_keep_their_rules():
    reference = {"00081150": element("UI", "1.2"), "00081155": element("UI", "1.3")}
    instances = {
        "0040E020": element("CS", "DICOM"),
        "00081199": element("SQ", reference),
        "0020000D": element("UI", "1.4"),
        "0040E025": element("SQ", {"00081190": element("UR", "https://example.org")}),
    }
    dataset = whole() | {"00404021": element("SQ", instances), "00741224": element("SQ", reference)}
    assert list(faults(dataset, rules.CREATE)) == []
    instances["0040E025"] = element("SQ", {})
    assert list(faults(dataset, rules.CREATE)) != []


def test_an_update_of_what_was_performed_says_its_output():
    change = {"00404010": element("DT", "20261122"), **performed(), **discontinued()}
    assert list(faults(change, rules.UPDATE)) == []
    del change["00741216"]["Value"][0]["00404033"]
    assert any("OutputInformationSequence" in one for one in faults(change, rules.UPDATE))


@pytest.mark.parametrize("missing", ["00404028", "00404050", "00404051", "00404019", "00404033"])
def test_completing_needs_what_was_performed(missing):
    done = whole() | performed()
    assert list(faults(done, rules.COMPLETED)) == []
    del done["00741216"]["Value"][0][missing]
    assert len(list(faults(done, rules.COMPLETED))) == 1


@pytest.mark.parametrize("missing", ["00404052", "0074100E"])
def test_canceling_needs_when_and_why(missing):
    done = whole() | discontinued()
    assert list(faults(done, rules.CANCELED)) == []
    del done["00741002"]["Value"][0][missing]
    assert len(list(faults(done, rules.CANCELED))) == 1


@pytest.mark.parametrize(
    ("said", "valued"),
    [
        (element("SQ"), False),
        (element("SQ", {}), True),
        (element("PN", {"Alphabetic": " "}), False),
        (element("PN", {"Phonetic": "a"}), True),
        (element("LO", None), False),
        (element("LO", "  "), False),
        (element("IS", 0), True),
        ({"vr": "OB", "InlineBinary": "AAAA"}, True),
        ({"vr": "UT", "BulkDataURI": "https://example.org"}, True),
        (None, False),
    ],
)
def test_what_counts_as_a_value(said, valued):
    assert has_value(said) is valued


@pytest.mark.parametrize(
    "changes",
    [
        {"t00404005": element("DT", "yesterday")},
        {"t00100020": element("LO", "x" * 65)},
        {"t00100020": element("LO", "a\\b")},
        {"t0020000D": element("UI", "abc")},
        {"t0040A370": element("SQ", requested("x" * 17))},
        {"t00404025": element("SQ", code("x" * 17))},
    ],
)
def test_values_that_are_searched_by_are_checked_and_not_repeated(changes):
    (fault,) = value_faults(whole() | {name[1:]: value for name, value in changes.items()})
    assert "xxx" not in fault
    assert "yesterday" not in fault


def test_values_are_folded():
    dataset = whole() | {"0040A370": element("SQ", requested("ACC-1 "), requested("acc-1"), requested("B"))}
    values = {key.name: folded_values(dataset, key) for key in SEARCHABLE}
    assert values["ReferencedRequestSequence.AccessionNumber"] == ("acc-1", "b")
    assert values["ScheduledProcedureStepStartDateTime"] == ("20261122083000.000000",)
    assert values["PatientName"] == ("example^ada",)
    assert values["StudyInstanceUID"] == ()


def test_a_search_never_gives_the_transaction_uid():
    assert 0x00081195 not in RETURN_SET
