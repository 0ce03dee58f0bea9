"""What a bulk update may ask for, and how it is told what it may not (contract C11)."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR

from shared.edits.change_set import CHANGEABLE, ChangeRefused, elements_of, parse
from shared.errors import InvalidRequest

NAME = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Neu^Anna"}]}}
FITTING = {"DA": "20240229", "TM": "1015", "CS": "F", "AS": "042Y", "DS": "1.75"}


def body(studies: object = ("1.2.3",), changes: object = NAME) -> bytes:
    return orjson.dumps({"studyInstanceUids": studies, "changeDataset": changes})


def refused(changes: object) -> dict[int, str]:
    with pytest.raises(ChangeRefused) as error:
        parse(body(changes=changes))
    return {finding.tag: finding.text for finding in error.value.findings}


def test_the_36_attributes_of_the_contract_can_be_changed_and_are_no_sequences():
    assert len(CHANGEABLE) == 36
    for tag in CHANGEABLE:
        vr = dictionary_VR(tag)
        value = {"Alphabetic": "A^B"} if vr == "PN" else FITTING.get(vr, "text")
        element = {"vr": vr, "Value": [value]}
        (change,) = parse(body(changes={f"{tag:08x}": element})).changes
        assert (change.tag, change.vr) == (tag, vr)
        shown = elements_of([change])[f"{tag:08X}"]
        assert shown == {"vr": vr, "Value": [1.75]} if vr == "DS" else shown == element


def test_a_name_keeps_its_component_groups():
    value = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    (change,) = parse(body(changes={"00100010": {"vr": "PN", "Value": [value]}})).changes
    assert change.text == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert elements_of([change])["00100010"]["Value"] == [value]


def test_keywords_are_read_as_well_as_tags():
    """The original's own client writes them (contract C11)."""
    assert parse(body(changes={"PatientName": NAME["00100010"]})) == parse(body())


def test_what_is_null_is_not_given():
    element = {"vr": "PN", "BulkDataURI": None, "Value": [{"Alphabetic": "Neu^Anna", "Ideographic": None}]}
    assert parse(body(changes={"00100010": element})) == parse(body())


def test_case_of_members_does_not_count_and_other_members_are_left_alone():
    content = {"StudyInstanceUids": ["1.2.3"], "changedataset": NAME, "more": 1}
    assert parse(orjson.dumps(content)) == parse(body())


def test_studies_named_twice_are_updated_once():
    assert parse(body(["1.2.3", "1.2.4", "1.2.3"])).study_uids == ("1.2.3", "1.2.4")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no json",
        b"[]",
        b"null",
        body([]),
        body(None),
        body("1.2.3"),
        body([1]),
        body(["1.2.x"]),
        body(["1.2", ""]),
        body([f"1.2.{n}" for n in range(51)]),
        body(changes=None),
        body(changes=[]),
        body(changes={}),
        body(changes={"NameOfPatient": {"vr": "PN"}}),
        body(changes={"PatientName": NAME["00100010"], **NAME}),
        body(changes={"0010001": {"vr": "PN"}}),
        body(changes={"001021F0": {"vr": "LO", "Value": ["A"]}, "001021f0": {"vr": "LO", "Value": ["B"]}}),
        orjson.dumps({"studyInstanceUids": ["1.2"]}),
        orjson.dumps({"changeDataset": NAME}),
    ],
)
def test_a_body_of_another_form_is_refused_with_a_sentence(content):
    with pytest.raises(InvalidRequest) as error:
        parse(content)
    assert str(error.value)


def test_50_studies_are_taken():
    assert len(parse(body([f"1.2.{n}" for n in range(50)])).study_uids) == 50


@pytest.mark.parametrize(
    ("tag", "element"),
    [
        ("0020000D", {"vr": "UI", "Value": ["1.2.3"]}),
        ("00080018", {"vr": "UI", "Value": ["1.2.3"]}),
        ("00080060", {"vr": "CS", "Value": ["MR"]}),
        ("00080005", {"vr": "CS", "Value": ["ISO_IR 192"]}),
        ("00101002", {"vr": "SQ", "Value": []}),
        ("00091001", {"vr": "LO", "Value": ["private"]}),
        ("7FE00010", {"vr": "OW", "InlineBinary": "AAAA"}),
        ("00100020", {"vr": "SH", "Value": ["P"]}),
        ("00100020", {"vr": "LO"}),
        ("00100020", {"vr": "LO", "Value": []}),
        ("00100020", {"vr": "LO", "Value": [None]}),
        ("00100020", {"vr": "LO", "Value": [""]}),
        ("00100020", {"vr": "LO", "Value": ["  "]}),
        ("00100020", {"vr": "LO", "Value": ["A", "B"]}),
        ("00100020", {"vr": "LO", "Value": ["A\\B"]}),
        ("00100020", {"vr": "LO", "Value": ["x" * 65]}),
        ("00100020", {"vr": "LO", "Value": ["a\nb"]}),
        ("00100020", {"vr": "LO", "Value": ["a\u001bb"]}),
        ("00100020", {"vr": "LO", "Value": [5]}),
        ("00100020", {"vr": "LO", "Value": "P"}),
        ("00100020", {"vr": "LO", "Value": ["P"], "BulkDataURI": "x"}),
        ("00100020", "P"),
        ("00100010", {"vr": "PN", "Value": ["Name"]}),
        ("00100010", {"vr": "PN", "Value": [{"Alphabetic": 5}]}),
        ("00100010", {"vr": "PN", "Value": [{"Alphabetic": "A=B"}]}),
        ("00100010", {"vr": "PN", "Value": [{"Other": "A"}]}),
        ("00100010", {"vr": "PN", "Value": [{}]}),
        ("00100010", {"vr": "PN", "Value": [{"Alphabetic": "x" * 65}]}),
        ("00100030", {"vr": "DA", "Value": ["20230229"]}),
        ("00100030", {"vr": "DA", "Value": ["２０２４０２２９"]}),
        ("00100032", {"vr": "TM", "Value": ["2561"]}),
        ("00100040", {"vr": "CS", "Value": ["lower"]}),
        ("00101010", {"vr": "AS", "Value": ["42"]}),
        ("00101020", {"vr": "DS", "Value": ["tall"]}),
        ("00101020", {"vr": "DS", "Value": [True]}),
        ("00101001", {"vr": "PN", "Value": [{"Alphabetic": "x" * 60}] * 2000}),
    ],
)
def test_an_attribute_that_cannot_be_changed_so_is_named_without_its_value(tag, element):
    ((found, text),) = refused({tag: element}).items()
    assert found == int(tag, 16)
    assert text.endswith(".")
    assert "xxxx" not in text
    assert "lower" not in text


def test_every_attribute_that_is_wrong_is_named():
    wrong = {**NAME, "00080060": {"vr": "CS", "Value": ["MR"]}, "00100020": {"vr": "LO", "Value": []}}
    assert set(refused(wrong)) == {0x00080060, 0x00100020}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "studyInstanceUids": _JSON | st.just(["1.2.3"]),
            "changeDataset": _JSON
            | st.dictionaries(
                st.sampled_from(["00100010", "00100020", "00101020", "00104000", "00080060"]),
                st.fixed_dictionaries({"vr": st.sampled_from(["PN", "LO", "DS", "LT"]), "Value": _JSON}) | _JSON,
            ),
        },
    )
)
def test_whatever_comes_is_taken_or_refused_with_a_meaning(content):
    try:
        request = parse(json.dumps(content).encode())
    except (InvalidRequest, ChangeRefused):
        return
    assert request.study_uids
    assert elements_of(request.changes).keys() == {f"{change.tag:08X}" for change in request.changes}
