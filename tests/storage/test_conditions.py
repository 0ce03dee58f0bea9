"""What the table service is asked, and what a row must really satisfy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicom.matching import fold_name, name_words
from shared.storage.conditions import (
    COMPARISONS,
    after_prefix,
    any_modality,
    in_range,
    is_exact,
    match_all,
    name_phrase,
    one_of,
    where,
)
from shared.storage.keys import modality_column


def named(name: str) -> dict[str, str]:
    row = {"q_PatientName": fold_name(name)}
    return row | {f"q_PatientName{place}": word for place, word in enumerate(name_words(name)[:5], start=1)}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["jo", "ad"], True),
        (["john"], True),
        (["do"], True),
        (["john", "adam", "doe"], True),
        (["adam", "doe"], True),
        (["ohn"], False),
        (["doe", "john"], False),
        (["john", "doe"], False),
        (["john", "adam", "doe", "x"], False),
    ],
)
def test_a_phrase_matches_beginnings_of_consecutive_words(words, found):
    assert name_phrase("PatientName", words).matches(named("John^Adam^Doe")) is found


def test_words_past_those_with_columns_match_as_well():
    row = named("a^b c d=e^f=g")
    assert name_phrase("PatientName", ["f", "g"]).matches(row)
    assert "q_PatientName5 gt ''" in name_phrase("PatientName", ["f", "g"]).filters()


def test_a_row_without_the_value_never_matches():
    conditions = [
        one_of("PatientID", ["a"]),
        in_range("StudyDate", "", "20240101"),
        name_phrase("PatientName", ["a"]),
        any_modality(["ct"]),
    ]
    assert not any(condition.matches({}) for condition in conditions)


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [("20240101", "", True), ("20240102", "", False), ("", "20240101", True), ("", "20231231", False)],
)
def test_the_ends_of_a_range_belong_to_it(low, high, found):
    assert in_range("StudyDate", low, high).matches({"q_StudyDate": "20240101"}) is found


@pytest.mark.parametrize("stored", ["CT", "ct", "CT\0", "MR\\CT "])
def test_a_modality_matches_without_case_and_padding(stored):
    assert any_modality(["ct"]).matches({"modalities": stored})
    assert not any_modality(["c", "xct"]).matches({"modalities": stored})


@pytest.mark.parametrize("stored", ["CT", "ct", "Ct", "CT\0", "CT "])
def test_the_service_finds_a_modality_however_it_is_written(stored):
    assert any_modality(["ct"]).filters() == [f"{modality_column(stored)} eq true"]


def test_quotes_are_doubled_for_the_service():
    assert where("base", [one_of("PatientName", ["o'brien"])]) == "base and q_PatientName eq 'o''brien'"


def test_braces_in_a_name_do_not_harm():
    assert "lt '{}b'" in name_phrase("PatientName", ["{}a"]).filters()[0]


def test_the_service_is_never_asked_more_comparisons_than_it_takes():
    conditions = [
        name_phrase("PatientName", ["a"]),
        name_phrase("ReferringPhysicianName", ["b"]),
        in_range("StudyDate", "1", "2"),
        one_of("Modality", [str(number) for number in range(20)]),
        one_of("PatientID", ["x"]),
    ]
    asked = where("PartitionKey eq 'p' and order gt ''", conditions)
    comparisons = sum(asked.count(f" {operator} '") for operator in ("eq", "gt", "ge", "lt", "le"))
    assert comparisons <= COMPARISONS
    assert "q_PatientID eq 'x'" in asked
    assert "q_StudyDate ge '1' and q_StudyDate le '2'" in asked
    assert not is_exact(conditions)


def test_simple_conditions_need_no_second_look():
    assert is_exact([one_of("PatientID", ["x"]), in_range("StudyDate", "1", "2")])
    assert is_exact([])
    assert not is_exact([name_phrase("PatientName", ["a"])])
    assert not is_exact([any_modality(["ct"])])


def test_all_conditions_have_to_hold():
    row = {"q_PatientID": "a", "q_StudyDate": "20240101"}
    assert match_all(row, [one_of("PatientID", ["a"]), one_of("StudyDate", ["20240101"])])
    assert not match_all(row, [one_of("PatientID", ["a"]), one_of("StudyDate", ["20240102"])])


def utf16(text: str) -> list[int]:
    units = text.encode("utf-16-be")
    return [int.from_bytes(units[place : place + 2], "big") for place in range(0, len(units), 2)]


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3)
edges = st.sampled_from("\ud7ff\ue000\uffff\U00010000\U0010ffffa")


@given(st.one_of(texts, edges), st.one_of(texts, edges, st.just("")))
def test_everything_that_begins_with_a_prefix_sorts_before_its_end(prefix, rest):
    end = after_prefix(prefix)
    if end:
        assert utf16(prefix) <= utf16(prefix + rest) < utf16(end)


@given(st.one_of(texts, edges), st.one_of(texts, edges))
def test_nothing_else_sorts_between_a_prefix_and_its_end(prefix, other):
    end = after_prefix(prefix)
    if utf16(other) >= utf16(prefix) and (not end or utf16(other) < utf16(end)):
        assert other.startswith(prefix) or not end
