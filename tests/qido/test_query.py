from __future__ import annotations

import re

import pytest

from shared.dicom.attributes import Level
from shared.errors import InvalidParameter
from shared.qido.query import Asked, Resource, parse
from shared.storage.conditions import any_modality, in_range, name_phrase, one_of
from tests.api import made

STUDIES = Resource(Level.STUDY)
SERIES = Resource(Level.SERIES)
INSTANCES = Resource(Level.INSTANCE)
OF_STUDY = Resource(Level.SERIES, Level.STUDY)
INSTANCES_OF_STUDY = Resource(Level.INSTANCE, Level.STUDY)
OF_SERIES = Resource(Level.INSTANCE, Level.SERIES)
OPERATIONS = {
    "searchStudies": STUDIES,
    "searchSeries": SERIES,
    "searchInstances": INSTANCES,
    "searchSeriesOfStudy": OF_STUDY,
    "searchInstancesOfStudy": INSTANCES_OF_STUDY,
    "searchInstancesOfSeries": OF_SERIES,
}


def criteria(*pairs, resource=STUDIES, **more):
    found = parse(resource, Asked(matching_keys=pairs, **more)).criteria
    assert found is not None
    return found


def refused(*pairs, resource=STUDIES, **more) -> str:
    with pytest.raises(InvalidParameter) as caught:
        parse(resource, Asked(matching_keys=pairs, **more))
    return str(caught.value)


def test_an_empty_query_asks_for_everything():
    found = parse(STUDIES, Asked(offset=3, limit=7))
    assert found.criteria is not None
    assert (found.criteria.offset, found.criteria.limit) == (3, 7)
    assert (found.criteria.study, found.criteria.series, found.criteria.study_uids) == ((), (), None)
    assert (found.matched, found.included, found.all_fields) == (frozenset(), frozenset(), False)


@pytest.mark.parametrize("name", ["PatientID", "00100020"])
def test_an_attribute_goes_by_keyword_or_tag(name):
    query = parse(STUDIES, Asked(matching_keys=[(name, "Abc ")]))
    assert query.matched == {0x00100020}
    assert query.criteria is not None
    assert query.criteria.study == (one_of("PatientID", ["abc"]),)


def test_a_tag_may_be_written_in_lower_case():
    assert criteria(("0020000d", "1.2")).study_uids == {"1.2"}


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([("patientid", "x")], "patientid: is neither"),
        ([("PatientID ", "x")], "a parameter: is neither"),
        ([("Nothing", "x")], "Nothing: is neither"),
        ([("00089999", "x")], "00089999: is neither"),
        ([("0010002", "x")], "0010002: is neither"),
        ([("", "x")], "a parameter: is neither"),
        ([("x" * 65, "x")], "a parameter: is neither"),
        ([("0040A370.00080050", "x")], "0040A370.00080050: attributes inside"),
        ([("StudyTime", "10")], "StudyTime: the attribute cannot be searched"),
        ([("00091001", "x")], "00091001: the attribute cannot be searched"),
        ([("PatientID", "a"), ("PatientID", "a")], "PatientID: the attribute is given twice"),
        ([("PatientID", "a"), ("00100020", "b")], "00100020: the attribute is given twice"),
        ([("PatientID", "")], "PatientID: the value is empty"),
        ([("PatientID", " \0")], "PatientID: the value is empty"),
        ([("PatientID", "a\nb")], "PatientID: the value has a control character"),
        ([("StudyDate", "2024-01-01")], "StudyDate: must be YYYYMMDD"),
        ([("StudyDate", "20240230")], "StudyDate: must be YYYYMMDD"),
        ([("StudyDate", "-")], "StudyDate: must be YYYYMMDD"),
        ([("StudyDate", "20240101-2024")], "StudyDate: must be YYYYMMDD"),
        ([("StudyDate", "20240101-20240102-20240103")], "StudyDate: must be YYYYMMDD"),
        ([("StudyDate", "\u0662\u0660240101")], "StudyDate: must be YYYYMMDD"),
        ([("StudyDate", "20240102-20240101")], "StudyDate: the range ends before"),
        ([("StudyInstanceUID", "abc")], "StudyInstanceUID: must be a UID"),
        ([("StudyInstanceUID", "1.2,")], "StudyInstanceUID: the list has an empty value"),
        ([("StudyInstanceUID", ",".join(["1.2"] * 201))], "StudyInstanceUID: the list has more than 200"),
        ([("ModalitiesInStudy", ",CT")], "ModalitiesInStudy: the list has an empty value"),
    ],
)
def test_what_is_wrong_is_refused_by_name(pairs, said):
    assert refused(*pairs).startswith(said)


@pytest.mark.parametrize("separator", ["\\", ",", "\\\\", ", "])
def test_uids_come_in_lists(separator):
    """Viewers escape the backslash twice."""
    assert criteria(("StudyInstanceUID", f"1.2{separator}1.3")).study_uids == {"1.2", "1.3"}


def test_uids_of_lower_levels_come_in_lists_too():
    found = criteria(("SeriesInstanceUID", "1,2"), ("SOPInstanceUID", "3\\4"), resource=INSTANCES)
    assert found.series == (one_of("SeriesInstanceUID", ["1", "2"]),)
    assert found.sop_instance_uids == {"3", "4"}


@pytest.mark.parametrize("text", ["CT,MR", "ct\\mr", "CT, MR"])
def test_any_modality_of_a_list_will_do(text):
    assert criteria(("ModalitiesInStudy", text)).study == (any_modality(["ct", "mr"]),)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("20240101", one_of("StudyDate", ["20240101"])),
        ("20240101-20240131", in_range("StudyDate", "20240101", "20240131")),
        ("20240101-20240101", in_range("StudyDate", "20240101", "20240101")),
        ("20240101-", in_range("StudyDate", "20240101", "")),
        ("-20240131", in_range("StudyDate", "", "20240131")),
        ("20240101 - 20240131", in_range("StudyDate", "20240101", "20240131")),
        (" - 20240131 ", in_range("StudyDate", "", "20240131")),
    ],
)
def test_a_date_is_a_day_or_a_range(text, condition):
    assert criteria(("StudyDate", text)).study == (condition,)


def test_wildcards_are_characters_like_others():
    assert criteria(("PatientID", "*a?")).study == (one_of("PatientID", ["*a?"]),)
    assert criteria(("PatientName", "*Doe*")).study == (one_of("PatientName", ["*doe*"]),)


def test_a_name_is_compared_as_a_whole_without_case_and_accents():
    assert criteria(("PatientName", "M\u00fcller^J\u00f6rg")).study == (one_of("PatientName", ["muller^jorg"]),)


def test_fuzzy_matching_is_for_names_only():
    found = criteria(("PatientName", "Jo^Do"), ("PatientID", "A B"), fuzzy=True)
    assert found.study == (name_phrase("PatientName", ["jo", "do"]), one_of("PatientID", ["a b"]))


def test_fuzzy_matching_without_a_name_changes_nothing():
    assert criteria(fuzzy=True) == criteria()


def test_asterisks_around_a_fuzzy_name_are_punctuation():
    assert criteria(("PatientName", "*smith*"), fuzzy=True).study == (name_phrase("PatientName", ["smith"]),)


@pytest.mark.parametrize(("text", "said"), [('Do"e', "double quote"), ("^=", "no word"), ("**", "no word")])
def test_a_fuzzy_name_needs_words_and_no_quotes(text, said):
    assert said in refused(("PatientName", text), fuzzy=True)


def test_a_text_that_no_value_can_be_as_long_as_finds_nothing():
    assert parse(STUDIES, Asked(matching_keys=[("PatientID", "x" * 257)])).criteria is None
    assert parse(STUDIES, Asked(matching_keys=[("PatientID", "x" * 256)])).criteria is not None


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        (STUDIES, "Modality"),
        (STUDIES, "SOPInstanceUID"),
        (SERIES, "SOPInstanceUID"),
        (OF_STUDY, "StudyInstanceUID"),
        (OF_STUDY, "PatientID"),
        (OF_STUDY, "SOPInstanceUID"),
        (INSTANCES_OF_STUDY, "StudyDate"),
        (OF_SERIES, "SeriesInstanceUID"),
        (OF_SERIES, "Modality"),
    ],
)
def test_attributes_of_other_levels_cannot_be_searched_for(resource, name):
    assert "cannot be searched" in refused((name, "1"), resource=resource)


def test_the_uids_of_the_path_are_criteria():
    found = criteria(resource=OF_SERIES, study_uid="1.2", series_uid="1.2.3")
    assert (found.study_uids, found.series_uid) == ({"1.2"}, "1.2.3")


def fields(*lists):
    query = parse(STUDIES, Asked(include_fields=lists))
    return query.included, query.all_fields


def test_fields_are_repeated_or_listed_by_keyword_or_tag():
    assert fields("StudyTime,00081030", "00080060", "") == ({0x00080030, 0x00081030, 0x00080060}, False)


def test_all_beside_other_fields_wins():
    assert fields("StudyTime,all") == ({0x00080030}, True)
    assert fields("ALL") == (frozenset(), True)


def test_private_and_repeating_tags_are_fields():
    assert fields("00091001,60003000") == ({0x00091001, 0x60003000}, False)


@pytest.mark.parametrize("text", ["Nothing", "studytime", "00089999", "0040A370.00080050", "StudyTime;Modality"])
def test_a_field_that_is_no_attribute_is_refused(text):
    with pytest.raises(InvalidParameter, match="IncludeField: "):
        fields(text)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_document_names_what_can_be_searched_for(operation):
    """Contract C6.2: the sets of a row and the table of attributes say the same."""
    manifests = made.loaded()
    for version in manifests.versions:
        row = next(row for row in version.rows if row.operation == operation)
        described = {
            (parameter.name, found[1])
            for name in row.takes
            for parameter in manifests.shapes.takes[name]
            if parameter.kind.value == "matching_key"
            if (found := re.search(r"Also as ([0-9A-F]{8})\.$", parameter.text))
        }
        assert described == {(one.keyword, f"{one.tag:08X}") for one in OPERATIONS[operation].searchable}
