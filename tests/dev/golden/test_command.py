"""What a client would see between two recordings, without a host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.api.breaking.findings import Level
from shared.dev.golden import replay, verdict
from shared.dev.golden.record import Exchange
from tests.support.served import ROOT

REPLY = {"status": 200, "headers": {"etag": "<etag-1>"}, "json": [{"a": 1, "b": 2}]}
REFUSAL = {"status": 400, "headers": {}, "text": "limit: too much"}
BEFORE = Exchange("20-search", "all", "searchStudies", {"line": "GET /v2/studies", "headers": {}}, REPLY)


@pytest.fixture(scope="module")
def version():
    return next(each for each in replay.versions_of(ROOT) if each.label.text == "v2")


def changed(version, before, after):
    return [(finding.id, finding.level) for finding in verdict.kept((before,), (after,), version)]


@pytest.mark.parametrize(
    "reply",
    [
        REPLY | {"status": 202},
        REPLY | {"headers": {}},
        REPLY | {"headers": {"ETag": "<etag-1>"}},
        REPLY | {"headers": {"etag": '"<etag-1>"'}},
        REPLY | {"json": [{"a": 1}]},
        REPLY | {"json": [{"b": 2, "a": 1}]},
        REPLY | {"json": []},
        REPLY | {"json": [{"a": 1, "b": 2}, {"a": 1, "b": 2}]},
    ],
)
def test_a_difference_is_an_error_that_names_the_operation(version, reply):
    (finding,) = verdict.kept((BEFORE,), (replace(BEFORE, reply=reply),), version)
    assert (finding.id, finding.level) == ("golden-reply-changed", Level.ERR)
    assert (finding.operation, finding.operation_id) == ("GET /v2/studies", "searchStudies")
    assert "20-search, step 'all'" in finding.text


def test_more_in_a_reply_is_allowed_and_told(version):
    after = REPLY | {"headers": {"etag": "<etag-1>", "vary": "Accept"}, "json": [{"a": 1, "c": 3, "b": 2}]}
    (finding,) = verdict.kept((BEFORE,), (replace(BEFORE, reply=after),), version)
    assert (finding.id, finding.level, finding.text) == ("golden-reply-extended", Level.INFO, "replies got c, vary.")


def test_another_wording_of_a_refusal_is_allowed_and_told(version):
    before = replace(BEFORE, reply=REFUSAL)
    after = replace(BEFORE, reply=REFUSAL | {"text": "limit: not so much"})
    assert changed(version, before, after) == [("golden-reply-reworded", Level.INFO)]
    assert changed(version, before, replace(after, reply={**after.reply, "status": 404})) == [
        ("golden-reply-changed", Level.ERR)
    ]


def test_another_request_under_the_same_name_is_a_difference(version):
    after = replace(BEFORE, request={"line": "GET /v2/studies?limit=1", "headers": {}})
    assert changed(version, BEFORE, after) == [("golden-reply-changed", Level.ERR)]


def test_new_exchanges_are_told_together(version):
    others = tuple(replace(BEFORE, step=f"more {number}") for number in range(7))
    (finding,) = verdict.kept((BEFORE,), (BEFORE, *others), version)
    assert finding.level is Level.INFO
    assert finding.text.endswith("step 'more 4', and 2 more.")


def test_the_same_is_no_finding(version):
    assert changed(version, BEFORE, replace(BEFORE)) == []


def test_what_no_row_serves_is_about_no_operation(version):
    before = replace(BEFORE, operation="")
    (finding,) = verdict.kept((before,), (), version)
    assert (finding.id, finding.operation) == ("golden-exchange-removed", "")
