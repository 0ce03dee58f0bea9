"""Versions end as they were announced to end."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from shared.dev.contract.promises import Promise, life_cycle
from tests.dev.contract.gate_made import accept, commit, deprecate, edit, failures

DEPRECATION = "{{announced: {}, sunset: {}, successor: v2, read_more: https://example.org/end}}"
WHOLE_YEAR = DEPRECATION.format("2027-01-01", "2028-01-01")


def test_a_label_cannot_vanish_unannounced(repository, gate):
    (repository / "versions" / "v1.yaml").unlink()
    accept(repository)
    code, said = gate()
    assert (code, failures(said)) == (1, ["ERR  v1 [version-removed-without-notice]"])


@pytest.mark.parametrize(
    ("today", "expected"),
    [("2027-12-31", ["ERR  v1 [version-removed-before-sunset]"]), ("2028-01-01", [])],
)
def test_a_label_may_vanish_from_its_sunset_on(repository, gate, today, expected):
    deprecate(repository, WHOLE_YEAR)
    accept(repository)
    commit(repository)
    (repository / "versions" / "v1.yaml").unlink()
    accept(repository)
    code, said = gate(today=today)
    assert (code, failures(said)) == (int(bool(expected)), expected)


@pytest.mark.parametrize(
    ("deprecation", "expected"),
    [
        (DEPRECATION.format("2027-01-01", "2027-12-31"), ["sunset-moved-nearer", "notice-too-short"]),
        (DEPRECATION.format("2026-12-20", "2027-12-31"), ["sunset-moved-nearer", "announcement-dated-back"]),
        (DEPRECATION.format("2027-01-01", "2028-06-01"), []),
        ("null", ["sunset-removed"]),
    ],
)
def test_a_sunset_moves_later_only(repository, gate, deprecation, expected):
    deprecate(repository, WHOLE_YEAR)
    accept(repository)
    commit(repository)
    edit(repository, "v1.yaml", (WHOLE_YEAR, deprecation))
    accept(repository)
    code, said = gate()
    # Without a deprecation, the headers that told of it are gone from every operation too.
    of_the_version = [line for line in failures(said) if line.startswith("ERR  v1 [")]
    assert (code, of_the_version) == (int(bool(expected)), [f"ERR  v1 [{rule}]" for rule in expected])


@pytest.mark.parametrize(
    ("label", "announced", "sunset", "expected"),
    [
        ("v1", "2027-01-01", "2028-01-01", []),
        ("v1", "2027-01-02", "2028-01-01", ["notice-too-short"]),
        ("v1.0-prerelease", "2027-01-01", "2027-04-01", []),
        ("v1.0-prerelease", "2027-01-02", "2027-04-01", ["notice-too-short"]),
        ("v1", "2026-11-22", "2028-01-01", ["announcement-dated-back"]),
    ],
)
def test_an_announcement_gives_the_notice_that_is_due(repository, gate, label, announced, sunset, expected):
    deprecate(repository, DEPRECATION.format(announced, sunset), label)
    accept(repository)
    code, said = gate()
    assert (code, failures(said)) == (int(bool(expected)), [f"ERR  {label} [{rule}]" for rule in expected])


@pytest.mark.parametrize(
    ("today", "retired_on", "expected"),
    [
        ("2027-12-31", "2028-01-01", ["ERR  v1 [version-removed-before-sunset]"]),
        ("2028-01-01", "2028-01-01", []),
        ("2028-01-01", "2027-12-31", ["ERR  v1 [retired-before-sunset]"]),
    ],
)
def test_a_version_may_be_retired_from_its_sunset_on(repository, gate, today, retired_on, expected):
    deprecate(repository, WHOLE_YEAR)
    accept(repository)
    commit(repository)
    ending = f"on: {retired_on}, successor: v2, read_more: https://example.org/end"
    retired = f"label: v1\nretired: {{{ending}}}\n"
    (repository / "versions" / "v1.yaml").write_text(retired, encoding="utf-8")
    accept(repository)
    assert not (repository / "versions" / "baselines" / "v1.yaml").exists()
    code, said = gate(today=today)
    assert (code, failures(said)) == (int(bool(expected)), expected)


def promised(**changes):
    fields: dict[str, Any] = {"label": "v1", "stability": "stable", "behaviours": {}, "announced": None, "sunset": None}
    fields |= {"successor": "v2", "read_more": "https://example.org", "retired": False, "retired_on": None}
    return Promise(**(fields | changes))


DEPRECATED = {"announced": date(2027, 1, 1), "sunset": date(2028, 1, 1)}
RETIRED = {"stability": "", "retired": True}


@pytest.mark.parametrize(
    ("before", "after", "today", "expected"),
    [
        ({}, RETIRED, date(2030, 1, 1), ["version-removed-without-notice"]),
        (DEPRECATED, RETIRED, date(2027, 12, 31), ["version-removed-before-sunset"]),
        (DEPRECATED, RETIRED | {"retired_on": date(2028, 1, 1)}, date(2028, 1, 1), []),
        (DEPRECATED, RETIRED | {"retired_on": date(2027, 12, 31)}, date(2028, 1, 1), ["retired-before-sunset"]),
        (RETIRED, RETIRED, date(2028, 1, 1), []),
        (DEPRECATED, DEPRECATED | {"successor": ""}, date(2027, 2, 1), ["successor-missing"]),
        (DEPRECATED, DEPRECATED | {"read_more": ""}, date(2027, 2, 1), ["read-more-missing"]),
        (DEPRECATED, DEPRECATED | {"announced": None}, date(2027, 2, 1), ["deprecation-incomplete"]),
        ({}, {"stability": "prerelease"}, date(2027, 2, 1), ["document-stability-lowered"]),
        ({"stability": "prerelease"}, {}, date(2027, 2, 1), []),
    ],
)
def test_the_life_cycle_of_a_version_goes_one_way(before, after, today, expected):
    found = life_cycle({"v1": promised(**before)}, {"v1": promised(**after)}, today, date(2026, 12, 1))
    assert [remark.rule for remark in found] == expected
