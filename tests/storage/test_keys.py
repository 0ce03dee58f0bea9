"""Keys sort as the schema needs them to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.storage.keys import (
    base36,
    instance_row,
    inverted,
    segment_partition,
    series_range,
    series_row,
    ulid,
    version_number,
)

UIDS = st.from_regex(r"[0-9.]{0,63}[0-9]", fullmatch=True)


def test_later_ids_are_larger_and_unique():
    ids = [ulid()]
    for _ in range(500):
        ids.append(ulid(ids[-1]))
    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {26}


@given(st.integers(min_value=0, max_value=10**6))
def test_newer_segments_sort_first(number):
    assert segment_partition(0, number + 1) < segment_partition(0, number)


def test_inverting_turns_the_order_round_and_back():
    first = ulid()
    second = ulid(first)
    assert inverted(second) < inverted(first)
    assert inverted(inverted(first)) == first


@given(UIDS, UIDS)
def test_the_range_of_a_series_holds_its_row_first_then_its_instances_and_nothing_else(series, other):
    low, high = series_range(series)
    assert low <= series_row(series) < instance_row(series, "1.2") < high
    if other != series:
        assert not low <= series_row(other) < high
        assert not low <= instance_row(other, "1.2") < high


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (35, "z"), (36, "10"), (1295, "zz")])
def test_partition_numbers_are_written_in_base_36(number, text):
    assert base36(number) == text


def test_version_numbers_fit_63_bits():
    assert 0 < version_number() < 2**63
