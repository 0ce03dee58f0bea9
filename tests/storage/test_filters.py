"""A filter never hides a row; it lets nearly nothing else through; it is read once and again when there is news."""

from __future__ import annotations

import random

import pytest

from shared.dicom.matching import fold_name, name_words
from shared.storage import filters
from shared.storage.conditions import any_modality, in_range, name_phrase, one_of
from shared.storage.filters import SegmentFilter, SegmentFilters, _Question
from shared.storage.segments import CoveringRow, SegmentLog
from tests.support.storage import watched_stores


def study(number: int) -> dict[str, str]:
    name = f"Family{number}^Given{number}"
    words = {f"q_PatientName{place}": word for place, word in enumerate(name_words(name), start=1)}
    return {
        "q_PatientID": f"p{number}",
        "q_AccessionNumber": f"acc{number}",
        "q_StudyDate": f"2024{1 + number % 12:02d}{1 + number % 28:02d}",
        "q_PatientName": fold_name(name),
        "modalities": "CT\\MR" if number % 2 else "US",
        **words,
    }


def may_hold(known: SegmentFilter, *conditions) -> bool:
    return _Question.of(conditions).may_be_in(known)


ROWS = [study(number) for number in range(1000)]
KNOWN = SegmentFilter.of(ROWS)


@pytest.mark.parametrize("number", [0, 1, 500, 999])
def test_every_value_of_a_row_is_found(number):
    row = ROWS[number]
    assert may_hold(KNOWN, one_of("PatientID", [row["q_PatientID"]]), one_of("StudyDate", [row["q_StudyDate"]]))
    assert may_hold(KNOWN, one_of("PatientName", [row["q_PatientName"]]))
    assert may_hold(KNOWN, name_phrase("PatientName", [f"family{number}", "giv"]))
    assert may_hold(KNOWN, any_modality(["mr", "xa"]))


def test_values_that_are_not_there_are_nearly_all_known_not_to_be():
    seed = random.Random(1)
    passed = sum(may_hold(KNOWN, one_of("PatientID", [f"q{seed.random()}"])) for _ in range(2000))
    assert passed < 100
    assert not may_hold(KNOWN, any_modality(["xa", "nm", "pt"])) or not may_hold(KNOWN, any_modality(["ot"]))


def test_one_value_of_a_list_is_enough_and_all_conditions_are_needed():
    assert may_hold(KNOWN, one_of("PatientID", ["nobody", "p7"]))
    assert not may_hold(KNOWN, one_of("PatientID", ["p7"]), one_of("AccessionNumber", ["none such"]))


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        ("20240601", "20240602", True),
        ("20250101", "", False),
        ("", "20231231", False),
        ("", "20240101", True),
        ("20241201", "", True),
    ],
)
def test_a_range_of_study_dates_is_compared_with_the_first_and_the_last(low, high, found):
    assert may_hold(KNOWN, in_range("StudyDate", low, high)) is found


def test_other_ranges_say_nothing():
    assert may_hold(KNOWN, in_range("PatientBirthDate", "18000101", "18000102"))


def test_rows_without_study_dates_match_no_study_date():
    known = SegmentFilter.of([{"q_PatientID": "a"}])
    assert not may_hold(known, in_range("StudyDate", "", "99991231"))
    assert may_hold(known, one_of("PatientID", ["a"]))


def test_a_filter_of_no_rows_holds_nothing():
    assert not may_hold(SegmentFilter.of([]), one_of("PatientID", ["a"]))


def test_a_filter_of_a_full_segment_fits_a_property():
    rows = [
        {"q_PatientName": " ".join(words), **{f"q_PatientName{n + 1}": word for n, word in enumerate(words)}}
        for number in range(1100)
        if (words := [f"{chr(97 + place)}{number:09d}x" for place in range(5)])
    ]
    assert len(SegmentFilter.of(rows).bits) <= 60_000


async def sealed(stores, segments: int) -> None:
    log = SegmentLog(stores._tables, "log", 0, rows=5)
    for number in range(5 * segments):
        await log.append([CoveringRow(f"row{number:05d}", {"order": "1", "study": f"1.{number}", **study(number)})])


@pytest.mark.azurite
async def test_sealing_a_segment_writes_its_filter(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await sealed(stores, 3)
        found = await SegmentFilters(stores._tables).passing("log", 0, [3, 2, 1, 0], [one_of("PatientID", ["p7"])])
    assert found == [3, 1]  # the third is not sealed, so nothing is known of it


@pytest.mark.azurite
async def test_sealing_again_mends_a_filter_that_was_lost(azurite):
    async with watched_stores(azurite.connection_string) as (stores, _):
        await sealed(stores, 2)
        await stores._tables.delete(filters.TABLE, "log~0~0", "s0000000001")
        conditions = [one_of("PatientID", ["p0"])]
        assert await SegmentFilters(stores._tables).passing("log", 0, [1, 0], conditions) == [1, 0]
        await SegmentLog(stores._tables, "log", 0, rows=5).seal(1)
        assert await SegmentFilters(stores._tables).passing("log", 0, [1, 0], conditions) == [0]


@pytest.mark.azurite
async def test_filters_are_read_once_64_at_a_time_and_only_where_they_help(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await sealed(stores, 2)
        known = SegmentFilters(stores._tables)
        transport.forget()
        assert await known.passing("log", 0, [1, 0], [in_range("PatientBirthDate", "1", "2")]) == [1, 0]
        assert transport.calls == []
        for _ in range(3):
            await known.passing("log", 0, [1, 0], [one_of("PatientID", ["p0"])])
        assert transport.calls == ["GET rows filters"]


@pytest.mark.azurite
async def test_a_filter_that_was_missing_is_looked_for_again_after_a_while(azurite, monkeypatch):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        await sealed(stores, 1)
        known = SegmentFilters(stores._tables)
        conditions = [one_of("PatientID", ["p0"])]
        assert await known.passing("log", 0, [1, 0], conditions) == [1, 0]
        transport.forget()
        await known.passing("log", 0, [1, 0], conditions)
        assert transport.calls == []
        monkeypatch.setattr(filters, "_FRESH_SECONDS", 0.0)
        await known.passing("log", 0, [0], conditions)
        assert transport.calls == []
        await known.passing("log", 0, [1, 0], conditions)
        assert transport.calls == ["GET rows filters"]


@pytest.mark.azurite
async def test_a_failure_to_write_a_filter_loses_no_row(azurite):
    async with watched_stores(azurite.connection_string) as (stores, transport):
        transport.fault = lambda request: "before" if "/filters" in request.url else None
        await sealed(stores, 2)
        transport.fault = lambda _: None
        found = await SegmentFilters(stores._tables).passing("log", 0, [1, 0], [one_of("PatientID", ["x"])])
    assert found == [1, 0]
