"""The list of golden requests and the files that they send."""

from __future__ import annotations

import re

import pytest

from shared.dev.contract.remarks import GateError
from shared.dev.golden import files, replay, steps
from tests.support.served import ROOT


def loaded(tmp_path, text):
    folder = tmp_path / steps.REQUESTS
    folder.mkdir(parents=True)
    (folder / "one.yaml").write_text(text, encoding="utf-8")
    return steps.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [", "one.yaml cannot be read"),
        ("a: 1", "one.yaml is no list of steps"),
        ("[]", "one.yaml is no list of steps"),
        ("[1]", "one.yaml, step 1 is no mapping"),
        ("[{step: a}]", "one.yaml, step 1: `step` is its name"),
        ("[{step: a, request: GET}]", "one.yaml, step 1: `step` is its name"),
        ("[{step: a, request: GET x, query: y}]", "one.yaml, step 1: unknown key 'query'"),
        ("[{step: a, request: GET x, until: ended}]", "one.yaml, step 1: `until` is a status"),
        ("[{step: a, request: GET x, parts: [nothing]}]", "one.yaml, step 1: there is no file 'nothing'"),
        ("[{step: a, request: GET x}, {step: a, request: GET y}]", "one.yaml has two steps named 'a'"),
    ],
)
def test_requests_with_faults_are_refused_with_their_place(tmp_path, text, fault):
    with pytest.raises(GateError, match=re.escape(fault)):
        loaded(tmp_path, text)


def test_a_version_is_asked_for_what_it_serves_and_for_what_no_row_serves(tmp_path):
    text = "[{step: a, operation: searchStudies, request: GET studies}, {step: b, operation: soar, request: GET sky}]"
    (scenario,) = loaded(tmp_path, text.replace("]", ", {step: c, request: GET /nowhere}]"))
    version = replay.versions_of(ROOT)[-1]
    asked = {step.name: step.line(version) for step in scenario.of(version)}
    assert asked == {"a": f"GET /{version.label.text}/studies", "c": "GET /nowhere"}


def test_a_step_that_needs_another_operation_is_left_out_where_that_is_not_served(tmp_path):
    text = "[{step: a, needs: soar, request: GET x}, {step: b, needs: getOperation, request: GET y}]"
    (scenario,) = loaded(tmp_path, text)
    assert [step.name for step in scenario.of(replay.versions_of(ROOT)[-1])] == ["b"]


def test_bodies_are_files_in_parts_a_file_alone_or_a_text(tmp_path):
    text = "[{step: a, request: POST x, parts: [good, good 2]}, {step: b, request: POST x, file: good}, "
    (scenario,) = loaded(tmp_path, text + "{step: c, request: POST x, text: word, headers: {Content-Type: a/b}}]")
    parts, alone, word = scenario.steps
    assert parts.body().count(b"DICM") == 2
    assert parts.all_headers()["Content-Type"].startswith("multipart/related;")
    assert (alone.body(), alone.all_headers()) == (
        files.content("good"),
        {"Content-Type": "application/dicom"},
    )
    assert (word.body(), word.all_headers()) == (b"word", {"Content-Type": "a/b"})


def test_every_file_is_sent_by_a_request_and_is_the_same_every_time():
    sent = {
        name for scenario in steps.load(ROOT) for step in scenario.steps for name in (*(step.parts or ()), step.file)
    }
    assert sent - {""} == files.NAMES
    before = {name: files.content(name) for name in files.NAMES}
    files.content.cache_clear()
    assert {name: files.content(name) for name in files.NAMES} == before


def test_every_operation_of_every_version_that_reads_or_writes_instances_is_asked():
    asked = {step.operation for scenario in steps.load(ROOT) for step in scenario.steps}
    groups = {
        "Store",
        "Retrieve",
        "Search",
        "Delete",
        "ChangeFeed",
        "ExtendedQueryTags",
        "Update",
        "Export",
        "Operations",
    }
    rows = {row.operation for version in replay.versions_of(ROOT) for row in version.rows if row.tag in groups}
    assert rows
    assert rows - asked == set()


def test_recordings_of_every_version_are_there():
    for version in replay.versions_of(ROOT):
        folder = ROOT / steps.GOLDEN / version.label.text
        names = {scenario.name for scenario in steps.load(ROOT)}
        assert {path.stem for path in folder.glob("*.json")} == names
