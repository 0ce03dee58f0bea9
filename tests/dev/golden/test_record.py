"""Recordings as files, and what counts as more and not as different."""

from __future__ import annotations

import json

import pytest

from shared.dev.contract.remarks import GateError
from shared.dev.golden import record
from shared.dev.golden.record import Exchange

REPLY = {"status": 200, "headers": {"etag": "<etag-1>"}, "json": [{"00100010": {"vr": "PN"}, "0020000D": {"vr": "UI"}}]}
EXCHANGE = Exchange("20-search", "all", "searchStudies", {"line": "GET /v1/studies", "headers": {}}, REPLY)


def test_a_recording_is_read_as_it_was_written():
    ((name, content),) = record.as_files((EXCHANGE,)).items()
    assert name == "20-search.json"
    assert record.from_file(name, content) == (EXCHANGE,)


@pytest.mark.parametrize("content", [b"", b"{}[", b"[1]", b'[{"step": "a"}]', b"\xff"])
def test_a_file_that_is_no_recording_is_refused(content):
    with pytest.raises(GateError, match=r"the recording a\.json cannot be read"):
        record.from_file("a.json", content)


def test_a_changed_value_is_one_changed_line():
    value = {"a": [{"b": "x" * 80, "c": 1}, {"b": "y" * 80, "c": 2}]}
    text = record.written(value)
    assert json.loads(text) == value
    value["a"][1]["c"] = 3
    changed = record.difference(text.splitlines(), record.written(value).splitlines(), ("a", "b"))
    assert [line for line in changed if line.startswith(("-", "+"))][2:] == [
        f'-    {{"b": "{"y" * 80}", "c": 2}}',
        f'+    {{"b": "{"y" * 80}", "c": 3}}',
    ]


@pytest.mark.parametrize(
    ("before", "after", "places"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 1, "b": 2}, ["/b"]),
        ({"b": 1}, {"a": 1, "b": 1}, ["/a"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, ["/a/0/c"]),
        ({"a": 1}, {}, None),
        ({"a": 1}, {"b": 1}, None),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, None),
        ([1], [1, 2], None),
        ([1, 2], [2, 1], None),
        ({"a": 1}, {"a": 1.0}, None),
        ({"a": 1}, {"a": True}, None),
        ({"a": "1"}, {"a": 1}, None),
        ({"a": []}, {"a": {}}, None),
        ({"a": [{"b": 1}, 2]}, {"a": [{"b": 1, "c": 2}, 3]}, None),
        ({"vary": "Accept"}, {"vary": "Accept, Origin"}, ["/vary/Origin"]),
        ({"vary": "Accept, Origin"}, {"vary": "Origin"}, None),
        ({"allow": "GET"}, {"allow": "GET, PUT"}, None),
        ({"00080020": {}}, {"00080020": {}, "00080030": {}}, None),
    ],
)
def test_only_new_names_in_objects_are_additions(before, after, places):
    assert record.additions(before, after) == places


def test_only_the_sentence_of_a_refusal_is_wording():
    refused, served = {"status": 400, "text": "a"}, {"status": 200, "text": "a"}
    assert record.without_wording(refused) == {"status": 400}
    assert record.without_wording(served) == served
